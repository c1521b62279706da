"""The motion signals of public models that follow drawn landmarks.

``drawn_landmarks`` is FollowYourEmoji's picture: thin coloured lines along brows, eyelids and the inner lips, and a
red square on each pupil. The outer lips, the nose and the face's outline are not drawn. Their code draws the outline
in black, on black.
Source: mayuelala/FollowYourEmoji, media_pipe/draw_util.py and dataset/val_dataset.py @ 8e42c5f, which draws with
mediapipe's ``draw_landmarks``.

``split_landmarks`` is what Moore-AnimateAnyone's face reenactment was trained on: two pictures of dots, one for each
of its PoseGuiders. The first shows all points but nothing below 0.55 of the frame's height, so that it says how the
head is held and whether the eyes are open; the second shows the mouth alone, moved with the face's centre to the middle
of the picture. Their points are OpenSeeFace's 66 and its two pupils; here the points of MediaPipe's mesh stand in that
lie nearest to them on an average face (a brow's point is the middle between its two edges).
Source: MooreThreads/Moore-AnimateAnyone, scripts/lmks2vid.py @ a914ef3. Differs: drawn at the model's size instead of
the driving video's, so that the dots keep theirs; and their alignment, which rounds every shift to zero and draws
the first frame in the upper left corner, is left out.

Neither depends on the size of the picture: lines and dots keep their width in pixels, which is right for the 512 x
512 that these models were made for. Skeletons of the body (AnimateAnyone's pose2vid) need another detector and are
not drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from ..geometry import Placement
from ..types import Component, FaceTrack, MotionSignal
from .components import LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE, RINGS
from .parsing_map import place_landmarks

Colour = tuple[int, int, int]

_INNER_TOP, _INNER_BOTTOM = (78, 191, 80, 81, 82, 13), (78, 95, 88, 178, 87, 14)
_INNER_TOP_LEFT, _INNER_BOTTOM_LEFT = (13, 312, 311, 310, 415, 308), (14, 317, 402, 318, 324, 308)


def _closed(component: Component) -> tuple[int, ...]:
    ring = RINGS[component].tolist()
    return (*ring, ring[0])


def _edges(component: Component) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The lower and the upper edge of a brow."""
    ring = tuple(RINGS[component].tolist())
    return ring[:5], ring[5:]


_LINES: tuple[tuple[Colour, tuple[int, ...]], ...] = (
    ((180, 200, 10), _closed(Component.LEFT_EYE)),
    *(((180, 220, 10), edge) for edge in _edges(Component.LEFT_BROW)),
    ((10, 200, 180), _closed(Component.RIGHT_EYE)),
    *(((10, 220, 180), edge) for edge in _edges(Component.RIGHT_BROW)),
    ((100, 100, 30), _INNER_BOTTOM),
    ((100, 150, 50), _INNER_BOTTOM_LEFT),
    ((120, 100, 200), _INNER_TOP),
    ((150, 120, 100), _INNER_TOP_LEFT),
)
"""Colour and landmarks of every line, in the order of drawing."""

_PUPIL_COLOUR: Colour = (255, 0, 0)
_PUPIL_HALF = 3

_DOT: Colour = (0, 255, 0)
_PUPIL_DOT: Colour = (255, 255, 0)
_HEAD_SHARE = 0.55

_JAW = (127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356)
_NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_MOUTH = (39, 37, 0, 267, 269, 405, 314, 17, 84, 181, 61, 81, 13, 311, 291, 402, 14, 178)
_PUPILS = (RIGHT_IRIS_CENTRE, LEFT_IRIS_CENTRE)


def drawn_landmarks_signal(track: FaceTrack, *, size: tuple[int, int], place: Placement | None = None) -> MotionSignal:
    """FollowYourEmoji's pictures of a clip, (F, 3, H, W) in [0, 1]; the arguments of ``parsing_map_signal``."""
    placed = (place or Placement.in_place(track.size)).track(track)
    pictures = [draw_lines(points, source_size=placed.size, size=size) for points in placed.landmarks]
    return MotionSignal("drawn_landmarks", _unit(pictures))


def split_landmarks_signal(track: FaceTrack, *, size: tuple[int, int], place: Placement | None = None) -> MotionSignal:
    """AnimateAnyone's pictures of a clip, (F, 6, H, W) in [0, 1]: three channels of the head, then three of the mouth.

    The arguments are those of ``parsing_map_signal``.
    """
    placed = (place or Placement.in_place(track.size)).track(track)
    pictures = [
        np.concatenate(draw_dots(points, source_size=placed.size, size=size), axis=2) for points in placed.landmarks
    ]
    return MotionSignal("split_landmarks", _unit(pictures))


def draw_lines(landmarks: np.ndarray, *, source_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Draw FollowYourEmoji's picture of one face.

    A line is drawn if both its ends are inside the picture; a pupil is cut off at the border.

    Args:
        landmarks: (478, >=2) x, y in pixels of the source frame.
        source_size, size: (H, W) of the source frame and of the picture.
    Returns:
        (H, W, 3) uint8 RGB, black elsewhere. Not antialiased, lines one pixel wide, pupils six by six.
    Raises:
        InputError: the landmarks have another shape or are not finite.
    """
    points = place_landmarks(landmarks, source_size=source_size, size=size)
    canvas = np.zeros((*size, 3), dtype=np.uint8)
    height, width = size
    inside = np.all((points >= 0) & (points <= (width, height)), axis=1)
    pixels = np.minimum(_whole(points), (width - 1, height - 1))
    for colour, line in _LINES:
        for start, end in zip(line, line[1:], strict=False):
            if inside[start] and inside[end]:
                cv2.line(canvas, pixels[start].tolist(), pixels[end].tolist(), colour)
    for x, y in _whole(points[[LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE]]).tolist():
        top, left = max(y - _PUPIL_HALF, 0), max(x - _PUPIL_HALF, 0)
        canvas[top : max(y + _PUPIL_HALF, 0), left : max(x + _PUPIL_HALF, 0)] = _PUPIL_COLOUR
    return canvas


def draw_dots(
    landmarks: np.ndarray, *, source_size: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the head and the mouth of one face as AnimateAnyone's face reenactment takes them.

    Args:
        landmarks: (478, >=2) x, y in pixels of the source frame.
        source_size, size: (H, W) of the source frame and of the pictures.
    Returns:
        two pictures (H, W, 3) uint8 RGB, black elsewhere.
    Raises:
        InputError: the landmarks have another shape or are not finite.
    """
    points = place_landmarks(landmarks, source_size=source_size, size=size)
    mouth, pupils = points[list(_MOUTH)], points[list(_PUPILS)]
    rest = np.concatenate([points[list((*_JAW, *_NOSE, *_EYES))], _brow_middles(points)])
    everything = np.concatenate([rest, mouth, pupils])
    height, width = size
    head_picture, mouth_picture = np.zeros((2, *size, 3), dtype=np.uint8)
    _dots(head_picture, np.concatenate([rest, mouth]), _DOT)
    _dots(head_picture, pupils, _PUPIL_DOT)
    head_picture[int(height * _HEAD_SHARE) :] = 0
    _dots(mouth_picture, mouth - everything.mean(axis=0) + (width // 2, height // 2), _DOT)
    return head_picture, mouth_picture


def _brow_middles(points: np.ndarray) -> np.ndarray:
    middles = []
    for brow in (Component.RIGHT_BROW, Component.LEFT_BROW):
        lower, upper = _edges(brow)
        middles.append((points[list(lower)] + points[list(upper[::-1])]) / 2)
    return np.concatenate(middles)


def _dots(canvas: np.ndarray, points: np.ndarray, colour: Colour) -> None:
    for point in _whole(points).tolist():
        cv2.circle(canvas, point, 1, colour, cv2.FILLED)


def _whole(points: np.ndarray) -> np.ndarray:
    """The pixels that hold the points; far outside any picture, well inside int32."""
    return np.floor(np.clip(points, -(2**20), 2**20)).astype(np.int64)


def _unit(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures (H, W, C) uint8 as (F, C, H, W) float32 in [0, 1]."""
    return (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(torch.float32) / 255.0).contiguous()
