"""Stage reference: the portrait, encoded once."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .sockets import FaceTrackSocket, HostedModel, HostedReference, PortraitModelSocket, ReferenceSocket

CATEGORY = "VividPortraits/reference"


class EncodeReference(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsEncodeReference",
            display_name="Encode Reference",
            category=CATEGORY,
            description="Brings a portrait into the model's frame and encodes it once for all frames and steps.",
            inputs=[
                PortraitModelSocket.Input("model", tooltip="From Load Portrait Model."),
                io.Image.Input(
                    "image", tooltip="The portrait: one image of any shape, at least 64 pixels wide and high."
                ),
                FaceTrackSocket.Input(
                    "track",
                    optional=True,
                    tooltip="The portrait's face, from Analyze Faces on the same image. Needed to crop to the "
                    "face and to place the driving motion on it.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="1 on the person. Without it the image's alpha channel counts; where it has none, the "
                    "person is estimated around the face, or without a track the whole image is the person.",
                ),
                io.Combo.Input(
                    "framing",
                    options=["auto", "face", "full"],
                    default="auto",
                    tooltip="full: as much of the image as fits the model's shape. face: crop around the face. "
                    "auto: crop only where the face is much smaller or larger than the model knows.",
                ),
            ],
            outputs=[
                ReferenceSocket.Output(display_name="reference", tooltip="For Animate Portrait."),
                FaceTrackSocket.Output(
                    display_name="framed_track",
                    tooltip="The portrait's face in the model's frame, for Parsing Map Motion. Nothing where no "
                    "track is connected.",
                ),
                io.Image.Output(display_name="framed_image", tooltip="The portrait as the model sees it."),
            ],
        )

    @classmethod
    def execute(
        cls, model: HostedModel, image: Tensor, framing: str, track: Any = None, mask: Tensor | None = None
    ) -> io.NodeOutput:
        from ..model_core.images import check_reference
        from ..model_core.pipeline import decode, encode_reference

        portrait, alpha = bridge.from_cut_out(image, name="image")
        check_reference(portrait, name="image")
        size = (portrait.shape[-2], portrait.shape[-1])
        if track is not None and tuple(track.size) != size:
            raise bridge.InputError(
                f"track: found in an image of {track.size[1]}x{track.size[0]}, the portrait is "
                f"{size[1]}x{size[0]}; analyse this very image"
            )
        foreground = alpha
        if mask is not None:
            foreground = bridge.from_mask(mask, size=size, name="mask")
        elif alpha is None and track is not None:
            from ..model_core.faces.foreground import estimate_foreground

            foreground = estimate_foreground(portrait, track)
        bridge.on_device(model)
        encoded = encode_reference(model.model, portrait, track=track, foreground=foreground, framing=framing)
        framed = bridge.to_image(decode(model.model, encoded.latents[None]))
        return io.NodeOutput(HostedReference(bridge.to_rest(encoded), model.model), encoded.track, framed)
