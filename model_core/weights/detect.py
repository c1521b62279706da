"""What is this file? Told by its header alone: keys, shapes and metadata, cheap enough for folders of checkpoints."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from ..errors import CheckpointError, ModelNotFoundError
from .formats import animatediff, autoencoder, clip_vision, foreign, ldm, pose_guider, unet
from .formats.piece import Piece
from .formats.sidecar import settings_beside
from .header import Header, read_header
from .io import read_metadata

CONFIG_KEY = "vividportraits.config"
"""The metadata key under which a model file carries its config."""

_FORMATS = (ldm, unet, animatediff, autoencoder, pose_guider, clip_vision)
_SHOWN_KEYS = 6


@dataclass(frozen=True)
class Recognised:
    """What a file was recognised as.

    Attributes:
        header: of the file.
        pieces: the networks in it.
        ours: whether it is a whole model of this project; ``pieces`` then offers its PoseGuider to other models.
        ignored: what nothing here needs, each kind once.
        unknown: keys that no format accounts for.
        refusal: why nothing of it can be used, or None.
    """

    header: Header
    pieces: tuple[Piece, ...] = ()
    ours: bool = False
    ignored: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The number format of most of its tensors."""
        return Counter(self.header.dtypes.values()).most_common(1)[0][0]


def recognise(path: Path) -> Recognised:
    """Tell what a weights file is; errors as ``read_header``."""
    return recognise_header(read_header(path))


def recognise_header(header: Header) -> Recognised:
    """The same from a header alone."""
    strays = tuple(f"{stray} (a training's note)" for stray in header.strays)
    if CONFIG_KEY in header.metadata:
        return Recognised(header, tuple(pose_guider.pieces(header)), ours=True)
    refusal = foreign.refusal(header)
    if refusal is not None:
        return Recognised(header, ignored=strays, refusal=refusal)
    try:
        pieces = tuple(_with_settings(piece) for form in _FORMATS for piece in form.pieces(header))
    except (LookupError, ValueError, TypeError) as error:  # the names are right, the shapes are of nothing
        raise CheckpointError(f"{header.path}: its tensors have shapes that no such network has ({error})") from error
    if not pieces:
        shown = ", ".join(list(header.shapes)[:_SHOWN_KEYS])
        return Recognised(header, ignored=strays, refusal=f"of a kind that is not known here; it holds {shown}, ...")
    known = ldm.ignored(header)
    claimed = {*known, *(key for piece in pieces for key in piece.claims())}
    unknown = tuple(key for key in header.shapes if key not in claimed)
    return Recognised(header, pieces, ignored=(*dict.fromkeys(known.values()), *strays), unknown=unknown)


def _with_settings(piece: Piece) -> Piece:
    settings = settings_beside(piece.header.path, piece.part)
    return dataclasses.replace(piece, facts={**piece.facts, **settings})


def describe_facts(facts: Mapping[str, object]) -> str:
    """A piece's config on one line, for people."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in facts.items())


def _plain(value: object) -> str:
    return "/".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def holds_portrait_model(path: Path) -> bool:
    """Whether a .safetensors file is one of this project's models; unreadable files are not."""
    try:
        state = path.stat()
    except OSError:
        return False
    return _carries_config(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)  # folders are listed again and again; a header of a network drive is slow
def _carries_config(path: Path, changed: int, size: int) -> bool:
    try:
        return CONFIG_KEY in read_metadata(path)
    except (CheckpointError, ModelNotFoundError):
        return False
