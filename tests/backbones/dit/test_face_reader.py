"""The face reader learns where components are, and its readings speak the warp's language."""

from __future__ import annotations

import torch

from model_core.backbones.dit.face_reader import FaceReader, Reading, reading_error, sure_shares
from model_core.backbones.warp.moments import COMPONENTS, component_moments, share_moments
from model_core.types import PALETTE, Component


def areas(component: Component, top: int, left: int, *, size: int = 64, side: int = 6) -> torch.Tensor:
    made = torch.zeros(1, len(COMPONENTS), size, size)
    made[:, COMPONENTS.index(component), top : top + side, left : left + side] = 1
    return made


def certain(shares: torch.Tensor) -> Reading:
    nothing = 1 - shares.sum(dim=1, keepdim=True)
    return Reading(torch.cat([nothing, shares], dim=1).clamp(min=1e-6).log())


def test_a_certain_reading_has_the_moments_of_the_map() -> None:
    shares = areas(Component.NOSE, 20, 30)
    colour = torch.tensor(PALETTE[Component.NOSE]).view(1, 3, 1, 1) / 255
    picture = torch.nn.functional.interpolate(shares.sum(dim=1, keepdim=True), scale_factor=2) * colour
    read = certain(shares)
    torch.testing.assert_close(read.moments, component_moments(picture), atol=2e-3, rtol=0)
    torch.testing.assert_close(read.maps, picture[..., ::2, ::2], atol=2e-3, rtol=0)


def test_traces_of_doubt_do_not_pull_a_place() -> None:
    sure = areas(Component.LEFT_EYE, 10, 10)
    doubtful = sure.clone()
    doubtful[:, COMPONENTS.index(Component.LEFT_EYE)] += 0.04
    torch.testing.assert_close(
        share_moments(sure_shares(doubtful.clamp(max=1))), share_moments(sure_shares(sure)), atol=1e-5, rtol=0
    )


def test_it_learns() -> None:
    torch.manual_seed(0)
    reader = FaceReader()
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    wanted = torch.cat([areas(Component.LEFT_EYE, top, 12) for top in (8, 24, 40)])
    frames = torch.nn.functional.interpolate(wanted.sum(dim=1, keepdim=True), scale_factor=2).expand(-1, 3, -1, -1)
    errors = []
    for _ in range(40):
        error = reading_error(reader(frames), wanted)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.2 * errors[0]
    found = reader(frames).moments[:, COMPONENTS.index(Component.LEFT_EYE), 2]
    torch.testing.assert_close(found, torch.tensor([-0.66, -0.16, 0.34]), atol=0.08, rtol=0)
