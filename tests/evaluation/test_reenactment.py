from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.evaluation import reenactment
from model_core.evaluation.extractors import FoundLandmarks
from model_core.training.avatars import Motion, landmarks, sample_identity

FRAMES = 5
ACTING = [Motion(yaw=0.08 * t, roll=0.05 * t, jaw=0.2 * t, blink_left=0.1 * t) for t in range(FRAMES)]
STILL = [Motion()] * FRAMES


def acted(identity: int, moves: list[Motion], *, size: int = 64, lost: tuple[int, ...] = ()) -> FoundLandmarks:
    who = sample_identity(np.random.default_rng(identity))
    points = np.stack([landmarks(who, move, size=size) for move in moves]).astype(np.float32)
    found = np.array([frame not in lost for frame in range(len(moves))])
    points[~found] = np.nan
    return FoundLandmarks(points, found)


class Script:
    """An extractor that tells what it is told to, clip by clip."""

    def __init__(self, *clips: FoundLandmarks) -> None:
        self.clips = list(clips)

    def __call__(self, frames: np.ndarray) -> FoundLandmarks:
        clip = self.clips.pop(0)
        assert len(frames) == len(clip.found)
        return clip


def pictures(frames: int = FRAMES, size: int = 32) -> torch.Tensor:
    return torch.rand(frames, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def compared(made: FoundLandmarks, driver: FoundLandmarks, portrait: FoundLandmarks, **options):
    clips = [made, driver, portrait, *([made] if "target" in options else [])]
    return reenactment.compare(pictures(), pictures(size=48), pictures(1, 24), Script(*clips), **options)


def mean(comparison: reenactment.Comparison, name: str) -> float:
    return float(np.nanmean(comparison.curves[name]))


def test_another_face_that_does_the_same_is_right_and_one_that_does_nothing_is_not() -> None:
    driver, portrait = acted(1, ACTING, size=200), acted(2, STILL[:1])
    same = compared(acted(2, ACTING), driver, portrait)
    nothing = compared(acted(2, STILL), driver, portrait)
    for name in ("expression_error", "pose_error"):
        assert mean(same, name) < 0.25 * mean(nothing, name), name
    assert same.curves["pose_error"].max() < 3 < 10 < nothing.curves["pose_error"].max()
    assert [same.curves[name][0] for name in ("expression_error", "pose_error")] == pytest.approx([0, 0], abs=1e-3)


def test_the_face_s_shape_tells_the_portrait_from_the_driver() -> None:
    portrait = acted(2, STILL[:1])
    own = compared(acted(2, ACTING, size=300), acted(1, ACTING), portrait)
    others = compared(acted(1, ACTING, size=300), acted(1, ACTING), portrait)
    assert mean(own, "shape_error") < 0.5 * mean(others, "shape_error")


def test_trembling_landmarks_show() -> None:
    made = acted(2, ACTING)
    noise = np.random.default_rng(0).normal(0, 0.5, made.points.shape).astype(np.float32)
    calm, shaken = (
        compared(clip, acted(1, ACTING), acted(2, STILL[:1]))
        for clip in (made, FoundLandmarks(made.points + noise, made.found))
    )
    assert mean(shaken, "jitter") > 3 * mean(calm, "jitter")
    assert np.isnan(calm.curves["jitter"][[0, -1]]).all()


def test_frames_without_a_face_are_named_and_the_rest_is_measured() -> None:
    comparison = compared(
        acted(2, ACTING, lost=(0, 3)), acted(1, ACTING, lost=(4,)), acted(2, STILL[:1]), target=pictures()
    )
    assert comparison.missing == {"generated": [0, 3], "driving": [4], "target": [0, 3]}
    assert np.isfinite(comparison.curves["expression_error"]).tolist() == [False, True, True, False, False]
    text = reenactment.describe(comparison)
    assert "generated: no face in 2 of 5: frame(s) 0, 3\n" in text
    assert "driving: no face in 1 of 5: frame(s) 4\n" in text
    assert reenactment.plot(comparison).shape[2] == 3


def test_no_face_anywhere_is_no_error() -> None:
    lost = tuple(range(FRAMES))
    comparison = compared(acted(2, ACTING, lost=lost), acted(1, ACTING), acted(2, STILL[:1], lost=(0,)))
    assert "expression_error" not in comparison.curves and "shape_error" not in comparison.curves
    text = reenactment.describe(comparison)
    assert "reference: no face in 1 of 1" in text
    assert "no frame shows a face in both" in text
    assert reenactment.plot(comparison).size


@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames_are_enough(frames: int) -> None:
    made, driver, portrait = acted(2, ACTING[:frames]), acted(1, ACTING[:frames]), acted(2, STILL[:1])
    target = pictures(frames)
    script = Script(made, driver, portrait, made)
    comparison = reenactment.compare(target, pictures(frames, 48), pictures(1), script, target=target)
    assert {len(values) for values in comparison.curves.values()} == {frames}
    assert "| PSNR" in reenactment.describe(comparison)
    assert reenactment.plot(comparison).size


def test_ground_truth_adds_its_metrics_in_the_table_s_order() -> None:
    made = acted(2, ACTING)
    without = compared(made, acted(1, ACTING), acted(2, STILL[:1]))
    comparison = compared(made, acted(1, ACTING), acted(2, STILL[:1]), target=pictures())
    assert set(comparison.curves) - set(without.curves) == {
        "psnr", "ssim", "landmark_error", "temporal_error", "flow_error",
    }  # fmt: skip
    assert mean(comparison, "psnr") == 100 and mean(comparison, "landmark_error") == 0
    titles = [line.split("|")[1].strip() for line in reenactment.describe(comparison).splitlines() if "|" in line][2:]
    assert titles == [reenactment.METRICS[name].title for name in comparison.curves]


def test_a_missing_package_costs_one_metric_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics.functional.image", None)
    comparison = compared(acted(2, ACTING), acted(1, ACTING), acted(2, STILL[:1]), target=pictures())
    assert "ssim" not in comparison.curves and "psnr" in comparison.curves
    assert "SSIM: not measured; SSIM needs torchmetrics: pip install torchmetrics" in reenactment.describe(comparison)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"driving": pictures(3)}, "driving: 3 frames, generated has 5"),
        ({"reference": pictures(2)}, "reference: one image is needed, got 2"),
        ({"target": pictures(4)}, "target: 4 frames of 32x32, generated is 5 of 32x32"),
        ({"target": pictures(5, 48)}, "target: 5 frames of 48x48"),
        ({"generated": torch.full((5, 3, 32, 32), torch.nan)}, "generated: NaN"),
        ({"driving": torch.zeros(0, 3, 8, 8)}, "driving: is empty"),
    ],
)
def test_what_does_not_belong_together_is_named(change: dict, message: str) -> None:
    clips = {"generated": pictures(), "driving": pictures(), "reference": pictures(1), "target": None, **change}
    target = clips.pop("target")
    with pytest.raises(InputError, match=message):
        reenactment.compare(*clips.values(), Script(), target=target)


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.1, 10), angles=st.tuples(*[st.floats(-3, 3)] * 3), seed=st.integers(0, 99))
def test_the_similarity_is_found(scale: float, angles: tuple[float, float, float], seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(8, 3))
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        rotation = rotation @ turn
    shift = np.array([3.0, -1.0, 0.5])
    found = reenactment.similarity(points, scale * points @ rotation.T + shift)
    assert found[0] == pytest.approx(scale)
    np.testing.assert_allclose(found[1], rotation, atol=1e-8)
    np.testing.assert_allclose(found[2], shift, atol=1e-8)
