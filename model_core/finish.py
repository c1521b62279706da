"""What becomes of decoded frames: frames of the model's own size, or of the whole portrait's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .warp.carrier import CarriedFrames
from .warp.full_size import FullSize


@dataclass(frozen=True)
class DecodedFrames:
    """A few frames of the model's size, and what they were made of.

    Attributes:
        start: number of the first one in the clip.
        landmarks: (n, 478, 3), where the face goes, in their pixels; None where that is not known.
        generated: (n, h, w, 3) uint8, the network's; None is the carried portrait alone.
        carried: the portrait carried to the landmarks, where that is at hand already.
    """

    start: int
    landmarks: np.ndarray | None
    generated: np.ndarray | None
    carried: CarriedFrames | None = None


class Finisher(Protocol):
    """Makes the frames of the result.

    Attributes:
        colours: (4, 3), what a running colour correction has learnt so far; None where there is none.
    """

    colours: np.ndarray | None

    def finish(self, decoded: DecodedFrames) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8, one for each decoded one."""
        ...


class AtModelSize:
    """The model's frames as they are."""

    colours: np.ndarray | None = None

    def finish(self, decoded: DecodedFrames) -> Iterator[np.ndarray]:
        if decoded.generated is not None:
            yield from decoded.generated
        else:
            assert decoded.carried is not None  # without a network there is nothing else to show
            yield from decoded.carried.frames.cpu().numpy()


class AtPortraitSize:
    """The whole portrait, at its own size or another."""

    colours: np.ndarray | None = None

    def __init__(self, whole: FullSize) -> None:
        self._whole = whole

    def finish(self, decoded: DecodedFrames) -> Iterator[np.ndarray]:
        assert decoded.landmarks is not None
        return self._whole.frames(decoded.landmarks, decoded.generated, carried=decoded.carried)
