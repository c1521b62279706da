"""What eyes, mouth and hair look like in a photograph, so that what is not its skin fits in."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...motion.components import LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from ...types import Component
from .photo_texture import Photograph
from .render import radiance

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_WHITE, _CONTRAST = 0.35, 1.5
"""A white at least so bright against the skin and the iris; dark glasses have none."""
_CROWN = (0.06, 0.22, 0.25)
"""Where hair is looked for: from and to so far above the face, and so far aside, in heights of the face."""
_FOREHEAD = 10


@dataclass(frozen=True)
class PhotoColours:
    """Light that eyes and mouth send in a photograph, linear.

    Attributes:
        white, iris, skin: (3,) of the eyeball, around the pupil and of the face.
        seen_white: (3,), the white as it is, before it is made bearable.
        contrast: how many times as bright it is as the iris.
    """

    white: np.ndarray
    iris: np.ndarray
    skin: np.ndarray
    seen_white: np.ndarray
    contrast: float

    @property
    def eyes_seen(self) -> bool:
        """Whether there is a white, and no lens: bright beside skin and iris, and between skin and grey in hue."""
        hue, of_skin = (colour / max(float(colour.sum()), 1e-4) for colour in (self.seen_white, self.skin))
        off = np.minimum(abs(hue - of_skin), abs(hue - 1 / 3)).max()
        between = (hue - of_skin) @ (1 / 3 - of_skin) > -0.01
        bright = float(self.seen_white @ _LUMA) > _WHITE * float(self.skin @ _LUMA)
        return bool((off < 0.06 or between) and bright and self.contrast > _CONTRAST)

    @property
    def colourless(self) -> bool:
        return bool(np.ptp(self.skin) < 0.06 * self.skin.max())

    def toned(self, colour: np.ndarray) -> np.ndarray:
        """A colour of the mouth's inside, as bright against the skin as usual, and grey where all is."""
        made = np.asarray(colour) * float(self.skin @ _LUMA) / 0.3
        return np.full(3, made @ _LUMA) if self.colourless else made


def photo_colours(photo: Photograph) -> PhotoColours:
    """What eyes and skin look like in a photograph."""
    light = radiance(photo.pixels.astype(np.float32) / 255)
    skin = np.median(light[_face_only(photo)], axis=0)
    whites, irises = [], []
    for eye, centre in ((Component.LEFT_EYE, LEFT_IRIS_CENTRE), (Component.RIGHT_EYE, RIGHT_IRIS_CENTRE)):
        opened = np.zeros(photo.person.shape, np.uint8)
        cv2.fillPoly(opened, [np.rint(photo.landmarks[RINGS[eye], :2]).astype(np.int32)], 1)
        ring = photo.landmarks[centre : centre + 5, :2]
        radius = float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean())
        row, column = np.nonzero(opened)
        apart = np.hypot(column + 0.5 - ring[0, 0], row + 0.5 - ring[0, 1])
        whites.append(light[row, column][apart > 1.1 * radius])
        irises.append(light[row, column][(apart < 0.9 * radius) & (apart > 0.4 * radius)])
    white, iris = np.concatenate(whites), np.concatenate(irises)
    bright = float(skin @ _LUMA)
    found = _near_brightest(white) if len(white) > 20 else 1.2 * skin
    seen = found
    level = float(np.clip(found @ _LUMA, bright, 1.0))
    found = level * (0.6 * found / max(float(found @ _LUMA), 1e-4) + 0.4)  # less of the lids' red
    own = np.median(iris, axis=0) if len(iris) > 10 else 0.25 * skin
    contrast = float(seen @ _LUMA) / max(float(own @ _LUMA), 1e-4)
    return PhotoColours(found, np.minimum(own, 0.4 * level), skin, seen, contrast)


def _near_brightest(pixels: np.ndarray) -> np.ndarray:
    order = np.argsort(pixels @ _LUMA)
    return np.asarray(pixels[order[int(0.7 * len(order)) : int(0.95 * len(order)) + 1]].mean(axis=0))


def _face_only(photo: Photograph) -> np.ndarray:
    """(S, S) bool: the face without eyes, brows and mouth."""
    made = np.zeros(photo.person.shape, np.uint8)
    parts = (Component.LEFT_EYE, Component.RIGHT_EYE, Component.LEFT_BROW, Component.RIGHT_BROW)
    for value, names in ((1, (Component.FACE,)), (0, (*parts, Component.UPPER_LIP, Component.LOWER_LIP))):
        for name in (*names, *((Component.INNER_MOUTH,) if value == 0 else ())):
            hull = cv2.convexHull(np.rint(photo.landmarks[RINGS[name], :2]).astype(np.int32))
            cv2.fillPoly(made, [hull], value)
    return made > 0


def hair_colour(photo: Photograph) -> np.ndarray:
    """(3,) linear: what is above the forehead, as strands have it, which the light makes brighter."""
    x, y = photo.landmarks[_FOREHEAD, :2]
    low, high, aside = (int(share * photo.face_height) for share in _CROWN)
    part = photo.pixels[max(int(y) - high, 0) : max(int(y) - low, 1), max(int(x) - aside, 0) : int(x) + aside]
    return np.asarray(0.8 * np.median(radiance(part.reshape(-1, 3).astype(np.float32) / 255), axis=0))


def hidden_share(photo: Photograph) -> float:
    """The share of the face that has not the skin's hue or is far darker."""
    light = radiance(photo.pixels.astype(np.float32) / 255)[_face_only(photo)] + 1e-3
    hue = light / light.sum(axis=1, keepdims=True)
    bright = light @ _LUMA
    other = np.abs(hue - np.median(hue, axis=0)).sum(axis=1) > 0.18
    return float((other | (bright < 0.2 * np.median(bright))).mean())
