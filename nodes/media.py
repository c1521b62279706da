"""Stage media: the result as a video or as pictures, which say that they are synthetic."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from . import bridge
from .aliases import search_aliases

CATEGORY = "VividPortraits/media"
_MARK_TOOLTIP = (
    "Writes into the file's metadata that it is synthetic (IPTC's DigitalSourceType: trainedAlgorithmicMedia). "
    "Switch it off only where you say so in another way."
)


class CreatePortraitVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsCreatePortraitVideo",
            display_name="Create Portrait Video",
            category=CATEGORY,
            **search_aliases("video combine", "audio", "watermark", "synthetic media"),
            description="Makes a video of the frames with the driving video's own frame rate and sound.",
            inputs=[
                io.Image.Input("images", tooltip="The frames in order. An alpha channel is dropped: videos have none."),
                io.Video.Input(
                    "source",
                    optional=True,
                    tooltip="The driving video: its exact frame rate and its sound, cut to the frames, are taken over.",
                ),
                io.Float.Input(
                    "fps",
                    default=25.0,
                    min=0.1,
                    max=240.0,
                    step=0.01,
                    tooltip="Frames per second where no source is connected; 23.98, 29.97 and 59.94 mean the exact "
                    "broadcast rates.",
                ),
                io.Boolean.Input("mark_synthetic", default=True, tooltip=_MARK_TOOLTIP),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="For Save Video.")],
        )

    @classmethod
    def execute(cls, images: Tensor, fps: float, mark_synthetic: bool, source: Any = None) -> io.NodeOutput:
        from ..model_core.video.read import exact_rate

        frames = bridge.checked(images, name="images")
        sound = None
        if source is None:
            rate = exact_rate(fps)
        else:
            rate, sound = bridge.video_facts(source, frames=len(frames))
        pictures = bridge.as_image(frames[:, :3])
        return io.NodeOutput(bridge.PortraitVideo(pictures, rate=rate, sound=sound, mark=mark_synthetic))


class SavePortraitImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsSavePortraitImages",
            display_name="Save Portrait Images",
            category=CATEGORY,
            **search_aliases("save image", "png", "watermark", "synthetic media"),
            description="Saves the frames as PNG files that say in their metadata that they are synthetic.",
            inputs=[
                io.Image.Input("images", tooltip="The frames; an alpha channel is kept."),
                io.String.Input(
                    "filename_prefix",
                    default="portraits/frame",
                    tooltip="Begin of the file names in ComfyUI's output folder, with folders and placeholders as in "
                    "Save Image.",
                ),
                io.Boolean.Input("mark_synthetic", default=True, tooltip=_MARK_TOOLTIP),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Tensor, filename_prefix: str, mark_synthetic: bool) -> io.NodeOutput:
        frames = bridge.checked(images, name="images")
        saved = bridge.write_images(frames, prefix=filename_prefix, hidden=cls.hidden, mark=mark_synthetic)
        shown = [ui.SavedResult(file, folder, io.FolderType.output) for file, folder in saved]
        return io.NodeOutput(ui=ui.SavedImages(shown))
