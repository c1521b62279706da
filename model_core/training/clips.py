"""Prepared clips on disk, and the training samples drawn from them.

A prepared clip is one ``.npz``:

    images             (T, H, W, 3) uint8, the frames
    foreground         (T, H, W) uint8, 255 on the person
    landmarks          (T, 478, 3) float32, x, y, z in pixels
    driving_landmarks  (K, T, 478, 3) float32, optional: other identities performing the same motion
    driving_images     (k, T, H, W, 3) uint8, optional: the frames of the first k of them, for masked frames
    portraits          (p,) int64, optional: the first p frames, which are portraits and no part of the performance
    prepared           () text, optional: what prepare.py made the clip of, and how, as JSON

Synthetic avatars and rendered heads are written in this form directly; real clips are brought into it by prepare.py.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..files import atomic_path
from ..images import to_float
from ..motion.random_scaling import random_scaling
from ..paths import readable_file, writing
from ..types import MotionKind
from .carried import carried_sample
from .config import DataConfig
from .drawing import detector_jitter, parsing_map, random_colours
from .focus import focus
from .masked import masked_sample
from .photos import photo_pairs

_RECORD = "prepared"
_DAMAGES = (OSError, ValueError, EOFError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What numpy and zip raise on an archive that is none, or a broken one."""


@dataclass(frozen=True)
class ClipFile:
    """One prepared clip, read lazily member by member."""

    path: Path

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the clip's arrays, by their headers alone; errors as ``load``."""
        readable_file(self.path, name="clip")
        shapes = {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in archive.namelist():
                    with archive.open(member) as file:
                        shapes[member.removesuffix(".npy")] = _header_shape(file)
        except _DAMAGES as error:
            raise InputError(f"{self.path}: cannot be read ({error}); remove it and prepare the clip again") from error
        self._check_names(shapes)
        return shapes

    def load(self, *, driver: bool = True) -> dict[str, np.ndarray]:
        """The arrays of the clip, without other identities' if asked; a file that is no clip is an InputError."""
        readable_file(self.path, name="clip")
        with self._opened() as data:
            wanted = (name for name in data.files if driver or not name.startswith("driving"))
            arrays = {name: data[name] for name in wanted if name != _RECORD}
        self._check_names(arrays)
        return arrays

    def _check_names(self, arrays: Collection[str]) -> None:
        missing = sorted({"images", "foreground", "landmarks"} - set(arrays))
        if missing:
            raise InputError(f"{self.path}: not a prepared clip, {missing} are missing; prepare it again")

    def record(self) -> dict[str, Any]:
        """What ``write_clip`` was told of the clip; empty where it was told nothing."""
        with self._opened() as data:
            return dict(json.loads(str(data[_RECORD]))) if _RECORD in data.files else {}

    def checksums(self) -> dict[str, int]:
        """Of the arrays, as the file lists them; none of them is read."""
        with self._opened() as data:
            return {part.filename: part.CRC for part in data.zip.infolist() if part.filename != f"{_RECORD}.npy"}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with np.load(self.path, allow_pickle=False) as data:
                yield data
        except _DAMAGES as error:
            raise InputError(f"{self.path}: cannot be read ({error}); remove it and prepare the clip again") from error


def _header_shape(file: IO[bytes]) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape: tuple[int, ...] = read(file)[0]
    return shape


def write_clip(path: Path, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any] | None = None) -> None:
    """Write a prepared clip wholly or not at all; its folder is made.

    Args:
        record: of what it was made, and how; plain values.
    """
    told = {} if record is None else {_RECORD: np.array(json.dumps(record))}
    with writing(path), atomic_path(path) as partial:
        np.savez(partial, allow_pickle=False, **arrays, **told)


def list_clips(folder: str | Path, *, limit: int = 0) -> list[ClipFile]:
    """The prepared clips of a folder in name order; none is an InputError."""
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise InputError(
            f"{folder}: no prepared clips (*.npz); make avatars with "
            "'python -m model_core avatars' or prepare real clips with 'python -m model_core prepare'"
        )
    return [ClipFile(path) for path in (paths[:limit] if limit else paths)]


def clips_digest(clips: Sequence[ClipFile]) -> str:
    """What tells these clips from others in a few words: how many, and a digest of their names and content."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.path.name} {sorted(clip.checksums().items())}\n".encode())
    return f"{len(clips)} clips {digest.hexdigest()[:12]}"


class ClipDataset(Dataset[dict[str, Tensor]]):
    """Training samples as a pure function of (seed, index), so that a resumed run sees the same data.

    Every item holds, for N history and F target frames:

        reference             (3, H, W) in [-1, 1]
        reference_foreground  (1, H, W) in [0, 1]
        reference_motion      (3, H, W) in [0, 1]
        frames                (N + F, 3, H, W) in [-1, 1]
        motion                (N + F, 3, H, W) in [0, 1]: parsing maps, randomly scaled; or masked frames
        weights               (F, 4, H, W) in [0, 1], see focus.py

    and with ``baseline``, the reference carried to the target frames' landmarks:

        baseline              (F, 3, H, W) in [-1, 1]
        validity              (F, 1, H, W) in [0, 1]

    Motion and baseline are drawn from the same landmarks, the target frames' own: at inference, too, both come from
    the driver's face retargeted to the portrait.
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        seed: int,
        length: int,
        consecutive: bool,
        motion_kind: MotionKind = "parsing_map",
        baseline: bool = False,
    ) -> None:
        self.config = config
        self.motion_kind = motion_kind
        self.seed = seed
        self.length = length
        self.consecutive = consecutive
        self.baseline = baseline
        self.mix = [list_clips(folder, limit=config.limit) for folder in config.shares]
        self.shares = list(config.shares.values())
        self.photos = list_clips(config.photos) if config.photos else []
        self._everybody = [file for files in self.mix for file in files] + self.photos

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        # a single folder takes no draw
        files = self.mix[rng.choice(len(self.mix), p=self.shares) if len(self.mix) > 1 else 0]
        shown = file = files[rng.integers(len(files))]
        clip = file.load(driver=self.motion_kind == "masked_frames")
        reference, frames = self._choose(rng, len(clip["images"]), len(clip.get("portraits", ())), file.path)
        if self.photos and rng.random() < self.config.photo_share:
            shown = self.photos[rng.integers(len(self.photos))]
            clip = photo_pairs(shown.load(), clip["landmarks"], len(frames), rng)
            reference, frames = 0, list(range(1, 1 + len(frames)))
        pictures = [clip["images"][[reference, *frames]], clip.get("baseline", clip["images"][:0])]
        images = to_float(np.concatenate(pictures))
        if rng.random() < self.config.colour_augment:
            images = random_colours(images, rng)
        faces = clip["landmarks"][[reference, *frames]]
        if rng.random() < self.config.detector_jitter:
            faces = detector_jitter(faces, rng)
        history = self.config.history if self.consecutive else 0
        person = clip["foreground"][reference].astype(np.float32) / 255
        item = {
            "reference": images[0],
            "reference_foreground": torch.from_numpy(person)[None],
            "frames": images[1 : 1 + len(frames)],
            "weights": torch.stack([focus(clip, frame) for frame in frames[history:]]),
            **self._signal(clip, [reference, *frames], faces, rng, shown),
        }
        if "baseline" in clip:
            item.update(baseline=images[1 + len(frames) :], validity=torch.from_numpy(clip["validity"])[:, None])
        elif self.baseline:
            item.update(carried_sample(images[0], faces[0], person, faces[1 + history :]))
        if self.config.crop:
            rows, columns = _square(faces[1:], clip["images"].shape[1:3], self.config.crop, rng)
            item = {name: values[..., rows, columns] for name, values in item.items()}
        if self.config.mirror and rng.random() < self.config.mirror:
            item = {name: values.flip(-1) for name, values in item.items()}
        return item

    def _choose(self, rng: Generator, total: int, portraits: int, path: Path) -> tuple[int, list[int]]:
        """The reference and the target frames of a clip that begins with some portraits.

        In half of the samples a portrait is the reference, where there are any; else any frame.
        """
        count = self.config.frames + (self.config.history if self.consecutive else 0)
        moving = total - portraits
        if moving < count:
            raise InputError(f"{path}: {moving} frames are too short for samples of {count}; lower data.frames")
        portrayed = portraits and rng.random() < 0.5
        reference = int(rng.integers(portraits if portrayed else total))
        if self.consecutive:
            start = portraits + int(rng.integers(moving - count + 1))
            return reference, list(range(start, start + count))
        return reference, [portraits + int(i) for i in rng.choice(moving, size=count, replace=False)]

    def _signal(
        self, clip: dict[str, np.ndarray], frames: list[int], faces: np.ndarray, rng: Generator, shown: ClipFile
    ) -> dict[str, Tensor]:
        """``reference_motion`` and ``motion``; the reference comes first in ``frames`` and ``faces``."""
        if self.motion_kind == "masked_frames":
            stranger = functools.partial(self._stranger, rng, shown)
            signal = masked_sample(clip, frames, faces, self.config, rng, stranger=stranger)
        else:
            size = clip["images"].shape[1:3]
            drawn = [faces[0], *self._scale(rng, faces[1:])]
            signal = torch.stack([parsing_map(face, size) for face in drawn])
        return {"reference_motion": signal[0], "motion": signal[1:]}

    def _stranger(self, rng: Generator, shown: ClipFile) -> dict[str, np.ndarray] | None:
        """Another clip or photograph than the one shown; None where there is no other."""
        if len(self._everybody) < 2:
            return None
        other = int(rng.integers(len(self._everybody) - 1))
        return self._everybody[other + (other >= self._everybody.index(shown))].load(driver=False)

    def _scale(self, rng: Generator, landmarks: np.ndarray) -> list[np.ndarray]:
        """One scaling for all frames of a sample: a clip shows one driver."""
        if not self.config.random_scaling:
            return list(landmarks)
        seed = int(rng.integers(2**32))
        return [random_scaling(marks, np.random.default_rng(seed)) for marks in landmarks]


def _square(faces: np.ndarray, size: tuple[int, int], side: int, rng: Generator) -> tuple[slice, slice]:
    """Rows and columns of a square of ``side`` pixels around faces (F, 478, 3), never quite in its middle."""
    if side > min(size):
        raise InputError(
            f"data.crop {side}: pictures of {size[0]} x {size[1]} hold no such square; choose a smaller one"
        )
    middle = faces[..., :2].mean(axis=(0, 1)) + rng.normal(0, 0.06 * side, 2)
    left, top = (
        int(np.clip(round(centre - side / 2), 0, length - side))
        for centre, length in zip(middle, size[::-1], strict=True)
    )
    return slice(top, top + side), slice(left, left + side)
