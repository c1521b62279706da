"""The motion signal of VividPortraits: a picture of the labelled face components.

Brows, eyes, nose, lips and the open mouth are filled polygons through the landmarks, or the pixels of a face
parser where the analyser is one; the irises are drawn into the eyes, as the paper adds the eyeball position that
a face parser's map lacks. Background, hair, skin and the face's contour are left out: they would carry the
driver's face shape over to the portrait. Both ways have the same components in the same colours, so that a model
need not know which made its picture. (METHODS: motion input. The colours are ours; the paper's map has one per
FaRL label.)

Landmarks are in continuous pixels: the centre of the first pixel is at 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
import torch

from ..errors import InputError
from ..geometry import Placement
from ..types import NUM_LANDMARKS, PALETTE, Component, FaceTrack, MotionSignal
from .alignment import warp
from .components import OTHER_SIDE, RINGS, visible_side

_ORDER = (
    Component.NOSE,
    Component.INNER_MOUTH,
    Component.UPPER_LIP,
    Component.LOWER_LIP,
    Component.LEFT_BROW,
    Component.RIGHT_BROW,
    Component.LEFT_EYE,
    Component.RIGHT_EYE,
)
_IRIS_OF = MappingProxyType({Component.LEFT_EYE: Component.LEFT_IRIS, Component.RIGHT_EYE: Component.RIGHT_IRIS})
_SHIFT = 4  # bits of sub-pixel position handed to OpenCV
_TURN = np.arange(24) * (2 * np.pi / 24)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1).astype(np.float32)


def draw_parsing_map(landmarks: np.ndarray, *, source_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Draw one parsing map.

    Edges are antialiased by drawing enlarged and averaging, so that a component's area and place change
    smoothly with its landmarks: an eye that closes fades to a hairline instead of jumping. The iris stays
    inside the eye's opening. An eye or brow that a profile turns out of sight is left out.

    Args:
        landmarks: (478, >=2) x, y in pixels of the source frame; a point may lie outside of it.
        source_size: (H, W) of the source frame.
        size: (H, W) of the map.
    Returns:
        (H, W, 3) uint8 RGB in the colours of ``PALETTE``, black elsewhere.
    Raises:
        InputError: the landmarks have another shape or are not finite.
    """
    factor = _oversampling(size)
    large = (size[0] * factor, size[1] * factor)
    canvas = np.zeros((*large, 3), dtype=np.uint8)
    paint_components(canvas, place_landmarks(landmarks, source_size=source_size, size=large), PALETTE)
    if factor == 1:
        return canvas
    return cv2.resize(canvas, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def parsing_map_signal(track: FaceTrack, *, size: tuple[int, int], place: Placement | None = None) -> MotionSignal:
    """The parsing maps of a clip: the track's label maps where it has them, else drawn from its landmarks.

    Args:
        track: F frames; its own ``size`` is stretched to ``size``, so crop before if the shapes differ.
        size: (H, W) of the maps.
        place: where the frames lie in the reference image (``alignment.placement``), pixels and landmarks alike;
            None leaves them where they are.
    Returns:
        (F, 3, H, W) float32 in [0, 1].
    """
    place = place or Placement.in_place(track.size)
    if track.label_maps is not None:
        return MotionSignal("parsing_map", _coloured(track.label_maps, place, size))
    maps = np.zeros((len(track), *size, 3), dtype=np.uint8)
    for frame, landmarks in enumerate(place.track(track).landmarks):
        maps[frame] = draw_parsing_map(landmarks, source_size=place.size, size=size)
    frames = torch.from_numpy(maps).permute(0, 3, 1, 2).to(torch.float32) / 255.0
    return MotionSignal("parsing_map", frames.contiguous())


def _coloured(labels: np.ndarray, place: Placement, size: tuple[int, int]) -> torch.Tensor:
    """Label maps (F, h, w) as pictures of ``PALETTE``, moved as pixels; averaged where they shrink, as drawn ones."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    for component, colour in PALETTE.items():
        colours[component] = colour
    frames = torch.empty(len(labels), 3, *size)
    for number, frame in enumerate(labels):
        picture = torch.from_numpy(colours[frame]).permute(2, 0, 1)[None] / 255.0
        frames[number] = warp(picture, place, size=size)[0].clamp_(0.0, 1.0)
    return frames


def label_map(landmarks: np.ndarray, source_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """One label per pixel, the face's hull included.

    Args:
        landmarks: (478, >=2) x, y in pixels of the source frame.
        source_size, size: (H, W) of the source frame and of the map.
    Returns:
        (H, W) uint8 of ``Component``.
    Raises:
        InputError: the landmarks have another shape or are not finite.
    """
    labels = np.zeros(size, dtype=np.uint8)
    points = place_landmarks(landmarks, source_size=source_size, size=size)
    hull = cv2.convexHull(points[RINGS[Component.FACE]])[:, 0]
    cv2.fillPoly(labels, [_fixed_point(hull)], (int(Component.FACE),), cv2.LINE_8, _SHIFT)
    paint_components(labels, points, {component: (int(component),) for component in PALETTE})
    return labels


def place_landmarks(landmarks: np.ndarray, *, source_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Landmarks of the source frame as (478, 2) float32 pixels of another picture, checked.

    Raises:
        InputError: the landmarks have another shape or are not finite.
    """
    if landmarks.ndim != 2 or landmarks.shape[0] != NUM_LANDMARKS or landmarks.shape[1] < 2:
        raise InputError(f"landmarks: shape {landmarks.shape}, need ({NUM_LANDMARKS}, 2 or 3); analyse the face again")
    scale = np.array((size[1] / source_size[1], size[0] / source_size[0]), dtype=np.float32)
    points = landmarks[:, :2].astype(np.float32) * scale
    if not np.isfinite(points).all():
        raise InputError("landmarks: NaN or infinite coordinates; analyse the face again")
    return points


def paint_components(canvas: np.ndarray, points: np.ndarray, values: Mapping[Component, tuple[int, ...]]) -> None:
    """Fill the components into ``canvas`` in place, without antialiasing.

    Args:
        canvas: (H, W) or (H, W, channels) uint8.
        points: (478, 2) in continuous pixels of the canvas.
        values: what to write for each component; a component that is not named is left out.
    """
    for component in _ORDER:
        if component not in values or (component in OTHER_SIDE and not visible_side(points, component)):
            continue
        outline = _fixed_point(points[RINGS[component]])
        cv2.fillPoly(canvas, [outline], values[component], cv2.LINE_8, _SHIFT)
        iris = _IRIS_OF.get(component)
        if iris is not None and iris in values:
            _paint_inside(canvas, outline, _fixed_point(iris_outline(points, iris)), values[iris])


def iris_outline(points: np.ndarray, iris: Component) -> np.ndarray:
    """The (24, 2) ellipse through the four landmarks of an iris."""
    right, top, left, bottom = points[RINGS[iris]]
    axes = np.stack([(right - left) / 2, (top - bottom) / 2])
    return _CIRCLE @ axes + (right + top + left + bottom) / 4


def _paint_inside(canvas: np.ndarray, opening: np.ndarray, outline: np.ndarray, value: tuple[int, ...]) -> None:
    """Fill ``outline`` where it lies inside ``opening``; both in fixed point."""
    height, width = canvas.shape[:2]
    (x0, y0), (x1, y1) = opening.min(axis=0) >> _SHIFT, (opening.max(axis=0) >> _SHIFT) + 2
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x0 >= x1 or y0 >= y1:
        return
    corner = np.array((x0 << _SHIFT, y0 << _SHIFT), dtype=np.int32)
    masks = np.zeros((2, y1 - y0, x1 - x0), dtype=np.uint8)
    cv2.fillPoly(masks[0], [opening - corner], (1,), cv2.LINE_8, _SHIFT)
    cv2.fillPoly(masks[1], [outline - corner], (1,), cv2.LINE_8, _SHIFT)
    canvas[y0:y1, x0:x1][(masks[0] & masks[1]).view(bool)] = value


def _fixed_point(points: np.ndarray) -> np.ndarray:
    """Continuous pixels as OpenCV's fixed-point coordinates, whose whole numbers are pixel centres."""
    # far outside any picture, well inside int32
    limited = np.clip(points - 0.5, -(2**20), 2**20)
    return np.rint(limited * (1 << _SHIFT)).astype(np.int32)


def _oversampling(size: tuple[int, int]) -> int:
    """Drawn pixels per map pixel and axis: less for large maps, whose edges matter less and cost more."""
    longest = max(size)
    return 4 if longest <= 192 else 2 if longest <= 1024 else 1
