"""What every format hands over: a network's weights in one file, under this project's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..header import Header

Part = Literal["unet", "motion", "pose_guider", "image_encoder", "autoencoder"]
"""The kinds of network. A UNet may be a denoiser or a ReferenceNet: that is told by the files beside it."""


@dataclass(frozen=True)
class Piece:
    """One network's weights in one file.

    Attributes:
        part: what kind of network it is.
        title: the format, as shown to users.
        header: of the file.
        names: our name of every tensor to the file's key.
        facts: what the shapes tell of the network's config.
        tables: keys of fixed position tables, which are checked and never loaded.
        ignored: keys that belong to the format and that nothing here needs.
    """

    part: Part
    title: str
    header: Header
    names: Mapping[str, str]
    facts: Mapping[str, Any]
    tables: tuple[str, ...] = ()
    ignored: tuple[str, ...] = field(default=(), repr=False)

    def claims(self) -> set[str]:
        """The file's keys that this piece accounts for."""
        return {*self.names.values(), *self.tables, *self.ignored}


def numbered(names: Mapping[str, str], start: str, end: str) -> int:
    """How many names there are of the form ``start`` + 0, 1, 2, ... + ``end``."""
    count = 0
    while f"{start}{count}{end}" in names:
        count += 1
    return count
