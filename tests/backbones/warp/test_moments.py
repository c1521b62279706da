"""Moments of a parsing map's components, against the polygons that were drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.backbones.warp.moments import COMPONENTS, component_moments, face_frame
from model_core.types import PALETTE, Component

SIZE = 128
NOSE = COMPONENTS.index(Component.NOSE)


def ellipse(component: Component, x: float, y: float, a: float, b: float, *, size: int = SIZE) -> torch.Tensor:
    """One antialiased upright ellipse; centre and half axes in pixels of a map of 128."""
    factor = size * 4 / SIZE
    canvas = np.zeros((size * 4, size * 4, 3), np.uint8)
    centre = (round((x * factor - 0.5) * 16), round((y * factor - 0.5) * 16))
    cv2.ellipse(
        canvas,
        centre,
        (round(a * factor * 16), round(b * factor * 16)),
        0,
        0,
        360,
        PALETTE[component],
        -1,
        cv2.LINE_8,
        4,
    )
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(COMPONENTS), st.floats(30, 98), st.floats(30, 98), st.floats(3, 20), st.floats(3, 20))
def test_an_ellipse_has_its_own_centre_and_variances(
    component: Component, x: float, y: float, a: float, b: float
) -> None:
    found = component_moments(ellipse(component, x, y, a, b))[0]
    own = found[COMPONENTS.index(component)].numpy()
    assert own[0] == 1
    np.testing.assert_allclose((own[1:3] + 1) * SIZE / 2, (x, y), atol=0.15)
    # an ellipse's variance along an axis is a quarter of the half axis squared
    np.testing.assert_allclose(np.sqrt(own[3:5]) * SIZE, (a, b), rtol=0.08)
    assert abs(own[5]) < 1e-3
    others = [index for index in range(len(COMPONENTS)) if COMPONENTS[index] is not component]
    assert found[others, 0].max() < 0.3, "another component was seen in this one's colour"


def test_maps_of_any_size_have_the_same_moments() -> None:
    small, large = (component_moments(ellipse(Component.NOSE, 50, 70, 8, 14, size=size)) for size in (128, 512))
    torch.testing.assert_close(small[0, NOSE], large[0, NOSE], atol=3e-3, rtol=0.02)


def test_an_empty_map_has_no_moments() -> None:
    assert component_moments(torch.zeros(2, 3, 32, 32)).abs().max() == 0


def test_presence_fades_with_the_component() -> None:
    wide, narrow = (component_moments(ellipse(Component.LEFT_EYE, 60, 60, a, b)) for a, b in ((6, 3), (3, 0.3)))
    eye = COMPONENTS.index(Component.LEFT_EYE)
    assert wide[0, eye, 0] == 1
    assert 0 < narrow[0, eye, 0] < wide[0, eye, 0]


@pytest.mark.parametrize("shift", [0.0, 12.0])
def test_the_face_frame_follows_the_face(shift: float) -> None:
    places = {Component.LEFT_EYE: (80, 50), Component.RIGHT_EYE: (48, 50), Component.NOSE: (64, 70)}
    maps = sum(ellipse(component, x + shift, y, 5, 4) for component, (x, y) in places.items())
    assert isinstance(maps, torch.Tensor)
    centre, extent = face_frame(component_moments(maps))
    np.testing.assert_allclose((centre[0] + 1) * 64, (64 + shift, 170 / 3), atol=0.3)
    spread = np.sqrt(np.mean([16**2 + (170 / 3 - 50) ** 2] * 2 + [(70 - 170 / 3) ** 2])) / 64
    assert float(extent[0]) == pytest.approx(spread, rel=0.03)
