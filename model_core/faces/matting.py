"""A small network that finds the person's soft outline in a portrait, from a first guess and where the face is.

The guess (GrabCut's) says roughly who is the person; the network learned on rendered heads over any background where
hair, hats and clothes end. Its answer begins as the guess, so what it never saw stays as it was.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..backbones.u_network import UNetwork
from ..errors import CheckpointError
from ..weights.io import read_safetensors

WEIGHTS = Path(__file__).with_name("matting.safetensors")
"""Where a trained network is looked for (``training/matting`` makes one); without it the first guess is the answer."""
SIDE = 256
"""Pixels of the long side of what the network sees."""

_INSIDE = 7
_WIDTHS = (8, 24, 48, 64, 96, 96)
_TRUST = 6.0
"""How far apart the guess's 0 and 1 stand as logits before the network has its say."""
_REACH = 4.0  # face sizes from the face's middle at which coordinates end
_RADIUS, _EPSILON = 2, 1e-4


class MattingNetwork(UNetwork):
    """(N, 7, h, w), as ``network_input`` makes it, to alpha as logits; sides of any length."""

    def __init__(self) -> None:
        super().__init__(_INSIDE, 1, _WIDTHS)
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 1, h, w) logits."""
        guess = pictures[:, 3:4]
        return self.run(pictures) + _TRUST * (guess - 0.5)


def network_input(pixels: np.ndarray, points: np.ndarray, guess: np.ndarray) -> Tensor:
    """What the network sees: colours, the guess, the face's outline filled, and places relative to the face.

    Args:
        pixels: (h, w, 3) uint8.
        points: (478, 2) landmarks in their pixels.
        guess: (h, w) float in [0, 1].
    Returns:
        (7, h, w) float32.
    """
    height, width = pixels.shape[:2]
    low, high = points.min(axis=0), points.max(axis=0)
    size = max(float((high - low).max()), 1.0)
    hull = cv2.convexHull(points.clip(-(2**14), 2**14).astype(np.float32))
    face = np.zeros((height, width), np.float32)
    cv2.fillPoly(face, [np.rint(hull).astype(np.int32)], (1.0,))
    middle = (low + high) / 2
    x, y = ((np.arange(length) + 0.5 - centre) / size for length, centre in zip((width, height), middle, strict=True))
    across = np.broadcast_to(x.clip(-_REACH, _REACH)[None], (height, width))
    down = np.broadcast_to(y.clip(-_REACH, _REACH)[:, None], (height, width))
    colours = np.moveaxis(pixels.astype(np.float32) / 127.5 - 1, -1, 0)
    return torch.from_numpy(np.stack([*colours, guess, face, across, down]).astype(np.float32))


@torch.no_grad()
def refine(network: MattingNetwork, pixels: np.ndarray, points: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """The person's alpha by a network, (h, w) float32 in [0, 1]; for the pictures see ``network_input``."""
    seen = network_input(pixels, points, guess)[None]
    return np.asarray(network(seen).sigmoid()[0, 0].numpy())


@cache
def bundled_network() -> MattingNetwork | None:
    """The network with the weights in ``WEIGHTS``, for float32 on the processor, read once; None without the file.

    Raises:
        CheckpointError: the file is damaged or another network's.
    """
    return load_network(WEIGHTS) if WEIGHTS.is_file() else None


def load_network(path: Path) -> MattingNetwork:
    """A network from a file that ``training/matting`` exported; errors as ``bundled_network``."""
    network = MattingNetwork()
    tensors, _ = read_safetensors(path, dtype=torch.float32)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: holds no matting network of this version; install this project again"
        ) from error
    return network.eval().requires_grad_(False)


def enlarged(alpha: np.ndarray, small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """Alpha at a larger picture's size, its edges on the picture's (fast guided filter, He and Sun 2015).

    Args:
        alpha: (h, w) float32 in [0, 1].
        small: (h, w, 3) uint8, what it belongs to.
        large: (H, W, 3) uint8, the same picture.
    Returns:
        (H, W) float32 in [0, 1].
    """
    size = (large.shape[1], large.shape[0])
    plain = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)
    if alpha.shape == large.shape[:2]:
        return plain
    slope, offset = _linear_in_colours(alpha, small.astype(np.float32) / 255)
    slope, offset = (cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in (slope, offset))
    guided = ((slope * (large.astype(np.float32) / 255)).sum(axis=-1) + offset).clip(0, 1)
    # where the alpha is flat there is no edge to follow
    soft = (4 * plain * (1 - plain)).clip(0, 1)
    return np.asarray(plain + (guided - plain) * np.sqrt(soft), np.float32)


def _linear_in_colours(alpha: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Around every pixel: alpha as (h, w, 3) slopes times the colours plus an (h, w) offset."""
    mean, mean_alpha = _box(colours), _box(alpha)
    products = _box((colours[..., :, None] * colours[..., None, :]).reshape(*alpha.shape, 9))
    spread = products.reshape(*alpha.shape, 3, 3) - mean[..., :, None] * mean[..., None, :]
    shared = _box(colours * alpha[..., None]) - mean * mean_alpha[..., None]
    slope = np.linalg.solve(spread + _EPSILON * np.eye(3), shared[..., None])[..., 0]
    offset = mean_alpha - (slope * mean).sum(axis=-1)
    return _box(slope.astype(np.float32)), _box(offset.astype(np.float32))


def _box(values: np.ndarray) -> np.ndarray:
    side = 2 * _RADIUS + 1
    channels = values.reshape(*values.shape[:2], -1)
    parts = [cv2.blur(np.ascontiguousarray(channels[..., c]), (side, side)) for c in range(channels.shape[-1])]
    return np.stack(parts, axis=-1).reshape(values.shape)
