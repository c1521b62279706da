"""A job's folder: what is finished stands in it, every file whole or not there.

    job.json                what the job is: digests of its inputs, and its settings
    faces-00000.safetensors the faces of some driving frames, block by block
    track.safetensors       the face that drives, made of these
    chunk-00000.mp4         finished chunks, encoded
    state.safetensors       what the next chunk needs of the last one, and the digests of all that are finished
    vividportraits-job.txt  says that the folder is a job's, and which process is at work
    vividportraits.lock     held by that process

Without the first a folder that holds anything is somebody else's and left alone, and a link is never followed.
A chunk is finished when the state says so. A crash may leave a chunk that the state does not know, or a hidden
partial file: the next run writes the one again and removes the other.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, VideoError
from ..files import LOCK, atomic_path, locked_folder
from .identity import Identity

MARKER = "vividportraits-job.txt"
_JOB = "job.json"
_TRACK, _FACES = r"track\.safetensors", r"faces-\d+\.safetensors"
_STATE, _CHUNK = r"state\.safetensors", r"chunk-\d+\.mp4"
_OURS = (r"job\.json", _FACES, _TRACK, _CHUNK, _STATE, r"joined\.\w+")
_PARTIAL = (r"\.(vividportraits-job|job|track|state|faces-\d+|chunk-\d+)\.[0-9a-f]{8}\.(txt|json|safetensors|mp4)",)
"""What ``atomic_path`` calls these until they are whole."""
_OLD_LOCK = "lock"
_OLD_KEYS = {"format", "driving", "analyzer", "reference", "model", "arithmetic"}
"""Of the job.json of a job that was begun before there was a marker."""


class JobFolder:
    """The files of one job; use it inside ``with opened(path)``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[JobFolder]:
        """Hold the folder; leftovers of a crash are removed.

        Raises:
            InputError: another process holds it, or it is not a job's.
            VideoError: it cannot be made or written.
        """
        _refuse_foreign(path)
        old = not _is_file(path / MARKER) and _is_old(path)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(path, holder=MARKER, work="this video"))
            except OSError as error:
                raise VideoError(
                    f"job folder {path}: cannot be made ({error.strerror}); choose another output or job folder"
                ) from error
            _refuse_links(path)
            place = cls(path)
            place._unlink(*_PARTIAL, *([_OLD_LOCK] if old else []))
            yield place

    @staticmethod
    def is_jobs(path: Path) -> bool:
        """Whether a folder says that it is a job's."""
        return _is_file(path / MARKER) or _is_old(path)

    def identity(self) -> Identity:
        """What the folder's job is; empty for a new folder."""
        return _read(self.path / _JOB)

    def remember(self, identity: Identity) -> None:
        with self._writing(), atomic_path(self.path / _JOB) as partial:
            partial.write_text(json.dumps(identity, indent=1), "utf-8")

    def chunk(self, number: int) -> Path:
        return self.path / f"chunk-{number:05}.mp4"

    def faces(self, number: int) -> Path:
        return self.path / f"faces-{number:05}.safetensors"

    @property
    def track(self) -> Path:
        return self.path / "track.safetensors"

    @property
    def state(self) -> Path:
        return self.path / "state.safetensors"

    def save(self, path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
        """Write tensors and notes, wholly or not at all."""
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with self._writing(), atomic_path(path) as partial:
            save_file(plain, partial, metadata=dict(notes))

    def load(self, path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """What ``save`` wrote; None where there is nothing or it is damaged."""
        try:
            with safe_open(str(path), framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
        except (OSError, SafetensorError):
            return None

    def forget_chunks(self) -> None:
        """Start sampling anew; the faces are kept."""
        self._unlink(_STATE, _CHUNK)

    def forget_faces(self) -> None:
        self._unlink(_TRACK, _FACES)

    @property
    def worth_keeping(self) -> bool:
        """Whether anything in it would take long to make again."""
        return self.state.exists() or len(list(self.path.glob("faces-*"))) > 1

    def remove(self) -> None:
        """Take the job's files away, marker and lock last, and the folder unless something else is in it."""
        self._unlink(*_OURS, *_PARTIAL)
        self._unlink(re.escape(MARKER))
        with contextlib.suppress(OSError):  # Windows keeps what is open
            (self.path / LOCK).unlink()
            self.path.rmdir()

    def _unlink(self, *patterns: str) -> None:
        for path in list(self.path.iterdir()):
            if _is_file(path) and any(re.fullmatch(pattern, path.name) for pattern in patterns):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise VideoError(
                f"job folder {self.path}: cannot be written ({reason}); free some space or choose another job folder"
            ) from error


def _refuse_foreign(path: Path) -> None:
    """An InputError for a folder with anything in it that does not say that it is a job's."""
    if path.is_symlink():
        raise InputError(f"job folder {path}: is a link; give the folder that it leads to")
    if not path.is_dir() or JobFolder.is_jobs(path):
        return
    begun = re.compile("|".join([re.escape(LOCK), *_PARTIAL]))
    others = sorted(entry.name for entry in path.iterdir() if not begun.fullmatch(entry.name))
    # a job that has just begun, here or in another process, may have written its marker meanwhile
    if others and not JobFolder.is_jobs(path):
        raise InputError(
            f"job folder {path}: is not a job's, {others[0]} lies in it; choose an empty folder or a new one"
        )


def _refuse_links(path: Path) -> None:
    links = sorted(entry.name for entry in path.iterdir() if entry.is_symlink())
    if links:
        raise InputError(f"job folder {path}: {links[0]} is a link, which no job makes; remove it")


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_old(path: Path) -> bool:
    """Whether a job without a marker was begun in this folder, by what its job.json says."""
    return _is_file(path / _JOB) and _read(path / _JOB).keys() >= _OLD_KEYS


def _read(path: Path) -> Identity:
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
