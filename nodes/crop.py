"""Stage faces: cut a face out of large frames, and put the animated one back."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .faces import CATEGORY
from .sockets import FaceCropSocket, FaceTrackSocket


class CropFace(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsCropFace",
            display_name="Crop Face",
            category=CATEGORY,
            **search_aliases("face crop", "zoom to face"),
            description="Cuts the square around a face out of every frame; the square stands still over the clip.",
            inputs=[
                io.Image.Input("images", tooltip="The frames, or the one portrait, in which the face was found."),
                FaceTrackSocket.Input("track", tooltip="The face, from Analyze Faces on these images."),
                io.Float.Input(
                    "margin",
                    default=0.6,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Room around the face on each side, as a share of the face. Beyond the image its border "
                    "is repeated.",
                ),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Side of the result in pixels, such as the model's; 0 keeps the pixels as they are.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The square of every frame."),
                FaceCropSocket.Output(display_name="crop", tooltip="Where it was, for Paste Face Back."),
                FaceTrackSocket.Output(display_name="track", tooltip="The same face in the pixels of the square."),
            ],
        )

    @classmethod
    def execute(cls, images: Tensor, track: Any, margin: float, size: int) -> io.NodeOutput:
        from ..model_core.faces.crop import crop_frames, crop_region, crop_track

        frames = bridge.checked(images, name="images")
        if len(frames) != len(track) or tuple(frames.shape[-2:]) != tuple(track.size):
            raise bridge.InputError(
                f"track: {len(track)} frame(s) of {track.size[1]}x{track.size[0]}, images are {len(frames)} of "
                f"{frames.shape[-1]}x{frames.shape[-2]}; connect frames_kept of the Analyze Faces that made the track"
            )
        region = crop_region(track, margin=margin)
        made = crop_frames(frames, region, size=size or None)
        return io.NodeOutput(bridge.as_image(made), region, crop_track(track, region, size=size or None))


class PasteFaceBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsPasteFaceBack",
            display_name="Paste Face Back",
            category=CATEGORY,
            **search_aliases("uncrop", "stitch face", "composite face"),
            description="Puts animated squares back where Crop Face cut them out, with a soft edge.",
            inputs=[
                io.Image.Input("images", tooltip="The animated squares; their alpha channel, if any, is obeyed."),
                io.Image.Input(
                    "target",
                    tooltip="The full frames that were cropped: one for each animated square, or one portrait that "
                    "serves them all.",
                ),
                FaceCropSocket.Input("crop", tooltip="From the Crop Face that cut the squares out."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="1 where the animated square may show; seen over the square, of any size, one or one for "
                    "each frame. Face Region Mask on Crop Face's track makes one.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.08,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="Width of the square's soft edge as a share of its side; 0 is a hard edge.",
                ),
                io.Boolean.Input(
                    "match_colour",
                    default=False,
                    tooltip="Give the animated squares the colours of what they cover, one correction for the clip.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="The full frames; outside square and mask exactly the target."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        target: Tensor,
        crop: Any,
        feather: float,
        match_colour: bool,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        from ..model_core.faces.crop import paste_back

        made, frames = bridge.checked(images, name="images"), bridge.checked(target, name="target")
        _check_fit(made, frames, crop)
        shown = None
        if mask is not None:
            shown = bridge.from_masks(mask, frames=len(made), size=(made.shape[-2], made.shape[-1]), name="mask")
        if made.shape[1] == 4:
            alpha = made[:, 3:].clamp(0.0, 1.0)
            shown = alpha if shown is None else shown * alpha
        pasted = paste_back(
            frames[:, :3], made[:, :3].clamp(0.0, 1.0), crop, feather=feather, mask=shown, match_colour=match_colour
        )
        opacity = frames[:, 3:].expand(len(pasted), -1, -1, -1)
        return io.NodeOutput(bridge.as_image(torch.cat([pasted, opacity], dim=1)))


def _check_fit(made: Tensor, frames: Tensor, crop: Any) -> None:
    (height, width), (high, wide) = frames.shape[-2:], crop.frame_size
    if (height, width) != (high, wide):
        raise bridge.InputError(
            f"target: is {width}x{height}, but the face was cropped from {wide}x{high}; connect the image that went "
            "into Crop Face"
        )
    if len(frames) not in (1, len(made)):
        raise bridge.InputError(
            f"target: {len(frames)} frames for {len(made)} animated ones; connect one image, or as many frames"
        )
    if made.shape[-1] != made.shape[-2]:
        raise bridge.InputError(
            f"images: are {made.shape[-1]}x{made.shape[-2]}, but what was cropped is a square; animate it with a model "
            "of square frames"
        )
