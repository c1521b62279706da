"""Prepared clips on disk, and the training samples drawn from them.

A prepared clip is one ``.npz``:

    images             (T, H, W, 3) uint8, the frames
    foreground         (T, H, W) uint8, 255 on the person
    landmarks          (T, 478, 3) float32, x, y, z in pixels
    driving_landmarks  (K, T, 478, 3) float32, optional: other identities performing the same motion
    driving_images     (k, T, H, W, 3) uint8, optional: the frames of the first k of them, for masked frames
    surface            (T, h, w, 3), layers (T, h, w), projections (T, 2, 2, 4), optional, all three: the true optical
                       flow between any two frames, see correspondence.py

The synthetic avatars are written in this form directly; real clips are brought into it by prepare.py.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..files import atomic_path
from ..motion.alignment import face_similarity
from ..motion.random_scaling import random_scaling
from ..types import MotionKind
from .config import DataConfig
from .correspondence import BACKGROUND, true_flow
from .drawing import detector_jitter, parsing_map, random_colours
from .masked import masked_sample


@dataclass(frozen=True)
class ClipFile:
    """One prepared clip, read lazily member by member."""

    path: Path

    def load(self) -> dict[str, np.ndarray]:
        """All arrays of the clip; a file that is not one is an InputError that names it."""
        try:
            with np.load(self.path, allow_pickle=False) as data:
                arrays = {name: data[name] for name in data.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: cannot be read ({error}); remove it and prepare the clip again") from error
        missing = sorted({"images", "foreground", "landmarks"} - set(arrays))
        if missing:
            raise InputError(f"{self.path}: not a prepared clip, {missing} are missing; prepare it again")
        return arrays


def write_clip(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a prepared clip wholly or not at all; its folder is made."""
    with atomic_path(path) as partial:
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
        landmarks             (N + F, 478, 2), the true face of the frames, x and y in [-1, 1] of the frame
        reference_landmarks   (478, 2), the same of the reference
        weights               (F, 2, H, W) in [0, 1]: person, and eyes, brows and mouth
        flow                  (F, 2, h, w), the true flow from the frames to the reference, in half frames
        flow_known            (F, 1, h, w), 1 where it is known

    and with masked frames what they show, as each component's share of every place:

        shown                 (N + F, 10, H / 2, W / 2) in [0, 1]
        reference_shown       (10, H / 2, W / 2) in [0, 1]
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        seed: int,
        length: int,
        consecutive: bool,
        motion_kind: MotionKind = "parsing_map",
    ) -> None:
        self.config = config
        self.motion_kind = motion_kind
        self.seed = seed
        self.length = length
        self.consecutive = consecutive
        self.clips = list_clips(config.folder, limit=config.limit)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        file = self.clips[rng.integers(len(self.clips))]
        clip = file.load()
        reference, frames = self._choose(rng, len(clip["images"]), file.path)
        if self.motion_kind == "masked_frames":
            signal = masked_sample(clip, reference, frames, self.config, rng)
        else:
            signal = self._maps(clip, reference, frames, rng)
        size = clip["images"].shape[1:3]
        images = _to_float(clip["images"][[reference, *frames]])
        if rng.random() < self.config.colour_augment:
            images = random_colours(images, rng)
        history = self.config.history if self.consecutive else 0
        return {
            "reference": images[0],
            "reference_foreground": torch.from_numpy(clip["foreground"][reference, None]).float() / 255,
            "frames": images[1:],
            "reference_landmarks": _places(clip["landmarks"][reference], size),
            "landmarks": _places(clip["landmarks"][frames], size),
            "weights": torch.stack([_weights(clip, frame) for frame in frames[history:]]),
            **_flow(clip, reference, frames[history:]),
            **signal,
        }

    def _choose(self, rng: Generator, total: int, path: Path) -> tuple[int, list[int]]:
        count = self.config.frames + (self.config.history if self.consecutive else 0)
        if total < count:
            raise InputError(f"{path}: {total} frames are too short for samples of {count}; lower data.frames")
        reference = int(rng.integers(total))
        if self.consecutive:
            start = int(rng.integers(total - count + 1))
            return reference, list(range(start, start + count))
        return reference, [int(i) for i in rng.choice(total, size=count, replace=False)]

    def _maps(
        self, clip: dict[str, np.ndarray], reference: int, frames: list[int], rng: Generator
    ) -> dict[str, Tensor]:
        """The parsing maps of a sample."""
        size = clip["images"].shape[1:3]
        driving = self._driving(rng, clip)
        portrait, drivers = clip["landmarks"][reference], driving[frames]
        if driving is not clip["landmarks"] and rng.random() < self.config.relative:
            drivers = face_similarity(driving[reference], portrait, size=size).points(drivers)
        if rng.random() < self.config.detector_jitter:
            faces = detector_jitter(np.concatenate([portrait[None], drivers]), rng)
            portrait, drivers = faces[0], faces[1:]
        return {
            "reference_motion": parsing_map(portrait, size),
            "motion": torch.stack([parsing_map(marks, size) for marks in self._scale(rng, drivers)]),
        }

    def _driving(self, rng: Generator, clip: dict[str, np.ndarray]) -> np.ndarray:
        others = clip.get("driving_landmarks")
        if others is None or len(others) == 0 or rng.random() >= self.config.cross_identity:
            return clip["landmarks"]
        return others[rng.integers(len(others))]

    def _scale(self, rng: Generator, landmarks: np.ndarray) -> list[np.ndarray]:
        """One scaling for all frames of a sample: a clip shows one driver."""
        if not self.config.random_scaling:
            return list(landmarks)
        seed = int(rng.integers(2**32))
        return [random_scaling(marks, np.random.default_rng(seed)) for marks in landmarks]


def _to_float(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def _places(landmarks: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Landmarks in pixels to x and y in [-1, 1] of the frame."""
    extent = np.array([size[1], size[0]], np.float32)
    return torch.from_numpy(landmarks[..., :2] / extent * 2 - 1).float()


def _flow(clip: dict[str, np.ndarray], reference: int, frames: Sequence[int]) -> dict[str, Tensor]:
    """The true flow where the clip has one, else nothing known."""
    if "surface" not in clip:
        height, width = (side // 2 for side in clip["images"].shape[1:3])
        nothing = torch.zeros(len(frames), 3, height, width)
        return {"flow": nothing[:, :2], "flow_known": nothing[:, 2:]}
    surface, layers, shown = clip["surface"], clip["layers"], clip["projections"]
    flows = [true_flow(surface[t], layers[t], shown[t], shown[reference]) for t in frames]
    known = layers[list(frames), None] != BACKGROUND
    return {"flow": torch.from_numpy(np.stack(flows)), "flow_known": torch.from_numpy(known).float()}


def _weights(clip: dict[str, np.ndarray], frame: int) -> Tensor:
    """Where the loss dwells: the person, and a margin around the components that move."""
    person = torch.from_numpy(clip["foreground"][frame]).float() / 255
    drawn = parsing_map(clip["landmarks"][frame], clip["images"].shape[1:3]).amax(0) > 0
    grown = torch.nn.functional.max_pool2d(drawn.float()[None], 5, stride=1, padding=2)[0]
    return torch.stack([person, grown])
