"""Stage motion: what moves, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .sockets import FaceTrackSocket, MotionSocket

if TYPE_CHECKING:
    from ..model_core.types import MotionSignal

CATEGORY = "VividPortraits/motion"


_RELATIVE = "relative: the driving motion from the portrait's own place and size."
_ABSOLUTE = "absolute: as it is in the driving frames."
_STYLES = {"lines": "drawn_landmarks", "head and mouth": "split_landmarks"}


def _placing(
    picture: str, alignments: Sequence[str] = ("relative", "absolute"), tooltip: str = f"{_RELATIVE} {_ABSOLUTE}"
) -> list[Any]:
    """Inputs that say where in the model's frame the motion is shown.

    Args:
        picture: what the motion signal's pictures are called.
        alignments: the choices of the alignment, the default first.
        tooltip: what they mean.
    """
    return [
        FaceTrackSocket.Input(
            "reference",
            optional=True,
            tooltip="The portrait's face as the model sees it: the second output of Encode Reference. "
            "Without it the driving face stays where it is in its own frame.",
        ),
        io.Combo.Input(
            "alignment",
            options=list(alignments),
            default=alignments[0],
            tooltip=tooltip,
        ),
        io.Int.Input(
            "width",
            default=0,
            min=0,
            max=4096,
            step=8,
            tooltip=f"Width of the {picture}, which must be the model's. 0 takes it from the reference.",
        ),
        io.Int.Input(
            "height",
            default=0,
            min=0,
            max=4096,
            step=8,
            tooltip=f"Height of the {picture}, which must be the model's. 0 takes it from the reference.",
        ),
    ]


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
    def execute(cls, driving: Any, alignment: str, width: int, height: int, reference: Any = None) -> io.NodeOutput:
        signal = _made("parsing_map", driving, reference, alignment, width, height)
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
    def execute(
        cls, driving: Any, images: Tensor, alignment: str, width: int, height: int, reference: Any = None
    ) -> io.NodeOutput:
        frames = bridge.from_image(images, name="images")
        signal = _made("masked_frames", driving, reference, alignment, width, height, frames=frames)
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
                *_placing(
                    "pictures",
                    ("retarget", "relative", "absolute"),
                    "retarget: the driver's expression and head movement on the portrait's own face, as "
                    f"FollowYourEmoji does it. {_RELATIVE} {_ABSOLUTE}",
                ),
            ],
            outputs=[
                MotionSocket.Output(display_name="motion", tooltip="For Animate Portrait."),
                io.Image.Output(display_name="images", tooltip="The same as pictures, a frame's side by side."),
            ],
        )

    @classmethod
    def execute(
        cls, driving: Any, style: str, alignment: str, width: int, height: int, reference: Any = None
    ) -> io.NodeOutput:
        signal = _made(_STYLES[style], driving, reference, alignment, width, height)
        shown = torch.cat(signal.frames.split(3, dim=1), dim=-1)
        return io.NodeOutput(signal, bridge.unit_to_image(shown))


def _made(
    kind: str,
    driving: Any,
    reference: Any,
    alignment: str,
    width: int,
    height: int,
    *,
    frames: Tensor | None = None,
) -> MotionSignal:
    """The motion signal of a kind; a side of 0 is the reference's, or without one the driving frames'."""
    from ..model_core.motion.signals import make_signal

    shown = (driving if reference is None else reference).size
    size = (height or shown[0], width or shown[1])
    return make_signal(kind, driving, reference=reference, placing=alignment, frames=frames, size=size)  # type: ignore[arg-type]
