"""The start of stage 0: the reference warp's coarse motion alone, on moments, hundreds of thousands of faces a minute.

What a pair of faces says about head and body is a few dozen numbers, the components' moments. They are computed
once for every frame and driver; where points of head and body lie in two frames of a clip is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn
from tqdm import tqdm

from ..backbones.dit.face_reader import sure_shares
from ..backbones.warp.moments import COMPONENTS, component_moments, share_moments
from ..backbones.warp.reference_warp import CoarseMotion
from ..errors import InputError
from ..motion.alignment import face_similarity
from ..motion.random_scaling import COMPONENT_RANGE, FACE_RANGE
from ..types import Component, MotionKind
from .clips import ClipFile
from .correspondence import BODY, HEAD
from .drawing import parsing_map, shown_areas

_POINTS = 32  # of each layer, per frame
_BATCH = 512
_GROUPS = (
    (Component.LEFT_BROW,),
    (Component.RIGHT_BROW,),
    (Component.LEFT_EYE, Component.LEFT_IRIS),
    (Component.RIGHT_EYE, Component.RIGHT_IRIS),
    (Component.NOSE,),
    (Component.UPPER_LIP, Component.LOWER_LIP, Component.INNER_MOUTH),
)
"""What random scaling scales as one (motion/random_scaling.py); the first of a group gives the centre."""


@dataclass(frozen=True)
class CoarseData:
    """Moments and points of N clips of T frames, seen in K drivers, the portrait itself the first of them.

    Attributes:
        moments: (N, K, T, 10, 6).
        similarities: (N, K, T, 3): the scale, x and y that bring driver k at rest in frame t to the portrait.
        points: (N, T, 2, P, 4), of head and body in their own spaces, with 1.
        projections: (N, T, 2, 2, 4).
    """

    moments: Tensor
    similarities: Tensor
    points: Tensor
    projections: Tensor


def coarse_data(
    clips: Sequence[ClipFile], *, seed: int = 0, motion_kind: MotionKind = "parsing_map", progress: bool = True
) -> CoarseData:
    """Read the clips that tell their true flow and have drivers; the others are left out.

    Args:
        motion_kind: whose moments: as read off parsing maps, or as a face reader should read them off masked frames.
    Raises:
        InputError: there is none.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for file in tqdm(clips, desc="moments", disable=not progress):
        clip = file.load()
        if {"surface", "driving_landmarks"} <= set(clip):
            rows.append(_read(clip, rng, _MOMENTS[motion_kind]))
    if not rows:
        raise InputError("data: no clip tells its true flow, as avatars do; set coarse_steps to 0")
    return CoarseData(*(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)))


def _map_moments(faces: list[np.ndarray], size: tuple[int, int]) -> Tensor:
    return component_moments(torch.stack([parsing_map(face, size) for face in faces]))


def _area_moments(faces: list[np.ndarray], size: tuple[int, int]) -> Tensor:
    return share_moments(sure_shares(torch.stack([shown_areas(face, size) for face in faces])))


_MOMENTS = {"parsing_map": _map_moments, "masked_frames": _area_moments}


def _read(
    clip: dict[str, np.ndarray], rng: Generator, moments_of: Callable[[list[np.ndarray], tuple[int, int]], Tensor]
) -> tuple[np.ndarray, ...]:
    size = clip["images"].shape[1:3]
    drivers = np.concatenate([clip["landmarks"][None], clip["driving_landmarks"]])
    moments = moments_of([face for driver in drivers for face in driver], size)
    moments = moments.unflatten(0, drivers.shape[:2]).numpy()
    own = clip["landmarks"]
    similarities = np.array([[_similarity(d, p, size) for d, p in zip(driver, own, strict=True)] for driver in drivers])
    frames = range(len(own))
    points = np.stack([[_draw(rng, clip["surface"][t], clip["layers"][t] == k) for k in (HEAD, BODY)] for t in frames])
    return moments, similarities.astype(np.float32), points, clip["projections"]


def _similarity(driver: np.ndarray, portrait: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float]:
    """Relative alignment's, in half frames: ``place * scale + shift``."""
    placed = face_similarity(driver, portrait, size=size)
    extent = np.array([size[1], size[0]]) / 2
    source, wanted = (place[:2] / extent - 1 for place in (placed.source, placed.target))
    shift = wanted - source * placed.scale
    return placed.scale, float(shift[0]), float(shift[1])


def _draw(rng: Generator, surface: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Random points of a layer, (P, 4); the same number whatever is shown, NaN where nothing is."""
    places = surface[shown].astype(np.float32)
    if len(places) == 0:
        return np.full((_POINTS, 4), np.nan, np.float32)
    chosen = places[rng.integers(len(places), size=_POINTS)]
    return np.concatenate([chosen, np.ones((_POINTS, 1), np.float32)], axis=1)


def move_moments(moments: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Moments (B, 10, 6) of the same map, scaled by (B, 1) about the frame's centre, then shifted by (B, 2)."""
    there = moments[..., :1]
    centre = (moments[..., 1:3] * scale[:, None] + shift[:, None]) * (there > 0)
    presence = (there * scale[:, None] ** 2).clamp(max=1)
    return torch.cat([presence, centre, moments[..., 3:] * scale[:, None] ** 2], dim=-1)


def scale_moments(moments: Tensor, factors: Tensor, face: Tensor) -> Tensor:
    """Random scaling of moments (B, 10, 6): (B, 6) factors of the groups, then (B, 1) of the whole face."""
    made = moments.clone()
    for group, factor in zip(_GROUPS, factors.unbind(1), strict=True):
        members = [COMPONENTS.index(component) for component in group]
        anchor = moments[:, members[:1]]
        own = moments[:, members]
        centre = torch.lerp(anchor[..., 1:3], own[..., 1:3], factor[:, None, None])
        centre = torch.where(own[..., :1] * anchor[..., :1] > 0, centre, own[..., 1:3])
        made[:, members, 1:3] = centre
        made[:, members, 3:] = own[..., 3:] * factor[:, None, None] ** 2
    anchors = made[:, [COMPONENTS.index(group[0]) for group in _GROUPS]]
    weight = (anchors[..., :1] > 0).to(made.dtype)
    middle = (anchors[..., 1:3] * weight).sum(1) / weight.sum(1).clamp(min=1)
    return move_moments(made, face, middle * (1 - face))


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(low, high, generator=generator)


def coarse_batch(
    data: CoarseData, generator: torch.Generator, *, relative: float, scaling: bool = True
) -> tuple[Tensor, ...]:
    """Random pairs of frames, with the driver's random scaling unless ``scaling`` is False.

    Returns:
        moments of reference and driver, (B, 10, 6) each; places in the target and in the reference, (B, 2, P, 2) each,
        of head and body; NaN where a layer is not seen.
    """
    clips, drivers, frames = data.moments.shape[:3]

    def draw(high: int) -> Tensor:
        return torch.randint(high, (_BATCH,), generator=generator)

    clip, driver, reference, target = draw(clips), draw(drivers), draw(frames), draw(frames)
    own, driving = data.moments[clip, 0, reference], data.moments[clip, driver, target]
    similarity = data.similarities[clip, driver, reference]
    aligned = (torch.rand(_BATCH, 1, generator=generator) < relative).float()
    identity = torch.tensor([1.0, 0.0, 0.0])
    chosen = torch.lerp(identity, similarity, aligned)
    driving = move_moments(driving, chosen[:, :1], chosen[:, 1:])
    if scaling:
        factors = _uniform((_BATCH, len(_GROUPS)), *COMPONENT_RANGE, generator)
        driving = scale_moments(driving, factors, _uniform((_BATCH, 1), *FACE_RANGE, generator))
    points = data.points[clip, target]
    shown = (torch.einsum("blij,blpj->blpi", data.projections[clip, t], points) for t in (target, reference))
    return own, driving, *shown


def fit_coarse(
    coarse: CoarseMotion,
    data: CoarseData,
    *,
    steps: int,
    seed: int,
    relative: float,
    scaling: bool = True,
    progress: bool = True,
) -> float:
    """Train the coarse motion; returns the mean error of its last tenth, in half frames.

    Args:
        relative: probability that the driver is brought to the portrait's place and size first.
        scaling: whether the driver is randomly scaled.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(coarse.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    errors = []
    for _ in tqdm(range(steps), desc="coarse motion", disable=not progress):
        own, driving, places, wanted = coarse_batch(data, generator, relative=relative, scaling=scaling)
        seen = places.isfinite().all(dim=-1)
        found = torch.stack(coarse(own, driving, places.nan_to_num().flatten(1, 2)), dim=1)
        # the head's motion at the head's points, the body's at the body's
        found = torch.stack([found[:, k].unflatten(1, (2, -1))[:, k] for k in range(2)], dim=1)
        error = (places.nan_to_num() + found - wanted.nan_to_num()).norm(dim=-1)
        loss = (error * seen).sum() / seen.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(coarse.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        errors.append(float(loss.detach()))
    last = errors[-max(1, steps // 10) :]
    return sum(last) / len(last)
