"""Long videos in ComfyUI: the driving VIDEO as a file, a job's place in the output folder, its bar and Cancel."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy.cli_args import args
from comfy.utils import ProgressBar
from comfy_api.latest import InputImpl

from ..sockets import HostedModel
from .memory import log_estimate, on_device
from .progress import SamplingObserver, cancellable, check_cancel
from .saving import save_place

if TYPE_CHECKING:
    from ...model_core.jobs import VideoJob

_DIGITS = 12
_SAME_LENGTH = 0.05

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def driving_file(video: Any) -> Iterator[Path]:
    """A VIDEO as a file: its own where it has one, else a temporary one with the same content."""
    source = video.get_stream_source() if isinstance(video, InputImpl.VideoFromFile) else None
    if isinstance(source, str) and _is_whole(video, source):
        yield Path(source)
        return
    Path(folder_paths.get_temp_directory()).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder_paths.get_temp_directory()) as folder:
        path = Path(folder) / "driving.mp4"
        if isinstance(source, io.BytesIO) and _is_whole(video, source):
            path.write_bytes(source.getbuffer())
        else:
            video.save_to(str(path))
        yield path


def _is_whole(video: Any, source: Any) -> bool:
    """Whether the file is the whole truth; newer versions of ComfyUI trim a video without touching its file."""
    untrimmed = InputImpl.VideoFromFile(source)
    return bool(abs(untrimmed.get_duration() - video.get_duration()) < _SAME_LENGTH)


def do_video_job(hosted: HostedModel, job: VideoJob, analyzer: Any, *, prefix: str, hidden: Any) -> tuple[Path, str]:
    """Do a job in ComfyUI's output folder, under a name that is the job's own: queued again, it goes on.

    Args:
        job: its output is set here.
        prefix: begin of the file's name, as of Save Video.
        hidden: the node's hidden inputs ``prompt`` and ``extra_pnginfo``, for the file's metadata.
    Returns:
        the video, and its folder inside the output folder.
    """
    from ...model_core.jobs import Watcher, animate_video, job_digest
    from ...model_core.sampling.estimate import plan_run
    from ...model_core.video.read import open_video

    frames = open_video(job.driving).frames or 1
    height, width = hosted.model.config.size
    folder, name, _, subfolder = save_place(prefix, width=width, height=height)
    on_device(hosted, frames=plan_run(frames, job.sampling).frames_at_once)
    digest = job_digest(job, model=hosted.model, analyzer=analyzer)
    output = folder / f"{name}_{digest[:_DIGITS]}.mp4"
    finding, sampling = ProgressBar(frames), None

    def looked(done: int) -> None:
        check_cancel()
        finding.update_absolute(done, max(frames, done))

    def planned(chunks: list[Any], finished: int, motion: Any) -> None:
        nonlocal sampling
        log_estimate(hosted, job.sampling, frames=len(motion))
        sampling = SamplingObserver(hosted.model, chunks=len(chunks) - finished)

    def observed(event: Any) -> None:
        if sampling is not None:
            sampling(event)

    animate_video(
        replace(job, output=output, metadata=_workflow(hidden)),
        model=cancellable(hosted.model),
        analyzer=analyzer,
        watcher=Watcher(
            say=lambda words: _log.info("%s", words),
            looked=looked,
            observer=observed,
            joined=lambda done: check_cancel(),
            planned=planned,
        ),
    )
    return output, subfolder


def _workflow(hidden: Any) -> dict[str, str]:
    if hidden is None or args.disable_metadata:
        return {}
    values = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})}
    return {key: json.dumps(value) for key, value in values.items() if value is not None}
