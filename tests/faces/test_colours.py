"""One correction of colours: for a clip at once, and frame after frame."""

from __future__ import annotations

import numpy as np
import torch

from model_core.faces.colours import ColourMatch, matched_colours


def test_matched_colours_have_the_mean_and_spread_of_the_target() -> None:
    made, like = torch.rand(4, 3, 30, 30) * 0.5, torch.rand(1, 3, 30, 30).expand(4, -1, -1, -1) * 0.8 + 0.1
    matched = matched_colours(made, like, torch.ones(1, 1, 30, 30))
    torch.testing.assert_close(matched.mean((0, 2, 3)), like.mean((0, 2, 3)))
    torch.testing.assert_close(matched.std((0, 2, 3)), like.std((0, 2, 3)), rtol=1e-3, atol=0)
    flat = matched_colours(torch.full((1, 3, 8, 8), 0.2), torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8))
    assert flat.std() < 0.2 and torch.isfinite(flat).all()
    assert torch.equal(matched_colours(made, like, torch.zeros(1, 1, 30, 30)), made)


def test_the_first_frame_is_corrected_as_a_clip_of_one_frame_is() -> None:
    rng = np.random.default_rng(0)
    made, like = rng.random((2, 20, 30, 3)).astype(np.float32) * np.float32([[[[90]]], [[[150]]]]) + 40
    weight = rng.random((20, 30)).astype(np.float32)
    one = ColourMatch().apply(made, like, weight)
    clip = [torch.from_numpy(pixels).permute(2, 0, 1)[None] for pixels in (made, like)]
    all_at_once = matched_colours(*clip, torch.from_numpy(weight)[None, None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(one, all_at_once, rtol=1e-4, atol=1e-3)
    assert np.abs(one - made).mean() > 5
    match = ColourMatch()
    assert np.array_equal(match.apply(made, like, np.zeros_like(weight)), made) and match.moments is None
