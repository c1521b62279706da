"""Synthetic avatars: stylised portraits whose identity and motion are separate, with exact ground truth."""

from .dataset import HELD_OUT_SEED, make_clip, write_identity
from .geometry import landmarks
from .identity import Identity, sample_identity
from .motion import Motion, sample_clip
from .render import AvatarFrame, render
from .texture import Textures, make_textures

__all__ = [
    "HELD_OUT_SEED",
    "AvatarFrame",
    "Identity",
    "Motion",
    "Textures",
    "landmarks",
    "make_clip",
    "make_textures",
    "render",
    "sample_clip",
    "sample_identity",
    "write_identity",
]
