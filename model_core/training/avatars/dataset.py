"""Avatars as prepared clips (see clips.py), each a pure function of its seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ..clips import ClipFile, write_clip
from .geometry import landmarks
from .identity import Identity, sample_identity
from .motion import Motion, sample_clip
from .render import SUPERSAMPLING, render
from .texture import make_textures

DRIVERS = 3
"""Other identities that perform the motion of a clip."""
HELD_OUT_SEED = 10_000_000
"""Seeds from here on are never trained on."""


def make_clip(
    seed: int, *, frames: int, drivers: int = DRIVERS, pictured: int = 0, size: int = 128
) -> dict[str, np.ndarray]:
    """One identity's clip, with ``drivers`` other identities performing the same motion.

    Args:
        pictured: of how many of the drivers there are pictures too, as masked frames need them.
    Returns:
        the arrays of a prepared clip, as clips.py lists them.
    """
    rng = np.random.default_rng(seed)
    identity = sample_identity(rng)
    clip = sample_clip(rng, frames)
    textures = make_textures(identity, size * SUPERSAMPLING)
    made = [render(identity, motion, size=size, textures=textures) for motion in clip]
    others = [sample_identity(rng) for _ in range(drivers)]
    driving = [[landmarks(other, motion, size=size) for motion in clip] for other in others]
    arrays = {
        "images": np.stack([frame.image for frame in made]),
        "foreground": np.stack([frame.foreground for frame in made]),
        "landmarks": np.stack([frame.landmarks for frame in made]),
        "driving_landmarks": np.array(driving, np.float32).reshape(drivers, frames, -1, 3),
    }
    if pictured:
        arrays["driving_images"] = np.stack([_pictures(other, clip, size) for other in others[:pictured]])
    return arrays


def _pictures(identity: Identity, clip: list[Motion], size: int) -> np.ndarray:
    textures = make_textures(identity, size * SUPERSAMPLING)
    return np.stack([render(identity, motion, size=size, textures=textures).image for motion in clip])


def write_identity(
    folder: Path, seed: int, *, frames: int, drivers: int = DRIVERS, pictured: int = 0, size: int = 128
) -> Path:
    """Write one clip as ``<seed>.npz``; one that is already there is left as it is.

    Raises:
        InputError: it was rendered with other settings.
    """
    path = folder / f"{seed:08d}.npz"
    settings = {"frames": frames, "drivers": drivers, "pictured": min(pictured, drivers), "size": size}
    if not path.exists():
        write_clip(path, make_clip(seed, frames=frames, drivers=drivers, pictured=pictured, size=size))
    elif (known := _settings(path)) != settings:
        words = ", ".join(
            f"{name} {known[name]} instead of {value}" for name, value in settings.items() if known[name] != value
        )
        raise InputError(f"{path}: was rendered with {words}; give the same settings, another output, or remove it")
    return path


def _settings(path: Path) -> dict[str, int]:
    """What a clip was rendered with, by its arrays."""
    arrays = ClipFile(path).load()
    return {
        "frames": len(arrays["images"]),
        "drivers": len(arrays.get("driving_landmarks", ())),
        "pictured": len(arrays.get("driving_images", ())),
        "size": arrays["images"].shape[1],
    }
