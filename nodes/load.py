"""Stage load: the portrait model, the face analyzer, the bundled media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import InputImpl, io

from . import bridge
from .aliases import search_aliases
from .sockets import FaceAnalyzerSocket, PortraitModelSocket

CATEGORY = "VividPortraits/load"
FACER_MEMORY = 3 * 2**30  # bytes: weights of two or three networks, and one face's heat maps
EXAMPLES = {"demo": ("demo_portrait.png", "demo_driving.mp4")}


class LoadPortraitModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsLoadPortraitModel",
            display_name="Load Portrait Model",
            category=CATEGORY,
            **search_aliases("checkpoint loader", "portrait checkpoint", "vivid portraits"),
            description="Loads a portrait animation model: a bundled one, a file or a folder of files in ComfyUI's "
            "models/portraits, or a file of its standard model folders.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=bridge.model_names(),
                    tooltip="Bundled models come first; files end in .safetensors and lie in ComfyUI's "
                    "models/portraits folder, where a folder of public files is a model too. Of "
                    "checkpoints, vae, clip_vision and animatediff_models, files of this "
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
    def validate_inputs(cls, model: str | None = None) -> bool | str:
        if model is None or bridge.model_path(str(model)) is not None:  # missing, which ComfyUI says, or linked
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
            raise bridge.InputError(f"model '{model}' is not there; choose another and queue again")
        return io.NodeOutput(bridge.load_model(path, dtype, attention=attention, compiled=compile))


NONE = "none"
_PARTS = {
    "checkpoint": "A Stable Diffusion 1.5 single file. It fills what no other file brings: both networks, the VAE.",
    "unet": "The denoiser: AnimateAnyone's denoising_unet, FollowYourEmoji's unet, or a Stable Diffusion 1.5 UNet.",
    "reference_unet": "The ReferenceNet: AnimateAnyone's reference_unet, FollowYourEmoji's referencenet.",
    "motion_module": "AnimateDiff's mm_*.ckpt (v1, v2, v3), diffusers' MotionAdapter, AnimateAnyone's motion_module. "
    "None where the denoiser's own file has its temporal layers.",
    "pose_guider": "AnimateAnyone's pose_guider, FollowYourEmoji's lmk_guider, or a model of this project, of which "
    "only the PoseGuider is taken.",
    "pose_guider_2": "The second one, which AnimateAnyone's face reenactment has.",
    "vae": "A Stable Diffusion 1.5 VAE such as sd-vae-ft-mse. None where the checkpoint holds one.",
    "clip_vision": "CLIP ViT-L/14's image encoder: the one of sd-image-variations.",
}
_ROLES = {"unet": "denoiser", "reference_unet": "reference_net", "pose_guider_2": "pose_guider_2"}


def _part_input(name: str, tooltip: str) -> Any:
    options = [NONE, *bridge.part_names(name.removesuffix("_2"))]
    return io.Combo.Input(name, options=options, default=NONE, optional=True, tooltip=tooltip)


class LoadPortraitModelFiles(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsLoadPortraitModelFiles",
            display_name="Load Portrait Model Files",
            category=CATEGORY,
            **search_aliases(
                "AnimateAnyone", "FollowYourEmoji", "AnimateDiff", "Stable Diffusion 1.5", "assemble model"
            ),
            description="Assembles a portrait animation model from public files: Stable Diffusion 1.5 with "
            "AnimateDiff, Moore-AnimateAnyone, FollowYourEmoji. Says what it recognised, refuses what is not complete.",
            inputs=[
                *(_part_input(name, tooltip) for name, tooltip in _PARTS.items()),
                io.Combo.Input(
                    "dtype",
                    options=["auto", *bridge.DTYPES],
                    default="auto",
                    optional=True,
                    tooltip="Number format of weights and arithmetic; auto is ComfyUI's own choice. float8 halves the "
                    "weights' memory against float16 and computes in bfloat16, for 8 GB cards.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(bridge.ATTENTIONS),
                    default="auto",
                    optional=True,
                    tooltip="sdpa: torch's fastest kernel. sliced: a few rows at a time, the same result in less "
                    "memory. auto: sliced where ComfyUI was started with --lowvram or --novram, else sdpa.",
                ),
            ],
            outputs=[
                PortraitModelSocket.Output(display_name="model", tooltip="The assembled model."),
                io.String.Output(display_name="report", tooltip="What each file was recognised as, and what it gives."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> tuple[Any, ...]:
        paths = [bridge.part_path(name) for name in cls._chosen(inputs).values()]
        return (*sorted(inputs.items()), *((str(path), path.stat().st_mtime_ns if path else 0) for path in paths))

    @classmethod
    def execute(
        cls,
        checkpoint: str = NONE,
        unet: str = NONE,
        reference_unet: str = NONE,
        motion_module: str = NONE,
        pose_guider: str = NONE,
        pose_guider_2: str = NONE,
        vae: str = NONE,
        clip_vision: str = NONE,
        dtype: str = "auto",
        attention: str = "auto",
    ) -> io.NodeOutput:
        from ..model_core.weights.plan import explain, plan

        given = (checkpoint, unet, reference_unet, motion_module, pose_guider, pose_guider_2, vae, clip_vision)
        paths, roles = cls._files(dict(zip(_PARTS, given, strict=True)))
        found = plan(paths, roles=roles)
        report = [f"{found.preset.title}: {found.preset.about}", *explain(found)]
        model = bridge.load_files(paths, dtype, roles=roles, attention=attention)
        return io.NodeOutput(model, "\n".join(report))

    @staticmethod
    def _chosen(inputs: dict[str, Any]) -> dict[str, str]:
        return {part: name for part, name in inputs.items() if part in _PARTS and name not in (None, NONE)}

    @classmethod
    def _files(cls, inputs: dict[str, Any]) -> tuple[list[Path], dict[Path, Any]]:
        paths, roles = [], {}
        for part, name in cls._chosen(inputs).items():
            path = bridge.part_path(name)
            if path is None:
                raise bridge.InputError(f"{part}: {name} is not there; choose another and queue again")
            paths.append(path)
            if part in _ROLES:
                roles[path] = _ROLES[part]
        if not paths:
            raise bridge.InputError("no file is chosen: choose the files of a public model, at least a checkpoint")
        return list(dict.fromkeys(paths)), roles


class LoadFaceAnalyzer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsLoadFaceAnalyzer",
            display_name="Load Face Analyzer",
            category=CATEGORY,
            **search_aliases("face detector", "landmarks", "mediapipe", "facer", "face parsing"),
            description="Loads the network that finds faces, their landmarks and their components.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=["mediapipe", "facer", "facer_person"],
                    tooltip="mediapipe: Google's face landmarker (Apache-2.0), runs offline on the CPU; where it is "
                    "not installed and facer is, facer runs. facer: the papers' own analyser (FaRL, MIT), which parses "
                    "pixels; for a GPU, needs the package pyfacer and its weights. facer_person: that with a second "
                    "network for neck, clothes and hat, for portraits.",
                ),
            ],
            outputs=[FaceAnalyzerSocket.Output(display_name="analyzer", tooltip="For Analyze Faces.")],
        )

    @classmethod
    def execute(cls, backend: str) -> io.NodeOutput:
        from ..model_core.faces.backends import load_analyzer, usable_backend

        usable = usable_backend(backend)  # type: ignore[arg-type]
        device = "cpu" if usable == "mediapipe" else bridge.device_for_tools(FACER_MEMORY)
        return io.NodeOutput(load_analyzer(usable, folders=bridge.model_folders(), device=device))


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
