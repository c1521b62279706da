"""Stage faces: who is where, as ComfyUI's own node has found it."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .faces import CATEGORY, followed, following_inputs, found_outputs
from .sockets import FaceLandmarksSocket


class FollowFaceLandmarks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsFollowFaceLandmarks",
            display_name="Follow Face Landmarks",
            category=CATEGORY,
            **search_aliases("mediapipe", "face landmarks", "face tracking"),
            description="Follows one face through landmarks that ComfyUI's own Detect Face Landmarks has found, where "
            "MediaPipe is not installed.",
            inputs=[
                FaceLandmarksSocket.Input(
                    "landmarks",
                    tooltip="From Detect Face Landmarks (MediaPipe) with missing_frame_fallback empty; what is missing "
                    "is filled in here.",
                ),
                io.Image.Input("images", tooltip="The frames in which they were found, or the one portrait."),
                *following_inputs(),
            ],
            outputs=found_outputs(),
        )

    @classmethod
    def execute(
        cls,
        landmarks: Any,
        images: Tensor,
        face_index: int,
        max_gap: int,
        smoothing: bool,
        missing: str = "interpolate",
    ) -> io.NodeOutput:
        from ..model_core.faces.analyze import follow_face
        from ..model_core.faces.host_landmarks import faces_from_landmarks

        frames = bridge.from_image(images, name="images")
        found, size = faces_from_landmarks(landmarks, name="landmarks")
        if (len(found), size) != (len(frames), tuple(frames.shape[-2:])):
            raise bridge.InputError(
                f"landmarks: of {len(found)} frame(s) of {size[1]}x{size[0]}, images are {len(frames)} of "
                f"{frames.shape[-1]}x{frames.shape[-2]}; connect the images in which they were found"
            )
        faces = follow_face(
            found,
            size=size,
            name="landmarks",
            face_index=face_index,
            max_gap=max_gap,
            policy=missing,  # type: ignore[arg-type]
            smoothing=smoothing,
        )
        return io.NodeOutput(faces.track, *followed(faces, frames, images, missing, name="landmarks"))
