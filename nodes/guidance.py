"""Stage guidance: how hard to follow what, which frames together, and what came before."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from . import bridge
from .sockets import GuidanceSocket, HistorySettings, HistorySocket, MotionSocket, WindowsSocket

CATEGORY = "VividPortraits/guidance"


def _scale(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=20.0, step=0.05, round=0.001, tooltip=tooltip)


class SignalFusion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsSignalFusion",
            display_name="Signal Fusion",
            category=CATEGORY,
            description="How hard to follow the portrait, the driving face and the frames before, each by itself. "
            "All three at 1 run the network once per window, other values up to four times.",
            inputs=[
                _scale("identity", "Pull towards the portrait (lambda s); the paper uses 2. 1 is neutral."),
                _scale("motion", "Pull towards the driving face (lambda d); the paper uses 2.5. 1 is neutral."),
                _scale("continuity", "Pull towards the frames of the history (lambda p). 1 is neutral."),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Part of the steps after which fusion begins.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Part of the steps after which fusion ends; must not be before the start.",
                ),
            ],
            outputs=[GuidanceSocket.Output(display_name="guidance", tooltip="For Animate Portrait.")],
        )

    @classmethod
    def execute(cls, identity: float, motion: float, continuity: float, start: float, end: float) -> io.NodeOutput:
        from ..model_core.sampling.guidance import SignalFusion as Fusion

        return io.NodeOutput(Fusion(identity=identity, motion=motion, continuity=continuity, start=start, end=end))


class CyclicOverlapWindows(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsCyclicOverlapWindows",
            display_name="Cyclic Overlap Windows",
            category=CATEGORY,
            description="Which frames are denoised together. Neighbouring windows share frames, and the windows "
            "move on by one frame after every step, so that no frame stays at an edge.",
            inputs=[
                io.Int.Input(
                    "length",
                    default=16,
                    min=1,
                    max=256,
                    tooltip="Frames denoised together, at most what the model was trained for.",
                ),
                io.Int.Input(
                    "overlap",
                    default=4,
                    min=0,
                    max=255,
                    tooltip="Frames shared by neighbouring windows; must be smaller than the length.",
                ),
                io.Boolean.Input(
                    "cyclic",
                    default=True,
                    tooltip="Move the windows after every step. Off keeps them in place, and their seams visible.",
                ),
                io.Int.Input(
                    "preview_frames",
                    default=48,
                    min=1,
                    max=512,
                    tooltip="Frames of the picture; no effect on the result.",
                ),
                io.Int.Input(
                    "preview_steps",
                    default=12,
                    min=1,
                    max=100,
                    tooltip="Steps of the picture; no effect on the result.",
                ),
            ],
            outputs=[
                WindowsSocket.Output(display_name="windows", tooltip="For Animate Portrait."),
                io.Image.Output(display_name="picture", tooltip="The windows over the steps."),
            ],
        )

    @classmethod
    def execute(cls, length: int, overlap: int, cyclic: bool, preview_frames: int, preview_steps: int) -> io.NodeOutput:
        from ..model_core.sampling.windows import CyclicOverlap, window_picture

        windows = CyclicOverlap(length, overlap, cyclic=cyclic)
        picture = bridge.pixels_to_image(window_picture(windows, preview_frames, preview_steps)[None])
        return io.NodeOutput(windows, picture, ui=ui.PreviewImage(picture, cls=cls))


class HistoryFrames(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsHistoryFrames",
            display_name="History Frames",
            category=CATEGORY,
            description="Long videos are made chunk by chunk; the last finished frames stand in front of the next "
            "chunk.",
            inputs=[
                io.Int.Input(
                    "frames",
                    default=3,
                    min=0,
                    max=64,
                    tooltip="Finished frames that every chunk sees of the one before. 0 makes chunks independent.",
                ),
                io.Int.Input(
                    "chunk",
                    default=64,
                    min=1,
                    max=10_000,
                    tooltip="Frames sampled at a time; bounds the memory of a long video.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Finished frames of an earlier run to continue from; the last ones count. Needs their "
                    "motion.",
                ),
                MotionSocket.Input("motion", optional=True, tooltip="The motion that made those frames, one for each."),
            ],
            outputs=[HistorySocket.Output(display_name="history", tooltip="For Animate Portrait.")],
        )

    @classmethod
    def execute(cls, frames: int, chunk: int, images: Tensor | None = None, motion: Any = None) -> io.NodeOutput:
        if images is None and motion is None:
            return io.NodeOutput(HistorySettings(frames, chunk))
        if images is None or motion is None:
            raise bridge.InputError("history: earlier images need their motion, and motion its images; connect both")
        finished = bridge.from_image(images, name="history images")
        if len(finished) != len(motion):
            raise bridge.InputError(
                f"history: {len(finished)} images and the motion of {len(motion)}; connect what belongs together"
            )
        if frames == 0:
            return io.NodeOutput(HistorySettings(0, chunk))
        last = range(max(0, len(motion) - frames), len(motion))
        return io.NodeOutput(HistorySettings(frames, chunk, finished[list(last)], motion.take(last)))
