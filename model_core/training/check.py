"""What would stop a run after hours is looked for before it begins: its folder, and the headers of all its clips.

What can only happen later, a full disk or a clip that breaks, is told by an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ..errors import InputError
from ..paths import readable_folder, writable_folder
from ..types import NUM_LANDMARKS
from .clips import ClipFile, list_clips
from .config import TrainConfig

_LEAST_MOVES = 2


def check_run(config: TrainConfig) -> None:
    """Raise InputError where the run cannot be written, or a clip is none that it can learn from.

    Only the headers of the clips are read.
    """
    writable_folder(config.output, name="output")
    data = config.data
    frames = data.frames + (data.history if config.stage == 2 else 0)
    for folder in data.shares:
        readable_folder(folder, name="data.folder" if data.folder else "data.folders")
        check_clips(
            list_clips(folder, limit=data.limit),
            size=config.model.size,
            frames=max(frames, _LEAST_MOVES if data.photos else 1),
        )
    if data.photos:
        readable_folder(data.photos, name="data.photos")
        check_clips(list_clips(data.photos), size=config.model.size, frames=1)


def check_clips(clips: Sequence[ClipFile], *, size: tuple[int, int], frames: int) -> None:
    """Raise InputError, naming the clip, unless each has as many frames of that size (H, W), and its arrays agree."""
    for clip in clips:
        shapes = clip.shapes()
        images = shapes["images"]
        if len(images) != 4 or images[1:] != (*size, 3):
            found = " x ".join(map(str, images[1:3]))
            raise InputError(
                f"{clip.path}: frames of {found} pixels (height x width), the model's are {size[0]} x {size[1]}; "
                f"prepare it again with --size {size[0]}"
            )
        if images[0] < frames:
            raise InputError(
                f"{clip.path}: {images[0]} frames are too short for samples of {frames}; lower data.frames, or take "
                "the clip away"
            )
        wanted = {"foreground": images[:3], "landmarks": (images[0], NUM_LANDMARKS, 3)}
        wrong = [name for name, shape in wanted.items() if shapes[name] != shape]
        if wrong:
            raise InputError(
                f"{clip.path}: its {wrong[0]} are {shapes[wrong[0]]}, not {wanted[wrong[0]]}; prepare it again"
            )


@contextmanager
def named_by_the_loader() -> Iterator[None]:
    """An error in the process that reads clips arrives with that process's stack: its own words are the last line."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).strip().splitlines()[-1].partition("InputError: ")[2] or str(error)) from error


@contextmanager
def full_disks_named(folder: Path) -> Iterator[None]:
    """What the libraries raise where a checkpoint cannot be written, as an error that names the folder."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        words = str(error).strip().splitlines()[0]
        if isinstance(error, RuntimeError) and "inline_container" not in words and "Stream" not in words:
            raise  # nothing that torch says of a file
        raise InputError(f"{folder}: cannot be written ({words}); free some space or choose another folder") from error
