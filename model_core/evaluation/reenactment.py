"""How well a portrait follows a driving clip, judged from the frames alone.

Between two people there is no ground truth, so what is compared is change: how each face differs from its own rest
frame. Faces of different shape, place and size can then do the same, and the size of the frames does not matter.
With ground truth, pictures and landmarks are compared directly too.

Identity is judged by the shape of the face only. A recognition network would see more; those in use may not be
used commercially, so none comes with this project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..errors import DependencyError, InputError
from ..faces.tracking import frame_ranges
from ..images import check_image, check_reference, to_uint8
from ..motion.components import RINGS
from ..plots import curves_picture
from ..types import Component
from . import metrics
from .extractors import FoundLandmarks, LandmarkExtractor
from .report import markdown_table

RIGID = np.array((33, 133, 362, 263, 168, 6, 197, 195, 2, 98, 327, 10, 151, 9, 127, 356, 234, 454))
"""Landmarks that expressions hardly move: corners of the eyes, ridge and base of the nose, forehead, temples."""

_EXPRESSIVE = np.unique(np.concatenate([RINGS[c] for c in RINGS if c not in (Component.FACE, Component.NOSE)]))
_MIN_FACE = 16  # pixels: the analysis finds nothing in less


class _Metric(NamedTuple):
    title: str
    unit: str
    more_is_better: bool = False


METRICS: Mapping[str, _Metric] = MappingProxyType(
    {
        "expression_error": _Metric("expression error", "eye distances"),
        "pose_error": _Metric("pose error", "degrees"),
        "shape_error": _Metric("face shape error", "eye distances"),
        "jitter": _Metric("jitter", "eye distances"),
        "jitter_of_driving": _Metric("jitter of driving", "eye distances"),
        "colour_drift": _Metric("colour drift", "of 3.46"),
        "psnr": _Metric("PSNR", "dB", True),
        "ssim": _Metric("SSIM", "of 1", True),
        "landmark_error": _Metric("landmark error", "eye distances"),
        "temporal_error": _Metric("temporal error", "of 4"),
        "flow_error": _Metric("flow error (tOF)", "pixels"),
    }
)
"""What is measured, by its name in ``Comparison.curves``, in the order of the table."""


@dataclass(frozen=True)
class Comparison:
    """One comparison.

    Attributes:
        frames: of the generated clip.
        curves: by name of ``METRICS``: (F,) float32, NaN where it could not be measured in that frame.
        missing: by input: the frames without a face; inputs that show it everywhere are left out.
        notes: what was not measured, and why.
    """

    frames: int
    curves: Mapping[str, np.ndarray]
    missing: Mapping[str, list[int]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    metric: str
    mean: float
    worst: float
    frame: str
    unit: str
    best: str


def compare(
    generated: Tensor, driving: Tensor, reference: Tensor, extract: LandmarkExtractor, *, target: Tensor | None = None
) -> Comparison:
    """Measure a generated clip.

    Args:
        generated: (F, 3, H, W) in [-1, 1].
        driving: (F, 3, h, w), the frames that drove it; any size.
        reference: (1, 3, h, w), the portrait; any size.
        extract: finds landmarks.
        target: (F, 3, H, W), the ground truth where there is one.
    Raises:
        InputError: frames are missing, or counts or sizes do not belong together; names the input. A frame
            without a face is no error.
    """
    _check(generated, driving, reference, target)
    made, driver, portrait = (extract(to_uint8(clip)) for clip in (generated, driving, reference))
    found = {"generated": made.found, "driving": driver.found, "reference": portrait.found}
    curves = {"colour_drift": metrics.colour_drift(generated, generated[:1]).numpy()}
    curves["jitter"], curves["jitter_of_driving"] = _jitter(made), _jitter(driver)
    notes = []
    both = np.flatnonzero(made.found & driver.found)
    if len(both):
        curves["expression_error"], curves["pose_error"] = _motion_errors(made.points, driver.points, rest=both[0])
    else:
        notes.append("expression and pose: no frame shows a face in both generated and driving")
    if portrait.found[0]:
        curves["shape_error"] = _shape_error(made.points, portrait.points[0])
    else:
        notes.append("face shape: the reference shows no face")
    if target is not None:
        truth = extract(to_uint8(target))
        found["target"] = truth.found
        curves |= _against_truth(generated, target, made, truth, notes)
    missing = {name: np.flatnonzero(~seen).tolist() for name, seen in found.items() if not seen.all()}
    ordered = {name: np.asarray(curves[name], np.float32) for name in METRICS if name in curves}
    return Comparison(len(generated), ordered, missing, tuple(notes))


def describe(comparison: Comparison) -> str:
    """The means and the worst frames as an aligned table, then the frames without a face."""
    rows = []
    for name, values in comparison.curves.items():
        title, unit, more_is_better = METRICS[name]
        measured = np.flatnonzero(np.isfinite(values))
        mean = worst = float("nan")
        frame = "-"
        if len(measured):
            at = measured[(values[measured] if more_is_better else -values[measured]).argmin()]
            mean, worst, frame = float(values[measured].mean(dtype=np.float64)), float(values[at]), str(at)
        rows.append(_Row(title, mean, worst, frame, unit, "high" if more_is_better else "0"))
    lines = [f"{comparison.frames} frame(s), counted from 0", "", markdown_table(rows).rstrip(), ""]
    for name, frames in comparison.missing.items():
        total = 1 if name == "reference" else comparison.frames
        lines.append(f"{name}: no face in {len(frames)} of {total}: frame(s) {frame_ranges(frames)}")
    if not comparison.missing:
        lines.append("a face is found in every frame")
    return "\n".join([*lines, *comparison.notes])


def plot(comparison: Comparison) -> np.ndarray:
    """The curves over the frames, those without a generated face marked, as (H, W, 3) uint8 RGB."""
    panels: dict[str, dict[str, np.ndarray]] = {}
    for name, values in comparison.curves.items():
        if name != "jitter_of_driving":
            panels[METRICS[name].title] = {"generated": values}
    panels[METRICS["jitter"].title]["driving"] = comparison.curves["jitter_of_driving"]
    return curves_picture(panels, missing=comparison.missing.get("generated", []))


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (D, D) and shift (D,) that bring points (N, D) closest to others, in the least squares sense.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    from_source, from_target = source - source_mean, target - target_mean
    left, strength, right = np.linalg.svd(from_target.T @ from_source)
    mirror = np.ones(source.shape[1])
    mirror[-1] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = left @ np.diag(mirror) @ right
    scale = float((strength * mirror).sum() / max((from_source**2).sum(), 1e-12))
    return scale, rotation, target_mean - scale * rotation @ source_mean


def _check(generated: Tensor, driving: Tensor, reference: Tensor, target: Tensor | None) -> None:
    check_image(generated, name="generated")
    check_image(driving, name="driving")
    check_reference(reference, name="reference", minimum=_MIN_FACE)
    if len(driving) != len(generated):
        raise InputError(
            f"driving: {len(driving)} frames, generated has {len(generated)}; connect the very frames that drove it"
        )
    if target is not None:
        check_image(target, name="target")
        if target.shape != generated.shape:
            (frames, _, height, width), (wanted, _, high, wide) = target.shape, generated.shape
            raise InputError(
                f"target: {frames} frames of {width}x{height}, generated is {wanted} of {wide}x{high}; scale the "
                "target to the generated frames and give as many, or disconnect it"
            )


def _motion_errors(made: np.ndarray, driver: np.ndarray, *, rest: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of expression (eye distances) and head pose (degrees), each face against its own rest."""
    expressions = np.full(len(made), np.nan)
    poses = np.full(len(made), np.nan)
    for frame in range(len(made)):
        if np.isfinite(made[frame]).all() and np.isfinite(driver[frame]).all():
            (change, turn), (wanted, wanted_turn) = (
                _from_rest(points[frame].astype(np.float64), points[rest].astype(np.float64))
                for points in (made, driver)
            )
            expressions[frame] = np.linalg.norm(change - wanted, axis=1).mean()
            cosine = (np.trace(turn.T @ wanted_turn) - 1.0) / 2.0
            poses[frame] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return expressions, poses


def _from_rest(points: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the expression moved, (N, 2) in eye distances with the head brought back to rest; the head's turn."""
    scale, rotation, shift = similarity(points[RIGID], rest[RIGID])
    back = scale * points @ rotation.T + shift
    return (back - rest)[_EXPRESSIVE, :2] / _eye_distance(rest), rotation


def _shape_error(made: np.ndarray, portrait: np.ndarray) -> np.ndarray:
    """How far the rigid part of each face is from the portrait's, pose, place and size taken out, (F,)."""
    wanted = portrait[RIGID].astype(np.float64)
    errors = np.full(len(made), np.nan)
    for frame, points in enumerate(made[:, RIGID].astype(np.float64)):
        if np.isfinite(points).all():
            scale, rotation, shift = similarity(points, wanted)
            errors[frame] = np.linalg.norm(scale * points @ rotation.T + shift - wanted, axis=1).mean()
    return errors / _eye_distance(portrait)


def _jitter(face: FoundLandmarks) -> np.ndarray:
    """Mean size of the second difference of the landmarks over time, (F,); NaN at both ends."""
    jitter = np.full(len(face.points), np.nan)
    if len(jitter) > 2 and face.found.any():
        change = np.diff(face.points[..., :2], n=2, axis=0)
        unit = np.nanmedian([_eye_distance(points) for points in face.points[face.found]])
        jitter[1:-1] = np.linalg.norm(change, axis=-1).mean(axis=-1) / unit
    return jitter


def _eye_distance(points: np.ndarray) -> float:
    left, right = metrics.OUTER_EYE_CORNERS
    return max(float(np.linalg.norm(points[left] - points[right])), 1e-6)


def _against_truth(
    generated: Tensor, target: Tensor, made: FoundLandmarks, truth: FoundLandmarks, notes: list[str]
) -> dict[str, np.ndarray]:
    def from_second(values: Tensor) -> np.ndarray:
        return np.concatenate([[np.nan], values.numpy()])

    curves = {
        "psnr": metrics.psnr(generated, target).numpy(),
        "landmark_error": metrics.landmark_error(made.points, truth.points, found=made.found & truth.found).numpy(),
        "temporal_error": from_second(metrics.temporal_error(generated, target)),
        "flow_error": from_second(metrics.flow_error(generated, target)),
    }
    try:
        curves["ssim"] = metrics.ssim(generated, target).numpy()
    except DependencyError as error:  # an optional package: everything else is measured without it
        notes.append(f"SSIM: not measured; {error}")
    return curves
