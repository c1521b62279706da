"""Stage faces: who is where, and masks of what is in a face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .sockets import FaceAnalyzerSocket, FaceTrackSocket

if TYPE_CHECKING:
    from ..model_core.faces.analyze import ClipFaces

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


def following_inputs() -> list[Any]:
    """The widgets that say which face to follow, and what becomes of frames without it."""
    return [
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
            tooltip="So many frames in a row without the face are filled in by interpolate and hold; a "
            "longer gap is an error that names the frames. No effect on error and skip.",
        ),
        io.Boolean.Input(
            "smoothing",
            default=False,
            tooltip="Calms landmarks that tremble (a One-Euro filter); fast motion stays.",
        ),
        io.Combo.Input(
            "missing",
            options=["interpolate", "hold", "skip", "error"],
            default="interpolate",
            optional=True,
            tooltip="Frames without the face. interpolate: fill in between their neighbours. hold: keep the "
            "last frame that shows it. skip: leave them out of track and frames_kept. error: stop and name "
            "them.",
        ),
    ]


def found_outputs() -> list[Any]:
    """What is known of a face once it has been followed."""
    return [
        FaceTrackSocket.Output(display_name="track", tooltip="One face in every frame that is kept."),
        io.Image.Output(display_name="preview", tooltip="The components found, drawn over the frames."),
        io.String.Output(
            display_name="report", tooltip="How surely the face was seen, and which frames were filled in."
        ),
        io.Image.Output(
            display_name="plot", tooltip="The confidence over the frames; frames without the face are red."
        ),
        io.Image.Output(
            display_name="frames_kept",
            tooltip="The images that belong to the track, one for one: all of them, but with skip.",
        ),
    ]


def followed(faces: ClipFaces, frames: Tensor, images: Tensor, missing: str, *, name: str) -> tuple[Any, ...]:
    """All of ``found_outputs`` but the track.

    Args:
        frames: (F, 3, H, W) in [-1, 1], the same as ``images``, an IMAGE.
        missing: what became of frames without the face.
        name: of the input that showed the face.
    """
    from ..model_core.faces.report import describe_faces, plot_faces

    kept = faces.kept.tolist()
    return (
        _drawn_over(frames[kept], faces.track),
        describe_faces(faces, name=name, policy=missing),  # type: ignore[arg-type]
        bridge.pixels_to_image(plot_faces(faces)[None]),
        images if len(kept) == len(images) else images[kept],
    )


class AnalyzeFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsAnalyzeFaces",
            display_name="Analyze Faces",
            category=CATEGORY,
            **search_aliases("face detection", "face tracking", "landmarks"),
            description="Follows one face through the frames of a clip, or finds it in one portrait.",
            inputs=[
                FaceAnalyzerSocket.Input("analyzer", tooltip="From Load Face Analyzer."),
                io.Image.Input("images", tooltip="The frames of a clip in order, or one portrait."),
                *following_inputs(),
            ],
            outputs=found_outputs(),
        )

    @classmethod
    def execute(
        cls,
        analyzer: Any,
        images: Tensor,
        face_index: int,
        max_gap: int,
        smoothing: bool,
        missing: str = "interpolate",
    ) -> io.NodeOutput:
        from ..model_core.faces.analyze import analyze_clip
        from ..model_core.images import to_uint8
        from ..model_core.portraits import with_readings

        frames = bridge.from_image(images, name="images")
        faces = analyze_clip(
            (to_uint8(frame[None])[0] for frame in frames),
            analyzer,
            name="images",
            face_index=face_index,
            max_gap=max_gap,
            policy=missing,  # type: ignore[arg-type]
            smoothing=smoothing,
            progress=bridge.Progress(len(frames)),
        )
        track = faces.track
        if len(frames) == 1 and len(faces.kept):  # a portrait: how it reads makes expressions arrive
            track = with_readings(to_uint8(frames)[0], track, analyzer)
        return io.NodeOutput(track, *followed(faces, frames, images, missing, name="images"))


class FaceRegionMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsFaceRegionMask",
            display_name="Face Region Mask",
            category=CATEGORY,
            **search_aliases("face mask", "face parsing", "mouth mask"),
            description="A mask of parts of the face for every frame, widened or narrowed, with a hard or a soft edge.",
            inputs=[
                FaceTrackSocket.Input("track", tooltip="From Analyze Faces."),
                *(io.Boolean.Input(name, default=True, tooltip=tip) for name, (_, tip) in REGIONS.items()),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-512,
                    max=512,
                    optional=True,
                    tooltip="Pixels by which the mask reaches beyond the chosen parts; negative narrows it.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=128.0,
                    step=0.5,
                    optional=True,
                    tooltip="Pixels on each side of the edge over which the mask falls off; 0 is a hard edge.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="1 on the chosen parts.")],
        )

    @classmethod
    def execute(cls, track: Any, grow: int = 0, feather: float = 0.0, **regions: bool) -> io.NodeOutput:
        from ..model_core.motion.component_mask import component_masks
        from ..model_core.types import Component

        wanted = {Component[part] for name, (parts, _) in REGIONS.items() if regions[name] for part in parts}
        return io.NodeOutput(component_masks(track, wanted, grow=grow, feather=feather))


def _drawn_over(frames: Tensor, track: Any) -> Tensor:
    """The parsing map over the darkened frames, as an IMAGE."""
    from ..model_core.motion.parsing_map import parsing_map_signal

    maps = parsing_map_signal(track, size=track.size).frames
    shown = maps.amax(dim=1, keepdim=True) > 0
    return bridge.unit_to_image(torch.where(shown, maps, (frames + 1.0) / 4.0))
