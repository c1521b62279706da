"""Prepared clips on disk, and the training samples drawn from them.

A prepared clip is one ``.npz``:

    images             (T, H, W, 3) uint8, the frames
    foreground         (T, H, W) uint8, 255 on the person
    landmarks          (T, 478, 3) float32, x, y, z in pixels
    driving_landmarks  (K, T, 478, 3) float32, optional: other identities performing the same motion
    driving_images     (k, T, H, W, 3) uint8, optional: the frames of the first k of them, for masked frames

The synthetic avatars are written in this form directly; real clips are brought into it by prepare.py.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
from .masked import masked_sample
from .photos import photo_pairs

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
        try:
            with np.load(self.path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in data.files if driver or not name.startswith("driving")}
        except _DAMAGES as error:
            raise InputError(f"{self.path}: cannot be read ({error}); remove it and prepare the clip again") from error
        self._check_names(arrays)
        return arrays

    def _check_names(self, arrays: Collection[str]) -> None:
        missing = sorted({"images", "foreground", "landmarks"} - set(arrays))
        if missing:
            raise InputError(f"{self.path}: not a prepared clip, {missing} are missing; prepare it again")


def _header_shape(file: IO[bytes]) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape: tuple[int, ...] = read(file)[0]
    return shape


def write_clip(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a prepared clip wholly or not at all; its folder is made."""
    with writing(path), atomic_path(path) as partial:
        np.savez(partial, allow_pickle=False, **arrays)


def list_clips(folder: str | Path, *, limit: int = 0) -> list[ClipFile]:
    """The prepared clips of a folder in name order; none is an InputError."""
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise InputError(
            f"{folder}: no prepared clips (*.npz); make avatars with "
            "'python -m model_core avatars' or prepare real clips with 'python -m model_core prepare'"
        )
    return [ClipFile(path) for path in (paths[:limit] if limit else paths)]


class ClipDataset(Dataset[dict[str, Tensor]]):
    """Training samples as a pure function of (seed, index), so that a resumed run sees the same data.

    Every item holds, for N history and F target frames:

        reference             (3, H, W) in [-1, 1]
        reference_foreground  (1, H, W) in [0, 1]
        reference_motion      (3, H, W) in [0, 1]
        frames                (N + F, 3, H, W) in [-1, 1]
        motion                (N + F, 3, H, W) in [0, 1]: parsing maps, randomly scaled; or masked frames
        weights               (F, 2, H, W) in [0, 1]: person, and eyes, brows and mouth

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
        self.clips = list_clips(config.folder, limit=config.limit)
        self.photos = list_clips(config.photos) if config.photos else []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        file = self.clips[rng.integers(len(self.clips))]
        clip = file.load(driver=self.motion_kind == "masked_frames")
        reference, frames = self._choose(rng, len(clip["images"]), file.path)
        if self.photos and rng.random() < self.config.photo_share:
            photo = self.photos[rng.integers(len(self.photos))].load()
            clip = photo_pairs(photo, clip["landmarks"], len(frames), rng)
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
            "weights": torch.stack([_weights(clip, frame) for frame in frames[history:]]),
            **self._signal(clip, [reference, *frames], faces, rng),
        }
        if "baseline" in clip:
            item.update(baseline=images[1 + len(frames) :], validity=torch.from_numpy(clip["validity"])[:, None])
        elif self.baseline:
            item.update(carried_sample(images[0], faces[0], person, faces[1 + history :]))
        return item

    def _choose(self, rng: Generator, total: int, path: Path) -> tuple[int, list[int]]:
        count = self.config.frames + (self.config.history if self.consecutive else 0)
        if total < count:
            raise InputError(f"{path}: {total} frames are too short for samples of {count}; lower data.frames")
        reference = int(rng.integers(total))
        if self.consecutive:
            start = int(rng.integers(total - count + 1))
            return reference, list(range(start, start + count))
        return reference, [int(i) for i in rng.choice(total, size=count, replace=False)]

    def _signal(
        self, clip: dict[str, np.ndarray], frames: list[int], faces: np.ndarray, rng: Generator
    ) -> dict[str, Tensor]:
        """``reference_motion`` and ``motion``; the reference comes first in ``frames`` and ``faces``."""
        if self.motion_kind == "masked_frames":
            signal = masked_sample(clip, frames, faces, self.config, rng)
        else:
            size = clip["images"].shape[1:3]
            drawn = [faces[0], *self._scale(rng, faces[1:])]
            signal = torch.stack([parsing_map(face, size) for face in drawn])
        return {"reference_motion": signal[0], "motion": signal[1:]}

    def _scale(self, rng: Generator, landmarks: np.ndarray) -> list[np.ndarray]:
        """One scaling for all frames of a sample: a clip shows one driver."""
        if not self.config.random_scaling:
            return list(landmarks)
        seed = int(rng.integers(2**32))
        return [random_scaling(marks, np.random.default_rng(seed)) for marks in landmarks]


def _weights(clip: dict[str, np.ndarray], frame: int) -> Tensor:
    """Where the loss dwells: the person, and a margin around the components that move."""
    person = torch.from_numpy(clip["foreground"][frame]).float() / 255
    drawn = parsing_map(clip["landmarks"][frame], clip["images"].shape[1:3]).amax(0) > 0
    grown = torch.nn.functional.max_pool2d(drawn.float()[None], 5, stride=1, padding=2)[0]
    return torch.stack([person, grown])
