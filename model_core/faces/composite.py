"""The animated face back in a full frame: the portrait's own, or the driving video's.

The model's frame lies over the full one by a fixed scale and offset, and is resampled there between the pixels, so
that nothing trembles that does not tremble in the model's frame. A soft mask, drawn in the model's frame and
resampled with it, says where it shows; where it is 0 the full frame stays bit for bit.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..geometry import Placement
from .colours import ColourMatch

_OVERSAMPLING = 4


def _rectangle(place: Placement, frame: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels of a full frame (H, W) that the model's frame can reach."""
    low, high = [], []
    for axis, side in ((0, frame[1]), (1, frame[0])):
        scale, offset, length = place.scale[axis], place.offset[axis], place.size[1 - axis]
        low.append(max(int(np.floor(-offset / scale)) - 1, 0))
        high.append(min(int(np.ceil((length - offset) / scale)) + 1, side))
    return low[0], low[1], max(high[0], low[0]), max(high[1], low[1])


def _onto(picture: np.ndarray, place: Placement, rectangle: tuple[int, int, int, int], *, cubic: bool) -> np.ndarray:
    """A picture of the model's frame, (h, w, channels) float32, as it lies in a rectangle of the full frame.

    Beyond the model's frame its edge is repeated where ``cubic``, else there is 0.
    """
    left, top, right, bottom = rectangle
    columns, rows = (
        _resampling(pixels, float(place.scale[axis]), float(place.offset[axis]), place.size[1 - axis], cubic=cubic)
        for axis, pixels in enumerate((range(left, right), range(top, bottom)))
    )
    return np.einsum("Yy,yxc,Xx->YXc", rows, picture, columns, optimize=True)


def _under(frame: np.ndarray, place: Placement) -> tuple[np.ndarray, np.ndarray]:
    """What the model's frame covers, at its own pixels: (h, w, 3) float32, and (h, w) 1 inside the full frame."""
    matrix = place.inverse((frame.shape[0], frame.shape[1])).matrix()
    size, flags = place.size[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpAffine(frame, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    everywhere = np.ones(frame.shape[:2], np.uint8)
    inside = cv2.warpAffine(everywhere, matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return covered.astype(np.float32), inside.astype(np.float32)


@lru_cache(maxsize=8)
def _resampling(pixels: range, scale: float, offset: float, length: int, *, cubic: bool) -> np.ndarray:
    """(pixels, length) float32: what every pixel of the full frame takes of one axis of the model's frame.

    Exact at any part of a pixel, and averaging where the model's frame is the finer one. The kernel is Keys' cubic or
    a triangle.
    """
    reach = max(scale, 1.0)
    centres = scale * (np.array(pixels, dtype=np.float64) + 0.5) + offset - 0.5
    margin = int(np.ceil(2 * reach)) + 1
    sources = np.arange(-margin, length + margin)
    far = np.abs(np.clip(centres, -1.0, length)[:, None] - sources) / reach
    if cubic:
        near = 1.5 * far**3 - 2.5 * far**2 + 1
        weights = np.where(far < 1, near, np.where(far < 2, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2, 0.0))
    else:
        weights = np.maximum(1.0 - far, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    made = weights[:, margin : margin + length].copy()
    if cubic:
        made[:, 0] += weights[:, :margin].sum(axis=1)
        made[:, -1] += weights[:, margin + length :].sum(axis=1)
    return made.astype(np.float32)


def face_mask(landmarks: np.ndarray, size: tuple[int, int], *, grow: float = 0.06, feather: float = 0.05) -> np.ndarray:
    """(h, w) float32 in [0, 1]: the face, a little grown, with a soft edge; 0 along the border of the picture.

    Args:
        landmarks: (478, >=2) in pixels of a picture of ``size`` (h, w).
        grow, feather: as shares of the face's height.
    """
    points = landmarks[:, :2].astype(np.float32)
    hull = cv2.convexHull(points)[:, 0]
    middle, height = hull.mean(axis=0), float(np.ptp(points[:, 1]))
    away = hull - middle
    hull = middle + away * (1.0 + grow * height / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6))
    canvas = np.zeros((size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), np.uint8)
    corners = np.clip(hull * _OVERSAMPLING - 0.5, -(2.0**14), 2.0**14)
    cv2.fillPoly(canvas, [np.rint(corners * 16).astype(np.int32)], (255,), cv2.LINE_8, 4)
    mask: np.ndarray = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    mask = cv2.GaussianBlur(mask, (0, 0), max(feather * height, 0.5))
    mask[mask < 1 / 255] = 0.0  # a Gauss curve never ends; a mask has to
    edge = np.minimum.outer(_from_border(size[0]), _from_border(size[1]))
    return mask * np.clip(edge / max(feather * height, 1.0), 0.0, 1.0).astype(np.float32)


def _from_border(length: int) -> np.ndarray:
    place = np.arange(length)
    return np.minimum(place, length - 1 - place).astype(np.float64)


def composite(
    frame: np.ndarray,
    picture: np.ndarray,
    mask: np.ndarray,
    place: Placement,
    *,
    colours: ColourMatch | None = None,
) -> np.ndarray:
    """Lay an animated frame over a full one.

    Args:
        frame: (H, W, 3) uint8; left unchanged.
        picture: (h, w, 3) uint8, the model's frame.
        mask: (h, w) float32 in [0, 1] over it.
        place: from the full frame to the model's.
        colours: the correction, which learns from this frame too; None leaves the colours.
    Returns:
        (H, W, 3) uint8; wherever the mask is 0, bit for bit the frame.
    """
    left, top, right, bottom = rectangle = _rectangle(place, (frame.shape[0], frame.shape[1]))
    made = frame.copy()
    if left >= right or top >= bottom or not mask.any():
        return made
    corrected = picture.astype(np.float32)
    if colours is not None:
        covered, inside = _under(frame, place)
        corrected = colours.apply(corrected, covered, mask * inside)
    weight = _onto(mask[..., None], place, rectangle, cubic=False)
    laid = _onto(corrected, place, rectangle, cubic=True)
    under = frame[top:bottom, left:right]
    blended = np.rint(under + (laid - under) * weight).clip(0, 255).astype(np.uint8)
    made[top:bottom, left:right] = np.where(weight > 0, blended, under)
    return made
