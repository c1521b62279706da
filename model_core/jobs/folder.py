"""A job's folder: what is finished stands in it, every file whole or not there.

    job.json                what the job is: digests of its inputs, and its settings
    faces-00000.safetensors the faces of some driving frames, block by block
    track.safetensors       the face that drives, made of these
    chunk-00000.mp4         finished chunks, encoded
    state.safetensors       what the next chunk needs of the last one, and the digests of all that are finished
    lock                    held by the process at work

A chunk is finished when the state says so. A crash may leave a chunk that the state does not know, or a hidden
partial file: the next run writes the one again and removes the other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import VideoError
from ..files import atomic_path
from .identity import Identity
from .lock import LOCK, locked_folder

_JOB = "job.json"
_OURS = ("job.json", "faces-*.safetensors", "track.safetensors", "chunk-*.mp4", "state.safetensors", "joined.*")
_PARTIAL = (".job.*.json", ".faces-*.safetensors", ".track.*.safetensors", ".chunk-*.mp4", ".state.*.safetensors")
"""What ``atomic_path`` calls these until they are whole."""


class JobFolder:
    """The files of one job; use it inside ``with opened(path)``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[JobFolder]:
        """Hold the folder; leftovers of a crash are removed.

        Raises:
            InputError: another process holds it.
            VideoError: it cannot be made or written.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(path))
            except OSError as error:
                raise VideoError(
                    f"job folder {path}: cannot be made ({error.strerror}); choose another output or job folder"
                ) from error
            place = cls(path)
            place._unlink(*_PARTIAL)
            yield place

    def identity(self) -> Identity:
        """What the folder's job is; empty for a new folder."""
        try:
            known = json.loads((self.path / _JOB).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

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
        self._unlink("state.safetensors", "chunk-*.mp4")

    def forget_faces(self) -> None:
        self._unlink("track.safetensors", "faces-*.safetensors")

    @property
    def worth_keeping(self) -> bool:
        """Whether anything in it would take long to make again."""
        return self.state.exists() or len(list(self.path.glob("faces-*"))) > 1

    def remove(self) -> None:
        """Take the job's files away, the lock last, and the folder unless something else is in it."""
        self._unlink(*_OURS, *_PARTIAL)
        with contextlib.suppress(OSError):  # Windows keeps what is open
            (self.path / LOCK).unlink()
            self.path.rmdir()

    def _unlink(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in self.path.glob(pattern):
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
