"""Which pixels of a portrait are the person: its face grown by GrabCut, and by a small network where there is one.

VividPortraits feeds foreground and background to different networks. The face's outline says where the person surely
is; a rough head and shoulders say where the person may be; GrabCut (OpenCV) moves the border to where the colours
change. That is the answer, or the first guess of a network (matting.py) that finds where hair and clothes end. A face
parser's label map (facer) says more: what it labelled is the person, and above the chin nothing else is but what is
close to it, such as ears. A mask that the user brings always wins.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..images import to_uint8
from ..types import Component, FaceTrack
from .matting import SIDE, bundled_network, enlarged, refine

GUESS_SCALE = 0.75
"""Of the picture that the network sees: on how small a one GrabCut makes its first guess."""
_ITERATIONS = 4
_TOUCHING = 0.3  # alpha from which on neighbours hang together
_NEAR = 0.15  # widths of the face around what a parser labelled that may belong to the person too

_TURN = np.arange(48) * (2 * np.pi / 48)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
# Outlines relative to the chin; x in widths and y in heights of the face, downwards.
_HEAD_AT_MOST = np.array((0.0, -0.6)) + _CIRCLE * (1.15, 1.0)  # voluminous hair, a hat
_HEAD_LIKELY = np.array((0.0, -0.6)) + _CIRCLE * (0.68, 0.72)
_BODY_AT_MOST = np.array([(-0.6, -0.5), (0.6, -0.5), (1.5, 0.5), (2.2, 8), (-2.2, 8), (-1.5, 0.5)])
_BODY_LIKELY = np.array(
    [(-0.35, -0.5), (0.35, -0.5), (0.45, 0.25), (1.3, 0.75), (1.3, 8), (-1.3, 8), (-1.3, 0.75), (-0.45, 0.25)]
)
# Under a portrait's head there is a body, though often as dark as what is behind it.
_TRUNK = np.array([(-0.2, -0.5), (0.2, -0.5), (0.2, 0.3), (0.5, 1.2), (0.5, 8), (-0.5, 8), (-0.5, 1.2), (-0.2, 0.3)])


def estimate_foreground(image: Tensor, track: FaceTrack, *, mask: Tensor | None = None) -> Tensor:
    """Estimate the mask of the person.

    Args:
        image: (1, 3, H, W) in [-1, 1].
        track: its face, one frame, in its pixels.
        mask: (1, 1, H, W) in [0, 1] from the user; returned as it is, clamped.
    Returns:
        (1, 1, H, W) float32 in [0, 1], 1 on the person; on the image's device.
    Raises:
        InputError: NaN pixels, or image, track and mask do not belong together.
    """
    height, width = image.shape[-2:]
    if mask is not None:
        if tuple(mask.shape) != (1, 1, height, width):
            raise InputError(f"mask: shape {tuple(mask.shape)}, need (1, 1, {height}, {width}) as the image")
        return mask.float().clamp(0.0, 1.0)
    if len(image) != 1 or len(track) != 1 or tuple(track.size) != (height, width):
        raise InputError(
            f"foreground: {len(image)} image(s) of {(height, width)} and a face track of {len(track)} frame(s) of "
            f"{tuple(track.size)}; give one image and the face found in it"
        )
    if not torch.isfinite(image).all():
        raise InputError("foreground: the image has NaN or infinite pixels; check how it was made")
    pixels = to_uint8(image)[0]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    points = track.landmarks[0, :, :2] * np.array((size[0] / width, size[1] / height))
    labels = None if track.label_maps is None else track.label_maps[0]
    network = bundled_network()
    if network is None:
        guess = first_guess(small, points, labels=labels)
        full = cv2.resize(guess, (width, height), interpolation=cv2.INTER_LINEAR).clip(0.0, 1.0)
    else:
        guess = first_guess(small, points, labels=labels, scale=GUESS_SCALE)
        alpha = _with_what_is_sure(refine(network, small, points, guess), points, labels)
        full = enlarged(alpha, small, pixels)
    return torch.from_numpy(full)[None, None].to(image.device)


def first_guess(
    pixels: np.ndarray, points: np.ndarray, *, labels: np.ndarray | None = None, scale: float = 1.0
) -> np.ndarray:
    """The person by colours alone, which is rough where hair or clothes look like what is behind them.

    Args:
        pixels: (H, W, 3) uint8.
        points: (478, 2) landmarks in their pixels.
        labels: uint8 label map of a face parser, of any size.
        scale: of the picture that GrabCut works on; its time grows with the pixels.
    Returns:
        (H, W) float32 in [0, 1].
    """
    height, width = pixels.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    points = points * np.array((size[0] / width, size[1] / height))
    if labels is not None:
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    person = _segment(small, person_prior(points, small.shape[:2], labels=labels))
    soft = cv2.GaussianBlur(person.astype(np.float32), (0, 0), max(min(size) / 200.0, 0.5))
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR).clip(0.0, 1.0)


def person_prior(points: np.ndarray, size: tuple[int, int], *, labels: np.ndarray | None = None) -> np.ndarray:
    """Where the person surely is, and where hair, neck and shoulders may be.

    Args:
        points: (478, 2) landmarks in pixels.
        size: (H, W) of the picture.
        labels: (H, W) uint8 of a face parser, which knows face and hair at least.
    Returns:
        (H, W) uint8 of OpenCV's GrabCut classes.
    """
    classes = np.full(size, cv2.GC_BGD, dtype=np.uint8)
    low, high = points.min(axis=0), points.max(axis=0)
    unit = np.maximum(high - low, 1.0)
    chin = np.array(((low[0] + high[0]) / 2.0, high[1]))
    for shape in (_HEAD_AT_MOST, _BODY_AT_MOST):
        _fill(classes, chin + shape * unit, cv2.GC_PR_BGD)
    for shape in (_HEAD_LIKELY, _BODY_LIKELY):
        _fill(classes, chin + shape * unit, cv2.GC_PR_FGD)
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    # a little inside: the outline itself may lie on the background
    _fill(classes, hull + (hull.mean(axis=0) - hull) * 0.06, cv2.GC_FGD)
    if labels is not None:
        labelled = labels != Component.BACKGROUND
        distance = cv2.distanceTransform((~labelled).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        above = np.arange(size[0])[:, None] < chin[1]
        classes[above & (distance > _NEAR * unit[0])] = cv2.GC_BGD
        classes[labelled] = cv2.GC_FGD
    _fill(classes, chin + _TRUNK * unit, cv2.GC_FGD)
    return classes


def _with_what_is_sure(alpha: np.ndarray, points: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Alpha (h, w) that the network cannot have wrong: 1 in the face, and what a parser's labels say around it.

    What does not hang together with the face is somebody else, or nobody.
    """
    height, width = alpha.shape
    if labels is None:
        face = np.zeros(alpha.shape, np.uint8)
        hull = cv2.convexHull(points.astype(np.float32))[:, 0]
        _fill(face, hull + (hull.mean(axis=0) - hull) * 0.06, 1)
        sure = face > 0
    else:
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        classes = person_prior(points, alpha.shape, labels=labels)
        labelled = (labels != Component.BACKGROUND).astype(np.uint8)
        sure = cv2.erode(labelled, np.ones((3, 3), np.uint8)) > 0
        chin = points[:, 1].max()
        alpha = np.where((classes == cv2.GC_BGD) & (np.arange(height)[:, None] < chin), 0, alpha)
    alpha = np.where(sure, 1, alpha).astype(np.float32)
    if not sure.any():
        return alpha
    together = _component(alpha > _TOUCHING, sure)
    near = cv2.dilate(together.astype(np.uint8), np.ones((5, 5), np.uint8))
    return alpha * near


def _segment(pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(H, W) bool: GrabCut from the prior, then the part that belongs to the face, without holes."""
    sure = classes == cv2.GC_FGD
    person = np.isin(classes, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if person.all() or not sure.any():
        return person  # nothing to tell apart: only person in sight, or the face lies outside
    # OpenCV seeds its colour clusters from a generator of its own
    cv2.setRNGSeed(0)
    models = np.zeros((2, 1, 65))
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    cv2.grabCut(bgr, classes, (0, 0, 1, 1), models[0], models[1], _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(classes, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    side = max(round(min(found.shape) / 64), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * side + 1, 2 * side + 1))
    smooth = cv2.morphologyEx(found, cv2.MORPH_OPEN, kernel) | sure
    return _without_holes(_component(smooth, sure))


def _component(mask: np.ndarray, sure: np.ndarray) -> np.ndarray:
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return np.isin(labels, np.unique(labels[sure]))


def _without_holes(mask: np.ndarray) -> np.ndarray:
    """Fill what the mask encloses; background that reaches the left, right or upper edge stays."""
    around = np.pad(~mask, ((1, 0), (1, 1)), constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(around, connectivity=4)
    return labels[1:, 1:-1] != labels[0, 0]


def _fill(canvas: np.ndarray, polygon: np.ndarray, value: int) -> None:
    cv2.fillPoly(canvas, [np.rint(np.clip(polygon, -(2**14), 2**14)).astype(np.int32)], (value,))
