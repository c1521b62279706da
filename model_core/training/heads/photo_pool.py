"""Photographs of a folder: found, fitted, and left out with a reason where that fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...faces.foreground import estimate_foreground
from ...images import read_pixels
from ...motion.components import LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE
from ...paths import readable_folder
from ...types import FaceTrack
from .atlas import SIDE, TILES, Atlas, skin_atlas
from .fit import HeadFit, HeadFitter
from .ict import Head
from .landmarks import landmarks_in_space
from .paint import FIRST_INSIDE
from .performance import Pose
from .photo_colours import hidden_share, photo_colours
from .photo_skin import PhotoSkin
from .photo_texture import Photograph, paint_from_photograph
from .render import Renderer
from .scene import Optics, SkinMap
from .surroundings import card, card_pixels

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_CROP, _FACE_SHARE = 512, 0.40
_SMALLEST = 90
"""Pixels: the height of a face that is worth projecting."""
_YAW, _PITCH = np.deg2rad(25), np.deg2rad(22)
_RESIDUAL = 0.0075
"""Of the face's height. Faces are fitted to 0.004 to 0.007; a hand that passed for one, to 0.008."""
_COVERED = 0.35
_CUT_AWAY = 0.06
_EYE_RADIUS = 1.2  # cm


@dataclass(frozen=True)
class Refusal:
    """A photograph that is left out, and why."""

    name: str
    reason: str


class PhotoPool:
    """Photographs of a folder whose faces can be worn by the head.

    Attributes:
        usable: the photographs and their fits, by name.
        refused: the others.
    Raises:
        InputError: no photograph of the folder is of use.
    """

    def __init__(self, folder: Path, head: Head, analyzer: FaceAnalyzer) -> None:
        readable_folder(folder, name="photos")
        self.head, self.atlas = head, skin_atlas(head)
        self.usable: list[tuple[Photograph, HeadFit]] = []
        self.refused: list[Refusal] = []
        fitter = HeadFitter(head)
        for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
            found = take_photograph(path, analyzer, fitter)
            if isinstance(found, Refusal):
                self.refused.append(found)
            else:
                self.usable.append(found)
        if not self.usable:
            why = "; ".join(f"{refusal.name}: {refusal.reason}" for refusal in self.refused[:5])
            raise InputError(f"photos {folder}: none is of use ({why or 'no pictures'}); give frontal, sharp portraits")

    def skin(self, renderer: Renderer, number: int, *, surrounded: bool, shading: float) -> PhotoSkin:
        """The photograph of a number as a skin.

        Args:
            surrounded: with the photograph's own hair and clothes, if the person stands out from what is behind.
            shading: see ``PhotoSkin``.
        """
        photo, fit = self.usable[number]
        surrounded = surrounded and self.stands_out(number)
        return PhotoSkin(
            identity=fit.identity,
            atlas=self.atlas,
            skin=SkinMap(self._pixels(renderer, number, surrounded), (0.0, 0.0), (float(TILES), 1.0)),
            card=card(fit, photo) if surrounded else None,
            colours=photo_colours(photo),
            shading=shading,
            own=own_pose(self.head, photo, fit),
        )

    def stands_out(self, number: int) -> bool:
        """Whether the person of a photograph is known from its background, so that hair and clothes can be cut out."""
        return _cut_away(self.head, *self.usable[number]) < _CUT_AWAY

    @lru_cache(maxsize=4)  # noqa: B019, the pool lives as long as the command
    def _pixels(self, renderer: Renderer, number: int, surrounded: bool) -> np.ndarray:
        photo, fit = self.usable[number]
        skin = paint_from_photograph(renderer, self.head, self.atlas, photo, fit, neck=surrounded)
        if not surrounded:
            plain = np.concatenate([skin, np.ones_like(skin[..., :1])], axis=2)
            return np.concatenate([plain, np.zeros((SIDE, SIDE, 4), np.float32)], axis=1)
        there = self.atlas.spread(_on_person(self.head, self.atlas, photo, fit)[:, None])
        cover = cv2.dilate(there, np.ones((3, 3), np.uint8))[..., None]
        return np.concatenate([np.concatenate([skin, cover], axis=2), card_pixels(renderer, self.head, photo, fit)], 1)


def take_photograph(path: Path, analyzer: FaceAnalyzer, fitter: HeadFitter) -> tuple[Photograph, HeadFit] | Refusal:
    """Read, cut and fit one photograph."""
    pixels = read_pixels(path)
    faces = sorted(analyzer.detect(pixels), key=lambda face: -float(np.ptp(face.landmarks[:, 1])))
    if not faces:
        return Refusal(path.name, "no face is found")
    tall = float(np.ptp(faces[0].landmarks[:, 1]))
    if tall < _SMALLEST:
        return Refusal(path.name, f"the face is {tall:.0f} pixels tall, {_SMALLEST} are needed")
    photo = _cut(pixels, faces[0].landmarks, path.name)
    fit = fitter.fit(photo.landmarks, photo.person.shape)
    reason = _unfit(photo, fit)
    return (photo, fit) if reason is None else Refusal(path.name, reason)


def _unfit(photo: Photograph, fit: HeadFit) -> str | None:
    yaw, pitch, _ = fit.turn
    if abs(yaw) > _YAW or abs(pitch) > _PITCH:
        return f"the face is turned away, {np.rad2deg(yaw):.0f} degrees aside and {np.rad2deg(pitch):.0f} up"
    if fit.residual > _RESIDUAL * photo.face_height:
        return f"the head fits it badly, {fit.residual:.1f} pixels off at a face {photo.face_height:.0f} tall"
    colours = photo_colours(photo)
    if not colours.eyes_seen:
        return "the eyes are not seen: dark glasses, or lids that are shut"
    hidden = hidden_share(photo)
    if hidden > _COVERED:
        return f"{hidden:.0%} of the face has other colours than skin: glasses, hair or a hand may cover it"
    return None


def _cut(pixels: np.ndarray, landmarks: np.ndarray, name: str) -> Photograph:
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    scale = _FACE_SHARE * _CROP / float(high[1] - low[1])
    middle = (low + high) / 2
    move = np.array([[scale, 0, _CROP * 0.5 - scale * middle[0]], [0, scale, _CROP * 0.52 - scale * middle[1]]])
    if scale < 1:
        pixels = cv2.GaussianBlur(pixels, (0, 0), max(0.4 / scale - 0.3, 0.01))
    centred = move.copy()
    centred[:, 2] += 0.5 * scale - 0.5  # OpenCV's first pixel has its middle at 0
    cut = cv2.warpAffine(pixels, centred, (_CROP, _CROP), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    marks = landmarks.astype(np.float32) * scale
    marks[:, :2] += move[:, 2]
    image = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 127.5 - 1
    box = np.concatenate([marks[:, :2].min(axis=0), marks[:, :2].max(axis=0)])[None]
    sure = np.ones(1, np.float32)
    track = FaceTrack(box.astype(np.float32), marks[None], sure, sure.astype(bool), (_CROP, _CROP))
    person = estimate_foreground(image, track)[0, 0].numpy()
    return Photograph(np.asarray(cut), marks, person.astype(np.float32), name)


def _on_person(head: Head, atlas: Atlas, photo: Photograph, fit: HeadFit) -> np.ndarray:
    """(K,) 1 on texels that fall on the person: no bald skull beside a flat cap of hair."""
    point = atlas.at_texels(fit.camera.project(fit.posed(head)))
    column, row = np.floor(point).astype(int).clip(0, len(photo.person) - 1).T
    x, y, z = atlas.at_texels(head.neutral).T
    face = (z > 6.0) | ((y < -1.5) & (abs(x) < 5.0))  # behind a throat with holes the mouth's inside would show
    return ((photo.person[row, column] > 0.5) | face).astype(np.float32)


def _cut_away(head: Head, photo: Photograph, fit: HeadFit) -> float:
    """The share of the fitted head, without its ears, that the mask leaves out."""
    x, y, _ = head.neutral[:FIRST_INSIDE].T
    point = fit.camera.project(fit.posed(head)[:FIRST_INSIDE][(y > -7) & (abs(x) < 7.3)])
    column, row = np.floor(point).astype(int).clip(0, len(photo.person) - 1).T
    covered = np.zeros(photo.person.shape, bool)
    covered[row, column] = True
    return float((photo.person[covered] < 0.5).mean())


def own_pose(head: Head, photo: Photograph, fit: HeadFit) -> Pose:
    """Expression, turn and gaze of the photograph."""
    names = zip(head.expression_names, fit.expression.tolist(), strict=True)
    pose = Pose({name: value for name, value in names if value > 1e-3}, turn=fit.turn)
    marks = landmarks_in_space(head, fit.positions(head), pose, iris_radius=Optics().iris_radius)
    centres = [LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE]
    off = (photo.landmarks[centres, :2] - fit.camera.project(marks[centres])).mean(axis=0)
    radius = _EYE_RADIUS * photo.person.shape[0] / fit.camera.extent
    right, up = (off / radius * (1, -1)).clip(-0.5, 0.5).tolist()
    return replace(pose, gaze=(right, up))
