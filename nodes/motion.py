"""Stage motion: what moves, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .placing import ALIGNMENT_WORDS, ALIGNMENTS, CATEGORY, motion_settings, placing_inputs
from .sockets import FaceTrackSocket, MotionSocket

if TYPE_CHECKING:
    from ..model_core.types import MotionSignal

_STYLES = {"lines": "drawn_landmarks", "head and mouth": "split_landmarks"}


def _placing(picture: str) -> list[Any]:
    """Inputs that say where in the model's frame the motion is shown; ``picture`` is what its pictures are called."""
    return [
        FaceTrackSocket.Input(
            "reference",
            optional=True,
            tooltip="The portrait's face as the model sees it: the second output of Encode Reference. "
            "Without it the driving face stays where it is in its own frame.",
        ),
        io.Combo.Input(
            "alignment",
            options=list(ALIGNMENTS),
            default=ALIGNMENTS[0],
            tooltip=ALIGNMENT_WORDS,
        ),
        *(_side(name, picture) for name in ("width", "height")),
        *placing_inputs(),
    ]


def _side(name: str, picture: str) -> io.Int.Input:
    return io.Int.Input(
        name,
        default=0,
        min=0,
        max=4096,
        step=8,
        tooltip=f"{name.capitalize()} of the {picture}, which must be the model's. 0 takes it from the reference.",
    )


class ParsingMapMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsParsingMapMotion",
            display_name="Parsing Map Motion",
            category=CATEGORY,
            description="Draws the moving parts of the driving face (brows, eyes, irises, nose, mouth) as the "
            "picture that the model follows, without the driver's own face shape.",
            inputs=[
                FaceTrackSocket.Input("driving", tooltip="The driving face, from Analyze Faces."),
                *_placing("maps"),
            ],
            outputs=[
                MotionSocket.Output(display_name="motion", tooltip="For Animate Portrait."),
                io.Image.Output(display_name="maps", tooltip="The same as pictures."),
            ],
        )

    @classmethod
    def execute(cls, driving: Any, **placing: Any) -> io.NodeOutput:
        signal = _made("parsing_map", driving, placing)
        return io.NodeOutput(signal, bridge.unit_to_image(signal.frames))


class MaskedFramesMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsMaskedFramesMotion",
            display_name="Masked Frames Motion",
            category=CATEGORY,
            **search_aliases("driving frames", "motion signal"),
            description="Shows the driving frames themselves where eyes, nose and mouth are, and black elsewhere: "
            "the motion of models that are driven by pixels.",
            inputs=[
                FaceTrackSocket.Input("driving", tooltip="The driving face, from Analyze Faces."),
                io.Image.Input(
                    "images", tooltip="The frames in which it was found: Analyze Faces' frames_kept, one for one."
                ),
                *_placing("frames"),
            ],
            outputs=[
                MotionSocket.Output(display_name="motion", tooltip="For Animate Portrait."),
                io.Image.Output(display_name="images", tooltip="The same as pictures."),
            ],
        )

    @classmethod
    def execute(cls, driving: Any, images: Tensor, **placing: Any) -> io.NodeOutput:
        frames = bridge.from_image(images, name="images")
        signal = _made("masked_frames", driving, placing, frames=frames)
        return io.NodeOutput(signal, bridge.unit_to_image(signal.frames))


class DrawnLandmarksMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsDrawnLandmarksMotion",
            display_name="Drawn Landmarks Motion",
            category=CATEGORY,
            **search_aliases("facial landmarks", "follow your emoji", "face reenactment", "expression-aware landmarks"),
            description="Draws the driving face's landmarks as the pictures that public landmark models were trained "
            "on: FollowYourEmoji, and AnimateAnyone's face reenactment.",
            inputs=[
                FaceTrackSocket.Input("driving", tooltip="The driving face, from Analyze Faces."),
                io.Combo.Input(
                    "style",
                    options=list(_STYLES),
                    default="lines",
                    tooltip="lines: coloured lines along brows, lids and lips, and the pupils (FollowYourEmoji). head "
                    "and mouth: dots in two pictures (AnimateAnyone's face reenactment).",
                ),
                *_placing("pictures"),
            ],
            outputs=[
                MotionSocket.Output(display_name="motion", tooltip="For Animate Portrait."),
                io.Image.Output(display_name="images", tooltip="The same as pictures, a frame's side by side."),
            ],
        )

    @classmethod
    def execute(cls, driving: Any, style: str, **placing: Any) -> io.NodeOutput:
        signal = _made(_STYLES[style], driving, placing)
        shown = torch.cat(signal.frames.split(3, dim=1), dim=-1)
        return io.NodeOutput(signal, bridge.unit_to_image(shown))


def _made(
    kind: str,
    driving: Any,
    placing: dict[str, Any],
    *,
    frames: Tensor | None = None,
) -> MotionSignal:
    """The motion signal of a kind.

    Args:
        placing: by name what ``_placing`` asks for, where it was given; a side of 0 is the reference's, or without one
            the driving frames'.
    """
    from ..model_core.motion.signals import make_signal

    given = {"reference": None, "strength": None, "turning": "relative", "rest_frame": 0, **placing}
    reference = given["reference"]
    if reference is None and given["strength"] is not None:
        raise bridge.InputError(
            "strength: counts on the portrait's face; connect Encode Reference's framed_track to reference"
        )
    settings = motion_settings(given["alignment"], given["strength"], given["turning"], given["rest_frame"])
    shown = (driving if reference is None else reference).size
    size = (given["height"] or shown[0], given["width"] or shown[1])
    return make_signal(kind, driving, reference=reference, settings=settings, frames=frames, size=size)  # type: ignore[arg-type]
