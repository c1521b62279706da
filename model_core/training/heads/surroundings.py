"""What surrounds a head in its photograph: hair, ears, clothes and the place where it was taken.

Hair and clothes become a card, a flat sheet through the ears that turns with the head and shows the person alone;
the head hides its middle. What is behind the person is continued into where they stood.
"""

from __future__ import annotations

import cv2
import numpy as np

from .atlas import SIDE, SURROUNDINGS, filled
from .fit import HeadFit
from .ict import Head
from .paint import turned
from .photo_texture import Photograph
from .render import Renderer, radiance
from .scene import Camera, Surface

_DEPTH = -0.5
"""cm, of the card: behind cheeks and jaw, before the back of the head."""
_STEPS = 72
_ROUNDS = 12
_BORDER = 0.02
"""Shares of the face's height that are not trusted beside an outline, where colours mix."""


def card(head_fit: HeadFit, photo: Photograph) -> Surface:
    """The sheet, in the head's own upright frame; its colours lie in the tile ``SURROUNDINGS`` of the atlas."""
    side = len(photo.pixels)
    share = np.linspace(0, 1, _STEPS + 1)
    x, y = (part.ravel() for part in np.meshgrid(share, share))
    camera = head_fit.camera
    place = camera.place
    far = (place[2] - _DEPTH) / camera.distance
    across = np.stack([(x - 0.5), (0.5 - y)], axis=1) * camera.extent * far + place[:2]
    seen = np.concatenate([across, np.full((len(x), 1), _DEPTH)], axis=1).astype(np.float32)
    row, column = (part.ravel() for part in np.mgrid[0:_STEPS, 0:_STEPS])
    corner = row * (_STEPS + 1) + column
    quads = np.stack([corner, corner + _STEPS + 1, corner + 1, corner + _STEPS + 2], axis=1)
    inset = 0.5 / side
    home = np.stack([SURROUNDINGS + x.clip(inset, 1 - inset), (1 - y).clip(inset, 1 - inset), 0 * x], axis=1)
    return Surface(
        kind="card",
        positions=_unturned(seen, head_fit.turn),
        triangles=np.concatenate([quads[:, [0, 1, 2]], quads[:, [2, 1, 3]]]).astype(np.int32),
        albedo=np.tile(np.array([1, 1, 1, 0], np.float32), (len(x), 1)),
        rest=home.astype(np.float32),
    )


def _unturned(seen: np.ndarray, turn: tuple[float, float, float]) -> np.ndarray:
    """(V, 3) that ``turned`` brings to these places; it bends, so this comes nearer step by step."""
    yaw, pitch, roll = turn
    made = seen.copy()
    for _ in range(_ROUNDS):
        made = made + seen - turned(made, yaw=yaw, pitch=pitch, roll=roll)
    return made.astype(np.float32)


def card_pixels(renderer: Renderer, head: Head, photo: Photograph, fit: HeadFit) -> np.ndarray:
    """(SIDE, SIDE, 4) float32, linear colours and where the person is; row 0 is lowest.

    Behind the head, hair and neck are continued, so that no second cheek comes out when it turns.
    """
    triangles = head.triangles("M_Face", "M_BackHead")
    depth = renderer.depth_along(fit.posed(head), triangles, [fit.camera.matrix()], side=SIDE)[0][::-1]
    margin = max(round(_BORDER * photo.face_height * SIDE / len(photo.pixels)), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    light = cv2.resize(radiance(photo.pixels.astype(np.float32) / 255), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    person = cv2.resize(photo.person, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    sure = cv2.erode((person > 0.5).astype(np.float32), kernel[::2, ::2])
    beside = 1 - cv2.erode((depth < 1).astype(np.float32), kernel)
    colour = filled(np.maximum(light, 0), sure * beside)
    return np.concatenate([colour, person[..., None]], axis=2)[::-1]


def backdrop(photo: Photograph, fit: HeadFit, camera: Camera) -> np.ndarray:
    """(H, W, 3) float32 linear: the place, without the person, as a camera beside the photograph's own sees it."""
    margin = max(round(2 * _BORDER * photo.face_height), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    free = 1 - cv2.dilate((photo.person > 0.3).astype(np.float32), kernel)
    place = filled(radiance(photo.pixels.astype(np.float32) / 255), free)
    scale = fit.camera.extent / len(place)  # cm per pixel of the photograph
    to = camera.size[0] / camera.extent
    height, width = camera.size
    move = np.array(
        [
            [scale * to, 0, width / 2 + (fit.camera.target[0] - camera.target[0] - fit.camera.extent / 2) * to],
            [0, scale * to, height / 2 + (camera.target[1] - fit.camera.target[1] - fit.camera.extent / 2) * to],
        ]
    )
    return np.asarray(
        cv2.warpAffine(place, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        np.float32,
    )
