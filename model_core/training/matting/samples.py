"""Training samples for the matting network: a rendered head, dressed, over another background, as a camera leaves it.

Every sample is a function of (seed, number), so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from ...faces.foreground import GUESS_SCALE, first_guess, person_prior
from ...faces.matting import network_input
from ..clips import ClipFile
from ..heads.backdrops import random_backdrop
from ..heads.grading import random_grading
from .wardrobe import Sitter, big_hair, coat, hand, hat, hood, noise, strands

_CLEAR = 0.98  # alpha from which on a pixel shows the person alone
_LEAST_PATCH = 24


@dataclass(frozen=True)
class Layers:
    """A picture taken apart, all of one size.

    Attributes:
        colours: (H, W, 3) float32 of 255, the person's alone.
        alpha: (H, W) float32 in [0, 1].
        background: (H, W, 3) float32 of 255.
    """

    colours: np.ndarray
    alpha: np.ndarray
    background: np.ndarray

    def over(self, colours: np.ndarray, alpha: np.ndarray) -> Layers:
        """The same person with something in front that is part of them."""
        total = alpha + (1 - alpha) * self.alpha
        share = (alpha / np.maximum(total, 1e-4))[..., None]
        return Layers(self.colours + (colours - self.colours) * share, total, self.background)

    def picture(self) -> np.ndarray:
        """(H, W, 3) float32 of 255."""
        return self.background + (self.colours - self.background) * self.alpha[..., None]


class MattingSamples(Dataset[dict[str, Tensor]]):
    """Samples by number: ``picture`` (7, s, s) as the network sees it, and what it is made of.

    Further keys: ``alpha`` (1, s, s); ``colours`` and ``background`` (3, s, s) in [-1, 1], whose mixture by alpha is
    the picture before it was spoiled.

    Args:
        clips: rendered heads with exact foregrounds.
        photos: prepared photographs, whose backgrounds are taken; may be none.
        size: s, pixels.
    """

    def __init__(
        self, clips: Sequence[ClipFile], photos: Sequence[ClipFile], *, size: int, seed: int, length: int
    ) -> None:
        self.clips, self.photos = clips, photos
        self.size, self.seed, self.length = size, seed, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number))
        layers, points = self._dressed(random)
        picture = spoiled(random, layers.picture())
        guess = _guess(random, picture, points)
        return {
            "picture": network_input(picture, points, guess),
            "alpha": torch.from_numpy(layers.alpha)[None].float(),
            "colours": _unit(layers.colours),
            "background": _unit(layers.background),
        }

    def _dressed(self, random: Generator) -> tuple[Layers, np.ndarray]:
        """Somebody over some background, and their landmarks (478, 2)."""
        clip = self.clips[int(random.integers(len(self.clips)))].load(driver=False)
        frame = int(random.integers(len(clip["images"])))
        alpha = clip["foreground"][frame].astype(np.float32) / 255
        colours = unmixed(random_grading(random)(clip["images"][frame]), alpha)
        matrix = _placing(random, clip["landmarks"][frame][:, :2], self.size)
        colours = cv2.warpAffine(colours, matrix, (self.size, self.size), borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(alpha, matrix, (self.size, self.size))
        points = clip["landmarks"][frame][:, :2] @ matrix[:, :2].T + matrix[:, 2]
        layers = Layers(colours, alpha, np.zeros_like(colours))
        layers = self._clothed(
            random, layers, Sitter.of(alpha.shape, points), floor=_floor(matrix, clip["images"].shape[1])
        )
        return Layers(layers.colours, layers.alpha, self._background(random, layers)), points

    def _clothed(self, random: Generator, layers: Layers, sitter: Sitter, *, floor: float) -> Layers:
        tint = hair_colour(layers, sitter)
        if random.random() < 0.3:
            layers = layers.over(self._hairs(random, tint), big_hair(random, sitter))
        if floor < self.size or random.random() < 0.5:
            layers = layers.over(self._fabric(random), coat(random, sitter))
        if random.random() < 0.12:
            layers = layers.over(self._fabric(random), hood(random, sitter))
        elif random.random() < 0.25:
            fabric = self._fabric(random)
            layers = layers.over(fabric, hat(random, sitter))
        if random.random() < 0.4:
            layers = layers.over(self._hairs(random, tint), strands(random, sitter, layers.alpha))
        if random.random() < 0.15:
            inside = layers.colours[sitter.face(0.8) > 0.5]
            skin = np.median(inside, axis=0) if len(inside) else tint
            layers = layers.over(self._shaded(random, skin), hand(random, sitter))
        return layers

    def _hairs(self, random: Generator, tint: np.ndarray) -> np.ndarray:
        """Hair as a texture: fine light and dark."""
        grain = noise(random, (self.size, self.size), random.uniform(1.0, 3.0))
        shade = noise(random, (self.size, self.size), self.size / 5)
        return (tint + 6) * np.exp(random.uniform(0.05, 0.2) * grain + 0.2 * shade)[..., None].clip(0.3, 3.0)

    def _fabric(self, random: Generator) -> np.ndarray:
        """Clothes: plain, patterned, or a piece of a photograph, with folds."""
        kind = random.random()
        if kind < 0.45:
            return self._shaded(random, 255 * random.beta(0.8, 1.2) * random.dirichlet((3, 3, 3)).clip(0, 1) * 2.4)
        if kind < 0.8 or not self.photos:
            pattern = _display(random_backdrop(random, (self.size, self.size)))
        else:
            pattern = self._photograph(random, person=True)
        return self._shaded(random, pattern)

    def _shaded(self, random: Generator, colour: np.ndarray) -> np.ndarray:
        folds = noise(random, (self.size, self.size), self.size / random.uniform(4, 16))
        grain = noise(random, (self.size, self.size), 1.5)
        light = 1 + random.uniform(0.03, 0.2) * folds + 0.03 * grain
        return np.asarray((colour * light[..., None]).clip(0, 255), np.float32)

    def _background(self, random: Generator, layers: Layers) -> np.ndarray:
        size = (self.size, self.size)
        kind = random.random()
        if kind < 0.4 and self.photos:
            made = self._photograph(random, person=False)
        elif kind < 0.8:
            made = _display(random_backdrop(random, size))
        else:
            tone = 255 * random.beta(0.7, 0.7) * (0.6 + 0.4 * random.dirichlet((1, 1, 1)) * 3)
            made = (tone + np.zeros((*size, 3))) * (1 + 0.12 * noise(random, size, self.size / 2))[..., None]
        if random.random() < 0.3:  # hardly to be told from hair or clothes
            solid = layers.colours[layers.alpha > 0.9]
            if len(solid):
                made = made + random.uniform(0.4, 0.95) * (solid[random.integers(len(solid))] - made.mean(axis=(0, 1)))
        return np.asarray(made.clip(0, 255), np.float32)

    def _photograph(self, random: Generator, *, person: bool) -> np.ndarray:
        """A piece of a photograph that shows nothing of its person, or nothing but them."""
        for _ in range(6):
            clip = self.photos[int(random.integers(len(self.photos)))].load(driver=False)
            image, mask = clip["images"][0], clip["foreground"][0] > 127
            wanted = mask if person else ~cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
            side = int(random.integers(_LEAST_PATCH, 110))
            top, left = (int(random.integers(0, max(length - side, 1))) for length in image.shape[:2])
            if person:
                top = int(random.integers(image.shape[0] * 7 // 10, image.shape[0] - _LEAST_PATCH))
            part = wanted[top : top + side, left : left + side]
            if part.mean() > 0.97:
                piece = image[top : top + side, left : left + side]
                piece = piece[:, ::-1] if random.random() < 0.5 else piece
                large = cv2.resize(piece, (self.size, self.size), interpolation=cv2.INTER_CUBIC).astype(np.float32)
                return large
        return _display(random_backdrop(random, (self.size, self.size)))


def unmixed(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32, the person's own colours: where the background shines through, those of their neighbours."""
    clear = (alpha > _CLEAR).astype(np.float32)
    made = picture.astype(np.float32)
    filled, known = made * clear[..., None], clear
    for deviation in (1.0, 3.0, 9.0):
        weight = cv2.GaussianBlur(clear, (0, 0), deviation)
        near = cv2.GaussianBlur(made * clear[..., None], (0, 0), deviation) / np.maximum(weight, 1e-4)[..., None]
        new = (known == 0) & (weight > 0.02)
        filled[new], known = near[new], np.maximum(known, new)
    return filled


def hair_colour(layers: Layers, sitter: Sitter) -> np.ndarray:
    """(3,) of 255: the middle colour of what is above the face, or near black where nothing is."""
    above = sitter.filled(np.array([(-0.4, -0.75), (0.4, -0.75), (0.4, -0.53), (-0.4, -0.53)]))
    there = layers.colours[(above > 0.5) & (layers.alpha > 0.9)]
    return np.median(there, axis=0) if len(there) > 8 else np.full(3, 25.0)


def spoiled(random: Generator, picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as a camera and a file leave a picture (H, W, 3) float of 255: soft, noisy, compressed."""
    if random.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.1))
    if random.random() < 0.3:  # light that spreads over edges
        picture = picture + random.uniform(0, 0.3) * (cv2.GaussianBlur(picture, (0, 0), 6.0) - picture)
    picture = 255 * (picture / 255).clip(0, 1) ** np.exp(random.normal(0, 0.25))
    picture = picture + random.normal(0, random.uniform(0, 5), picture.shape)
    made = random_grading(random)(picture.round().clip(0, 255).astype(np.uint8))
    if random.random() < 0.6:
        _, packed = cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(45, 96))])
        made = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return made


def _guess(random: Generator, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The first guess, sometimes worse than GrabCut makes it."""
    kind = random.random()
    if kind < 0.12:  # before any colour was looked at
        prior = np.isin(person_prior(points, picture.shape[:2]), (cv2.GC_FGD, cv2.GC_PR_FGD))
        return cv2.GaussianBlur(prior.astype(np.float32), (0, 0), 1.0)
    guess = first_guess(picture, points, scale=GUESS_SCALE)
    if kind < 0.3:
        side = int(random.integers(2, 8))
        change = cv2.dilate if random.random() < 0.5 else cv2.erode
        guess = change(guess, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    if kind > 0.85:  # a part of it wrong
        spot, place = np.zeros_like(guess), random.uniform(0, len(guess), 2)
        cv2.circle(spot, (int(place[0]), int(place[1])), int(random.uniform(0.04, 0.15) * len(guess)), 1.0, -1)
        guess = guess + spot * (float(random.integers(2)) - guess)
    return guess


def _placing(random: Generator, points: np.ndarray, size: int) -> np.ndarray:
    """(2, 3): a face of 0.18 to 0.55 of the canvas, anywhere a portrait has it, turned a little, perhaps mirrored."""
    low, high = points.min(axis=0), points.max(axis=0)
    share = float(np.exp(random.uniform(np.log(0.2), np.log(0.55))))
    scale = share * size / float(high[1] - low[1])
    angle = random.normal(0, 0.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    turn[:, 0] *= random.choice((-1, 1))
    place = np.array([random.normal(0.5, 0.09), random.uniform(0.32, 0.58)]) * size
    place[1] = max(place[1], 0.72 * share * size)
    return np.column_stack([turn, place - turn @ ((low + high) / 2)])


def _floor(matrix: np.ndarray, was: int) -> float:
    """The highest row of the canvas at which the lower edge of the old picture lies."""
    ends = np.array([(0, was), (was, was)]) @ matrix[:, :2].T + matrix[:, 2]
    return float(ends[:, 1].min())


def _display(linear: np.ndarray) -> np.ndarray:
    return np.asarray(255 * linear.clip(0, 1) ** (1 / 2.2), np.float32)


def _unit(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.moveaxis(picture / 127.5 - 1, -1, 0).astype(np.float32))
