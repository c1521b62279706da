"""Stage faces: who is where, and masks of what is in a face."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .sockets import FaceAnalyzerSocket, FaceTrackSocket

CATEGORY = "VividPortraits/faces"
# id: components, default, tooltip
REGIONS = {
    "brows": (("LEFT_BROW", "RIGHT_BROW"), "Both eyebrows."),
    "eyes": (("LEFT_EYE", "RIGHT_EYE"), "The visible white of both eyes."),
    "irises": (("LEFT_IRIS", "RIGHT_IRIS"), "Both irises."),
    "nose": (("NOSE",), "The nose."),
    "lips": (("UPPER_LIP", "LOWER_LIP"), "Upper and lower lip."),
    "inner_mouth": (("INNER_MOUTH",), "What the open lips show."),
    "face": (("FACE",), "The rest of the face, up to its outline."),
}


class AnalyzeFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsAnalyzeFaces",
            display_name="Analyze Faces",
            category=CATEGORY,
            description="Follows one face through the frames of a clip, or finds it in one portrait.",
            inputs=[
                FaceAnalyzerSocket.Input("analyzer", tooltip="From Load Face Analyzer."),
                io.Image.Input("images", tooltip="The frames of a clip in order, or one portrait."),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=31,
                    tooltip="Which face of the first frame to follow: 0 is the largest one.",
                ),
                io.Int.Input(
                    "max_gap",
                    default=5,
                    min=0,
                    max=1000,
                    tooltip="So many frames in a row without a face are filled in between their neighbours; a "
                    "longer gap is an error that names the frames.",
                ),
                io.Boolean.Input(
                    "smoothing",
                    default=False,
                    tooltip="Calms landmarks that tremble (a One-Euro filter); fast motion stays.",
                ),
            ],
            outputs=[
                FaceTrackSocket.Output(display_name="track", tooltip="One face in every frame."),
                io.Image.Output(display_name="preview", tooltip="The components found, drawn over the frames."),
            ],
        )

    @classmethod
    def execute(cls, analyzer: Any, images: Tensor, face_index: int, max_gap: int, smoothing: bool) -> io.NodeOutput:
        from ..model_core.faces.analyze import analyze_frames
        from ..model_core.images import to_uint8

        frames = bridge.from_image(images, name="images")
        track = analyze_frames(
            (to_uint8(frame[None])[0] for frame in frames),
            analyzer,
            name="images",
            face_index=face_index,
            max_gap=max_gap,
            smoothing=smoothing,
            progress=bridge.Progress(len(frames)),
        )
        return io.NodeOutput(track, _drawn_over(frames, track))


class FaceRegionMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsFaceRegionMask",
            display_name="Face Region Mask",
            category=CATEGORY,
            description="A mask of parts of the face for every frame; ComfyUI's own mask nodes grow and feather it.",
            inputs=[
                FaceTrackSocket.Input("track", tooltip="From Analyze Faces."),
                *(io.Boolean.Input(name, default=True, tooltip=tip) for name, (_, tip) in REGIONS.items()),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="1 on the chosen parts.")],
        )

    @classmethod
    def validate_inputs(cls, **regions: bool | None) -> bool | str:
        if any(regions.get(name) is not False for name in REGIONS):
            return True
        return "no part of the face is chosen; switch on at least one"

    @classmethod
    def execute(cls, track: Any, **regions: bool) -> io.NodeOutput:
        from ..model_core.motion.parsing_map import label_map
        from ..model_core.types import Component

        wanted = [Component[part] for name, (parts, _) in REGIONS.items() if regions[name] for part in parts]
        labels = track.label_maps
        if labels is None:
            labels = [label_map(landmarks, track.size, track.size) for landmarks in track.landmarks]
        masks = [torch.isin(torch.from_numpy(frame), torch.tensor(wanted)) for frame in labels]
        return io.NodeOutput(torch.stack(masks).float())


def _drawn_over(frames: Tensor, track: Any) -> Tensor:
    """The parsing map over the darkened frames, as an IMAGE."""
    from ..model_core.motion.parsing_map import parsing_map_signal

    maps = parsing_map_signal(track, size=track.size).frames
    shown = maps.amax(dim=1, keepdim=True) > 0
    return bridge.unit_to_image(torch.where(shown, maps, (frames + 1.0) / 4.0))
