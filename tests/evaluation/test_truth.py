"""A result against its truth: nothing is wrong with the truth itself, and a fault shows where it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.evaluation import metrics
from model_core.evaluation.cases import Case
from model_core.evaluation.extractors import FoundLandmarks
from model_core.evaluation.instruments import Instruments, find_instruments
from model_core.evaluation.regions import cut_out, eye_opening, face_regions
from model_core.evaluation.truth import TruthMeter
from model_core.types import FaceTrack

SIZE = 96


def brightness_face(frames: np.ndarray) -> FoundLandmarks:
    points = np.random.default_rng(0).uniform(4, 28, (1, 478, 3)) + frames.mean(axis=(1, 2, 3))[:, None, None]
    return FoundLandmarks(points.astype(np.float32), np.ones(len(frames), bool))


def l1_distance(generated: Tensor, target: Tensor) -> Tensor:
    return (generated - target).abs().flatten(1).mean(dim=1)


ALL = Instruments(landmarks=brightness_face, perceptual=l1_distance)


@pytest.fixture
def case(make_track: Callable[..., FaceTrack]) -> Case:
    """An avatar's face that speaks and blinks, in frames of noise."""
    track = make_track(6, size=SIZE)
    frames = torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) - 0.5
    return Case(
        name="avatar",
        reference=frames[:1],
        foreground=torch.ones(1, 1, SIZE, SIZE),
        own=track.take([0]),
        driving=track,
        frames=frames,
        target=frames[1:],
        landmarks=track.landmarks[1:],
    )


def regions_of(case: Case) -> dict[str, Tensor]:
    return face_regions(case.landmarks, case.own.landmarks[0], (SIZE, SIZE))


def test_the_truth_has_nothing_wrong(case: Case) -> None:
    values = TruthMeter(case, ALL)(case.target, seams=[3])
    assert {name for name, value in values.items() if name.endswith("psnr") and value != metrics.MAX_PSNR} == set()
    assert all(values[f"{part}ssim"] == pytest.approx(1, abs=1e-5) for part in ("", "mouth_", "eyes_"))
    nothing = {"perceptual", "mouth_perceptual", "eyes_perceptual", "landmark_error", "temporal_error"}
    assert {values[name] for name in nothing} == {0.0} and values["found"] == 1
    assert values["seam_error"] == pytest.approx(metrics.warping_error(case.target)[2].item())


@pytest.mark.parametrize(("part", "other"), [("mouth", "eyes"), ("eyes", "mouth")])
def test_a_fault_shows_in_its_own_column_only(case: Case, part: str, other: str) -> None:
    where = regions_of(case)[part]
    made = torch.where(where[:, None], case.target * 0.5, case.target)
    values = TruthMeter(case, ALL)(made)
    assert values[f"{other}_psnr"] == metrics.MAX_PSNR and values[f"{part}_psnr"] < 25
    assert values[f"{part}_psnr"] < values["psnr"] < metrics.MAX_PSNR
    assert values[f"{part}_ssim"] < 0.95 < values["ssim"] < 1
    assert values[f"{part}_perceptual"] > values["perceptual"] > 0


def test_regions_come_and_go_with_what_the_face_does(case: Case) -> None:
    regions = regions_of(case)
    jaw = np.linalg.norm(case.landmarks[:, 13, :2] - case.landmarks[:, 14, :2], axis=1)
    shown = regions["inner_mouth"].flatten(1).any(dim=1).numpy()
    assert shown[jaw.argmax()] and not shown[jaw.argmin()]
    closed = eye_opening(case.landmarks) < 0.66 * eye_opening(case.own.landmarks[0])
    assert closed.any() and not closed.all()
    assert regions["lids"].flatten(1).any(dim=1).tolist() == closed.tolist()
    assert not (regions["inner_mouth"] & ~regions["mouth"]).any() and not (regions["mouth"] & regions["eyes"]).any()


def test_a_region_that_never_shows_has_no_value(case: Case) -> None:
    still = dataclasses.replace(case, landmarks=np.repeat(case.own.landmarks, 5, axis=0))
    assert math.isnan(TruthMeter(still, ALL)(case.target)["lids_psnr"])


def test_without_an_instrument_there_is_no_column(case: Case) -> None:
    values = TruthMeter(case, Instruments(ssim=False))(case.target)
    assert not {name for name in values if "ssim" in name or "perceptual" in name or "landmark" in name}
    assert values["psnr"] == metrics.MAX_PSNR


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from model_core.errors import DependencyError

    def absent(*_: object, **__: object) -> object:
        raise DependencyError("pip install something")

    for name in ("perceptual_distance", "dlib_identity", "ExpressionReader"):
        monkeypatch.setattr(f"model_core.evaluation.instruments.{name}", absent)
    found = find_instruments(lambda: None, device=torch.device("cpu"))  # type: ignore[arg-type, return-value]
    assert dict.fromkeys(found.missing, "pip install something") == found.missing
    assert set(found.missing) == {"ST-LPIPS", "identity", "expression and pose"}
    assert found.perceptual is found.identity is found.expression is None and found.ssim


def test_the_map_of_similarity_averages_to_the_metric(case: Case) -> None:
    made = case.target * 0.7
    mean = metrics.ssim_map(made, case.target).flatten(1).mean(dim=1)
    torch.testing.assert_close(mean, metrics.ssim(made, case.target), atol=1e-5, rtol=0)


def test_psnr_of_a_part_in_closed_form() -> None:
    target, where = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.bool)
    made, where[0, :4] = target.clone(), True
    made[:, :, :4] = 0.2
    values = metrics.psnr(made, target, where=where)
    assert values[0] == pytest.approx(20, abs=1e-4) and values[1].isnan()
    assert metrics.psnr(made, target)[0] == pytest.approx(20 + 10 * math.log10(2), abs=1e-4)


def test_a_part_is_cut_out_as_a_square_within_the_frame() -> None:
    frames = torch.linspace(-1, 1, 40).expand(2, 3, 30, 40).clone()
    where = torch.zeros(2, 30, 40, dtype=torch.bool)
    where[0, 25:30, 30:40] = True
    crops = cut_out(frames, where)
    assert crops.shape == (1, 3, 64, 64)
    assert crops.min() > frames[0, 0, 0, 29] - 0.01 and crops[..., -1].mean() == pytest.approx(1, abs=0.03)
