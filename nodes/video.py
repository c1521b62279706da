"""Stage animate, for videos of any length: from a VIDEO to a VIDEO, neither of which is ever wholly in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import InputImpl, io, ui
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .animate import CATEGORY
from .placing import ALIGNMENT_WORDS, ALIGNMENTS, motion_settings, placing_inputs
from .settings import (
    SEEDS,
    denoise_input,
    output_size,
    sampler_inputs,
    sampling_settings,
    size_input,
)
from .sockets import (
    EditSocket,
    FaceAnalyzerSocket,
    GuidanceSocket,
    HistorySettings,
    HistorySocket,
    HostedModel,
    PortraitModelSocket,
    WindowsSocket,
)

if TYPE_CHECKING:
    from ..model_core.motion.scenes import MotionSettings


class AnimatePortraitVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsAnimatePortraitVideo",
            display_name="Animate Portrait Video",
            category=CATEGORY,
            **search_aliases("long video", "talking head", "resume", "reenactment", "paste back"),
            description="Animates a portrait with a driving video of any length, in bounded memory; queued again after "
            "a crash, it goes on.",
            inputs=[
                PortraitModelSocket.Input("model", tooltip="From Load Portrait Model."),
                FaceAnalyzerSocket.Input("analyzer", tooltip="From Load Face Analyzer."),
                io.Image.Input("image", tooltip="The portrait: one image, at least 64 pixels wide and high."),
                io.Video.Input(
                    "video", tooltip="The driving video, from Load Video. Length, rate and sound are the result's."
                ),
                *sampler_inputs(seed="Of the noise. Keep it fixed to go on with an unfinished video."),
                io.Combo.Input(
                    "paste",
                    options=["none", "reference", "driving"],
                    default="none",
                    tooltip="none: the portrait, of the size below. reference: the same, and the whole portrait also "
                    "where the size is the model's. driving: the face alone, laid over the driver's in the driving "
                    "video.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/portrait",
                    tooltip="Begin of the file's name in ComfyUI's output folder; what is unfinished lies beside it.",
                ),
                *_optional_inputs(),
                denoise_input(),
                *placing_inputs(
                    "auto", words=" auto: absolute where the face is pasted over the driver's, else relative."
                ),
                size_input(words=" Without effect where the face is pasted over the driver's."),
                EditSocket.Input(
                    "edit",
                    optional=True,
                    tooltip="From Edit Expression: sliders on top of the driver's motion, in every frame. Only with "
                    "alignment retarget.",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The finished file, in the output folder.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model: HostedModel,
        analyzer: Any,
        image: Tensor,
        video: Any,
        seed: int,
        steps: int,
        scheduler: str,
        paste: str,
        filename_prefix: str,
        mask: Tensor | None = None,
        guidance: Any = None,
        windows: Any = None,
        history: HistorySettings | None = None,
        framing: str = "auto",
        alignment: str = "auto",
        face_index: int = 0,
        max_gap: int = 250,
        missing: str = "hold",
        smoothing: bool = False,
        match_colour: bool = True,
        sound: bool = True,
        mark_synthetic: bool = True,
        denoise: float = 1.0,
        strength: Any = None,
        turning: str = "auto",
        rest_frame: int = 0,
        size: str = "portrait",
        edit: Any = None,
    ) -> io.NodeOutput:
        from ..model_core.images import check_reference
        from ..model_core.jobs import FaceSettings, VideoJob

        if history is not None and history.images is not None:
            raise bridge.InputError("history: has earlier frames, which this node does not go on from; disconnect them")
        portrait, alpha = bridge.from_cut_out(image, name="image")
        check_reference(portrait, name="image")
        if mask is not None:
            alpha = bridge.from_mask(mask, size=(portrait.shape[-2], portrait.shape[-1]), name="mask")
        with bridge.driving_file(video) as driving:
            job = VideoJob(
                image=portrait,
                name="image",
                driving=driving,
                output=Path("video.mp4"),
                mask=alpha,
                sampling=sampling_settings(
                    model,
                    guidance,
                    windows,
                    history,
                    seed=seed % SEEDS,
                    steps=steps,
                    scheduler=scheduler,
                    denoise=denoise,
                ),
                motion=_motion(alignment, strength, turning, rest_frame, edit, paste=paste),
                framing=framing,  # type: ignore[arg-type]
                faces=FaceSettings(face_index, max_gap, missing, smoothing),  # type: ignore[arg-type]
                size=output_size(size),
                paste=paste,  # type: ignore[arg-type]
                match_colour=match_colour,
                sound=sound,
                mark=mark_synthetic,
            )
            path, subfolder = bridge.do_video_job(model, job, analyzer, prefix=filename_prefix, hidden=cls.hidden)
        shown = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)])
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=shown)


def _motion(alignment: str, strength: Any, turning: str, rest_frame: int, edit: Any, *, paste: str) -> MotionSettings:
    """What the placing's inputs mean; over the driver's face the head has to turn as the driver's does."""
    placing = ALIGNMENTS[0] if alignment == "auto" else alignment
    chosen = ("absolute" if paste == "driving" else "relative") if turning == "auto" else turning
    return motion_settings(placing, strength, chosen, rest_frame, edit)


def _optional_inputs() -> list[Any]:
    return [
        io.Mask.Input("mask", optional=True, tooltip="1 on the person. Without it, the image's alpha, or an estimate."),
        GuidanceSocket.Input("guidance", optional=True, tooltip="From Signal Fusion; else the model's own settings."),
        WindowsSocket.Input(
            "windows", optional=True, tooltip="From Cyclic Overlap Windows; else the model's own settings."
        ),
        HistorySocket.Input(
            "history",
            optional=True,
            tooltip="From History Frames, without earlier frames: chunk is what is finished and kept at a time.",
        ),
        io.Combo.Input(
            "framing",
            options=["auto", "face", "full"],
            default="auto",
            optional=True,
            tooltip="full: as much of the portrait as fits the model. face: cropped around the face. auto: cropped "
            "where the face is much smaller or larger than the model knows.",
        ),
        io.Combo.Input(
            "alignment",
            options=["auto", *ALIGNMENTS],
            default="auto",
            optional=True,
            tooltip=f"auto: retarget. {ALIGNMENT_WORDS}",
        ),
        io.Int.Input(
            "face_index",
            default=0,
            min=0,
            max=31,
            optional=True,
            tooltip="Which face of the first driving frame to follow: 0 is the largest one.",
        ),
        io.Int.Input(
            "max_gap",
            default=250,
            min=0,
            max=1_000_000,
            optional=True,
            tooltip="So many frames in a row without the face are filled in; more are an error that names them.",
        ),
        io.Combo.Input(
            "missing",
            options=["hold", "interpolate", "error"],
            default="hold",
            optional=True,
            tooltip="Frames without the face. hold: keep the last one that shows it. interpolate: fill in between "
            "neighbours. error: stop and name them.",
        ),
        io.Boolean.Input(
            "smoothing", default=False, optional=True, tooltip="Calms landmarks that tremble; fast motion stays."
        ),
        io.Boolean.Input(
            "match_colour",
            default=True,
            optional=True,
            tooltip="Gives what is pasted the colours of what it covers, averaged over about two seconds.",
        ),
        io.Boolean.Input("sound", default=True, optional=True, tooltip="Takes over the driving video's sound."),
        io.Boolean.Input(
            "mark_synthetic",
            default=True,
            optional=True,
            tooltip="Writes into the file's metadata that it is synthetic (IPTC's DigitalSourceType).",
        ),
    ]
