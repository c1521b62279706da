"""Stage motion: what moves, as a picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .sockets import FaceTrackSocket, MotionSocket

CATEGORY = "VividPortraits/motion"


def _placing(picture: str) -> list[Any]:
    """Inputs that say where in the model's frame the motion is shown.

    Args:
        picture: what the motion signal's pictures are called.
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
            options=["relative", "absolute"],
            default="relative",
            tooltip="relative: the driving motion from the portrait's own place and size. absolute: as it "
            "is in the driving frames.",
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
        from ..model_core.motion.alignment import align
        from ..model_core.motion.parsing_map import parsing_map_signal

        placed = driving if reference is None else align(driving, reference, mode=alignment)
        signal = parsing_map_signal(placed, size=(height or placed.size[0], width or placed.size[1]))
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
        from ..model_core.motion.alignment import placement
        from ..model_core.motion.masked_frames import masked_frames_signal

        frames = bridge.from_image(images, name="images")
        place = None if reference is None else placement(driving, reference, mode=alignment)  # type: ignore[arg-type]
        shown = driving.size if reference is None else reference.size
        signal = masked_frames_signal(frames, driving, size=(height or shown[0], width or shown[1]), place=place)
        return io.NodeOutput(signal, bridge.unit_to_image(signal.frames))
