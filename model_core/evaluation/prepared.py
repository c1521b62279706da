"""Cases of prepared clips (training/clips.py): rendered heads, and photographs carried away and back.

Both know the truth exactly. Masked frames show somebody else: the clip's own driver, else a person of another clip,
carried to the truth's landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..images import to_float
from ..training.clips import ClipFile, list_clips
from ..training.photos import photo_pairs
from ..training.strangers import stranger_frames
from ..warp.portrait import Carried
from .cases import Case, exact_track

_SEED = 77
_Arrays = dict[str, np.ndarray]


def prepared_clips(folder: str | Path, *, size: tuple[int, int], limit: int, option: str) -> list[ClipFile]:
    """The first clips of a folder, all with frames of ``size`` (H, W).

    Raises:
        InputError: there are none, or one has another size; names the option.
    """
    clips = list_clips(folder, limit=limit)
    for clip in clips:
        found = clip.shapes()["images"][1:3]
        if found != size:
            raise InputError(
                f"{option} {clip.path}: frames of {found[1]}x{found[0]}, the models make {size[1]}x{size[0]}; "
                "prepare clips of the models' size, or choose other models"
            )
    return clips


def head_cases(clips: Sequence[ClipFile], *, frames: int) -> Iterator[Case]:
    """Each clip's portrait with the first frames of its performance."""
    for number, file in enumerate(clips):
        clip = file.load()
        first = max(len(clip.get("portraits", ())), 1)
        chosen = [0, *range(first, min(first + frames, len(clip["images"])))]
        if len(chosen) < 2:
            raise InputError(f"{file.path}: a clip of one frame does not move; give rendered heads or prepared videos")
        faces = clip["landmarks"][chosen]
        if "driving_images" in clip:
            pixels, marks = clip["driving_images"][0][chosen], clip["driving_landmarks"][0][chosen]
        else:
            other = clips[(number + 1) % len(clips)].load(driver=False)
            pixels, marks = _stranger(other, faces, np.random.default_rng([_SEED, number])), faces
        yield _case(file.path.stem, {name: clip[name][chosen] for name in _NAMES}, pixels, marks)


def photo_cases(photos: Sequence[ClipFile], heads: Sequence[ClipFile], *, views: int) -> Iterator[Case]:
    """Each photograph carried away as heads move, in some ways, and back; a case for every way."""
    for number, file in enumerate(photos):
        photo = file.load()
        for view in range(views):
            rng = np.random.default_rng([_SEED, number, view])
            moves = heads[int(rng.integers(len(heads)))].load(driver=False)["landmarks"]
            pair = photo_pairs(photo, moves, 1, rng)
            # somebody else: another photograph, or a head where there is no other
            others = [other for other in photos if other is not file] or list(heads)
            other = others[int(rng.integers(len(others)))].load(driver=False)
            pixels = _stranger(other, pair["landmarks"], rng)
            carried = Carried(pair["baseline"], pair["validity"])
            yield _case(file.path.stem, pair, pixels, pair["landmarks"], carried)


_NAMES = ("images", "foreground", "landmarks")


def _stranger(other: _Arrays, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray((stranger_frames(other, faces, rng) * 255).round().astype(np.uint8))


def _case(name: str, clip: _Arrays, driver: np.ndarray, marks: np.ndarray, carried: Carried | None = None) -> Case:
    """The first frame is the portrait, the others are the truth.

    Args:
        driver: (1 + F, H, W, 3) uint8, whose face lies at ``marks`` (1 + F, 478, 3).
    """
    images, size = to_float(clip["images"]), (clip["images"].shape[1], clip["images"].shape[2])
    return Case(
        name=name,
        reference=images[:1],
        foreground=torch.from_numpy(clip["foreground"][:1, None]).float() / 255,
        own=exact_track(clip["landmarks"][:1], size),
        driving=exact_track(marks, size),
        frames=to_float(driver),
        target=images[1:],
        landmarks=clip["landmarks"][1:],
        carried=carried,
    )
