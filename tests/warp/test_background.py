"""The background plate: untouched outside of the person, filled from around inside."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.warp.background import background_plate


def person(height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask


@settings(max_examples=20, deadline=None)
@given(st.integers(16, 70), st.integers(16, 70), st.integers(0, 1000))
def test_outside_of_the_person_nothing_changes(height: int, width: int, seed: int) -> None:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    mask = person(height, width)
    plate = background_plate(image, mask)
    kept = torch.nn.functional.max_pool2d(mask, 5, 1, 2) == 0
    assert torch.equal(plate[kept.expand_as(plate)], image[kept.expand_as(image)])
    low, high = image[kept.expand_as(image)].min(), image[kept.expand_as(image)].max()
    assert low - 1e-5 <= plate.min() and plate.max() <= high + 1e-5, "filled from something else than the surroundings"


def test_a_person_before_one_colour_leaves_that_colour() -> None:
    image = torch.full((1, 48, 33, 40), 0.25)
    mask = person(33, 40)
    image[mask.expand_as(image) > 0] = 9.0
    torch.testing.assert_close(background_plate(image, mask), torch.full_like(image, 0.25), atol=1e-5, rtol=0)


def test_each_side_of_the_person_is_filled_from_its_own_side() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 32:] = 1
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 8:56] = 1
    row = background_plate(image, mask)[0, 0, 32]
    assert row[10] < 0.25 < 0.75 < row[53]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_without_a_person_or_without_a_background_the_image_stays(value: float) -> None:
    image = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(background_plate(image, torch.full((2, 1, 24, 24), value)), image)


def test_a_slope_goes_on_behind_the_person() -> None:
    """What lies between the sides is between them everywhere, without the blocks of the averages."""
    slope = torch.linspace(0, 1, 128)[None, None, None].expand(1, 1, 128, 128).contiguous()
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 32:96, 32:96] = 1
    plate = background_plate(slope, mask)
    error = (plate - slope).abs()[mask > 0]
    assert error.mean() < 0.005
