"""A set may have been made with another Pillow: each order of its two passes is told from the other, and no more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from golden_set import made_rows_first, rows_first
from PIL import Image
from torch import Tensor

LANCZOS, BILINEAR = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR


@pytest.fixture
def resized() -> Callable[..., Tensor]:
    """``resized(rows=True)``: a tall picture made wide by two calls, rows or columns first."""
    pixels = np.random.default_rng(0).integers(0, 256, (190, 100, 3), dtype=np.uint8)

    def make(*, rows: bool | None = None, resample: int = LANCZOS) -> Tensor:
        picture = Image.fromarray(pixels)
        if rows is not None:
            picture = picture.resize((160, 190) if rows else (100, 96), resample)
        return torch.from_numpy(np.asarray(picture.resize((160, 96), resample)).copy()).float() / 127.5 - 1

    return make


def test_both_orders_are_told_apart(resized: Callable[..., Tensor]) -> None:
    rows, columns = resized(rows=True), resized(rows=False)
    assert (rows - columns).abs().max() > 1e-2
    with rows_first():
        assert torch.equal(resized(), rows)
    present = resized()
    assert any(torch.equal(present, one) for one in (rows, columns))
    assert made_rows_first(resized, rows) != torch.equal(present, rows)
    assert not made_rows_first(resized, present)


def test_another_filter_is_neither(resized: Callable[..., Tensor]) -> None:
    other = resized(resample=BILINEAR)
    with rows_first():
        before = resized()
    assert min((one - other).abs().max() for one in (before, resized())) > 1e-2


def test_pillow_is_left_as_it_was(resized: Callable[..., Tensor]) -> None:
    plain = Image.Image.resize
    with pytest.raises(KeyError), rows_first():
        raise KeyError
    assert Image.Image.resize is plain
