"""Stage load: the portrait model, the face analyzer, the bundled media."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import InputImpl, io

from . import bridge
from .aliases import search_aliases
from .sockets import FaceAnalyzerSocket, PortraitModelSocket

CATEGORY = "VividPortraits/load"
EXAMPLES = {"demo": ("demo_portrait.png", "demo_driving.mp4")}


class LoadPortraitModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsLoadPortraitModel",
            display_name="Load Portrait Model",
            category=CATEGORY,
            **search_aliases("checkpoint loader", "portrait checkpoint", "vivid portraits"),
            description="Loads a portrait animation model: a bundled one, or a file in ComfyUI's models/portraits or "
            "its standard model folders.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=bridge.model_names(),
                    tooltip="Bundled models come first; files end in .safetensors and lie in ComfyUI's "
                    "models/portraits folder. Of checkpoints, vae, clip_vision and animatediff_models, files of this "
                    "project are listed too.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", *bridge.DTYPES],
                    default="auto",
                    tooltip="Number format of weights and arithmetic. auto is ComfyUI's own choice for this machine.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(bridge.ATTENTIONS),
                    default="auto",
                    optional=True,
                    tooltip="sdpa: torch's fastest kernel. sliced: a few rows at a time, the same result in less "
                    "memory. auto: sliced where ComfyUI was started with --lowvram or --novram, else sdpa.",
                ),
                io.Boolean.Input(
                    "compile",
                    default=False,
                    optional=True,
                    tooltip="Compile the denoiser with torch.compile: the first run takes minutes longer, the next "
                    "ones are faster. Without a compiler on this machine the log says so and the model runs as it is.",
                ),
            ],
            outputs=[PortraitModelSocket.Output(display_name="model", tooltip="The loaded model.")],
        )

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        if bridge.model_path(model) is not None:
            return True
        found = ", ".join(bridge.model_names()) or "none"
        return f"model '{model}' is not there; found: {found}. Put its file into ComfyUI's models/portraits"

    @classmethod
    def fingerprint_inputs(
        cls, model: str, dtype: str, attention: str = "auto", compile: bool = False
    ) -> tuple[Any, ...]:
        path = bridge.model_path(model)
        return (str(path), path.stat().st_mtime_ns if path else 0, dtype, attention, compile)

    @classmethod
    def execute(cls, model: str, dtype: str, attention: str = "auto", compile: bool = False) -> io.NodeOutput:
        path = bridge.model_path(model)
        if path is None:
            raise bridge.InputError(f"model '{model}' has been removed; choose another and queue again")
        return io.NodeOutput(bridge.load_model(path, dtype, attention=attention, compiled=compile))


class LoadFaceAnalyzer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsLoadFaceAnalyzer",
            display_name="Load Face Analyzer",
            category=CATEGORY,
            **search_aliases("face detector", "landmarks", "mediapipe"),
            description="Loads the network that finds faces, their landmarks and their components.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=["mediapipe"],
                    tooltip="mediapipe: Google's face landmarker (Apache-2.0), runs offline on the CPU.",
                ),
            ],
            outputs=[FaceAnalyzerSocket.Output(display_name="analyzer", tooltip="For Analyze Faces.")],
        )

    @classmethod
    def execute(cls, backend: str) -> io.NodeOutput:
        from ..model_core.faces.mediapipe_backend import MediaPipeAnalyzer

        return io.NodeOutput(MediaPipeAnalyzer(folders=bridge.model_folders()))


class ExampleMedia(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsExampleMedia",
            display_name="Example Media",
            category=CATEGORY,
            **search_aliases("demo", "sample media", "test video"),
            description="The bundled portrait and driving clip, so that a workflow runs before you bring your own.",
            inputs=[
                io.Combo.Input("which", options=list(EXAMPLES), tooltip="Which portrait and clip."),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Driving frames to read, from the first one. 0 reads all of them.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="reference", tooltip="The portrait."),
                io.Image.Output(display_name="driving", tooltip="The frames of the driving clip."),
                io.Video.Output(display_name="driving_video", tooltip="The whole driving clip as a video."),
                io.Float.Output(display_name="fps", tooltip="Frames per second of the driving clip."),
            ],
        )

    @classmethod
    def execute(cls, which: str, frames: int) -> io.NodeOutput:
        from ..model_core.images import read_pixels
        from ..model_core.video.read import open_video, read_video

        portrait, clip = (bridge.asset(name) for name in EXAMPLES[which])
        return io.NodeOutput(
            bridge.pixels_to_image(read_pixels(portrait)[None]),
            bridge.pixels_to_image(read_video(clip, limit=frames or None)),
            InputImpl.VideoFromFile(str(clip)),
            float(open_video(clip).fps),
        )
