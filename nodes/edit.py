"""Stage motion: sliders for a face, on a portrait alone or on top of a driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from comfy_api.latest import io, ui
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .placing import CATEGORY
from .sockets import EditSocket, FaceTrackSocket

if TYPE_CHECKING:
    from ..model_core.types import FaceTrack

_HALF = {"min": 0.0, "max": 1.0, "step": 0.05}
_WHOLE = {"min": -1.0, "max": 1.0, "step": 0.05}
_ANGLE = {"min": -40.0, "max": 40.0, "step": 1.0}
_SLIDERS: dict[str, tuple[dict[str, float], str]] = {
    "jaw_open": (_HALF, "Opens the mouth."),
    "smile": (_WHOLE, "1 smiles, -1 draws the corners of the mouth down."),
    "pucker": (_HALF, "Pointed lips, as for a kiss."),
    "funnel": (_HALF, "Rounded, open lips, as for an o."),
    "stretch": (_HALF, "Draws the mouth wide."),
    "show_teeth": (_HALF, "Lifts the upper lip and lowers the lower one."),
    "mouth_side": (_WHOLE, "The mouth to the person's left (1) or right (-1)."),
    "jaw_side": (_WHOLE, "The jaw to the person's left (1) or right (-1)."),
    "cheek_puff": (_HALF, "Puffs the cheeks."),
    "sneer": (_HALF, "Wrinkles the nose."),
    "squint": (_HALF, "Narrows both eyes."),
    "eye_left": (_WHOLE, "The person's left eye: -1 shut, 1 wide open. One eye alone is a wink."),
    "eye_right": (_WHOLE, "The person's right eye: -1 shut, 1 wide open."),
    "brow_left": (_WHOLE, "The person's left brow: 1 raised, -1 lowered."),
    "brow_right": (_WHOLE, "The person's right brow: 1 raised, -1 lowered."),
    "brow_inner": (_HALF, "Raises both brows next to the nose: sorrow."),
    "gaze_x": (_WHOLE, "The eyes look to the picture's right (1) or left (-1)."),
    "gaze_y": (_WHOLE, "The eyes look up (1) or down (-1)."),
    "yaw": (_ANGLE, "Degrees by which the head turns to the picture's right; negative to its left."),
    "pitch": (_ANGLE, "Degrees by which the head nods up; negative down."),
    "roll": (_ANGLE, "Degrees by which the head tilts clockwise."),
    "move_x": (_WHOLE, "Face sizes by which the head moves to the picture's right."),
    "move_y": (_WHOLE, "Face sizes by which the head moves up."),
    "zoom": ({"min": 0.5, "max": 2.0, "step": 0.05}, "How much larger the face becomes."),
}


def _slider(name: str) -> io.Float.Input:
    bounds, words = _SLIDERS[name]
    rest = 1.0 if name == "zoom" else 0.0
    return io.Float.Input(name, default=rest, round=0.001, optional=True, tooltip=words, **bounds)


class EditExpression(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsEditExpression",
            display_name="Edit Expression",
            category=CATEGORY,
            **search_aliases("expression editor", "face editor", "smile", "gaze", "wink", "live portrait", "sliders"),
            description="Sets expression, gaze and head by sliders: of a still, or on top of what a driver does.",
            inputs=[
                FaceTrackSocket.Input(
                    "track",
                    tooltip="The portrait's own face, from Analyze Faces, for a still or a clip made by sliders alone; "
                    "or the driving face, which keeps its motion.",
                ),
                *map(_slider, _SLIDERS),
                io.Int.Input(
                    "frames",
                    default=1,
                    min=1,
                    max=100_000,
                    optional=True,
                    tooltip="Of the clip that a portrait's own track becomes. A driving track keeps its length.",
                ),
                io.String.Input(
                    "keys",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="How much of the sliders each frame shows, as FRAME: AMOUNT, such as 0: 0, 12: 1, 30: 0. "
                    "Between keys it eases in and out. Empty: all of it in every frame.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The portrait that the track was found in, for the preview.",
                ),
            ],
            outputs=[
                FaceTrackSocket.Output(
                    display_name="track", tooltip="For any motion node, as driving; alignment retarget."
                ),
                EditSocket.Output(display_name="edit", tooltip="The sliders alone, for Animate Portrait Video."),
                io.Image.Output(
                    display_name="preview",
                    tooltip="The frame that shows most of the edit: the portrait carried to it, without a network; "
                    "without the image the drawn face.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, track: Any, frames: int = 1, keys: str = "", image: Tensor | None = None, **sliders: float
    ) -> io.NodeOutput:
        from ..model_core.motion.editing import ExpressionEdit, edited, keyed_amounts

        edit = ExpressionEdit(**sliders)
        amounts = keyed_amounts(keys, frames if len(track) == 1 else len(track))
        made = edited(track, edit, amounts)
        strongest = int(np.abs(amounts).argmax())
        preview = _drawn(made, strongest) if image is None else _carried(made, strongest, image)
        return io.NodeOutput(made, edit, preview, ui=ui.PreviewImage(preview, cls=cls))


def _drawn(track: FaceTrack, frame: int) -> Tensor:
    """The parsing map of one edited frame, as an IMAGE."""
    from ..model_core.motion.parsing_map import parsing_map_signal
    from ..model_core.motion.retarget import retarget

    shown, rest = track.take([frame]), track.take([0]).with_edits(None)
    moved = retarget(shown, rest, rest=rest).track
    return bridge.unit_to_image(parsing_map_signal(moved, size=moved.size).frames)


def _carried(track: FaceTrack, frame: int, image: Tensor) -> Tensor:
    """The portrait carried to one edited frame, as an IMAGE."""
    from ..model_core.faces.foreground import estimate_foreground
    from ..model_core.images import to_uint8
    from ..model_core.motion.retarget import retarget
    from ..model_core.warp import PortraitLayers

    portrait, alpha = bridge.from_cut_out(image, name="image")
    if len(portrait) != 1 or tuple(portrait.shape[-2:]) != tuple(track.size):
        height, width = track.size
        raise bridge.InputError(
            f"image: {len(portrait)} of {portrait.shape[-1]}x{portrait.shape[-2]}, the track was found in "
            f"{width}x{height}; connect the one image that Analyze Faces was given"
        )
    shown, rest = track.take([frame]), track.take([0]).with_edits(None)
    moved = retarget(shown, rest, rest=rest).track
    person = (estimate_foreground(portrait, rest) if alpha is None else alpha)[0, 0].numpy()
    layers = PortraitLayers.of(to_uint8(portrait)[0], rest.landmarks[0], person)
    return bridge.pixels_to_image(layers.carry(moved.landmarks).frames)
