from __future__ import annotations

import numpy as np
import pytest

from model_core.errors import InputError
from model_core.evaluation.sheet import DARK, LIGHT, contact_sheet

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def flat(colour: tuple[int, int, int], *, height: int = 128, width: int = 128) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def area(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == np.array(colour)).all(axis=-1).sum())


def box(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """y0, y1, x0, x1 of a colour."""
    ys, xs = np.nonzero((sheet == np.array(colour)).all(axis=-1))
    return int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1


def sheet_of_three(**options) -> np.ndarray:
    rows = [("driving", [flat(RED)] * 4), ("parsing map", [flat(RED)] * 4), ("result", [flat(GREEN)] * 4)]
    return contact_sheet(rows, reference=flat(BLUE), **options)


@pytest.mark.parametrize("cell", [64, 192])
def test_every_picture_is_there_at_its_size(cell):
    sheet = sheet_of_three(cell=cell)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert area(sheet, RED) == 8 * cell**2 and area(sheet, GREEN) == 4 * cell**2
    assert area(sheet, BLUE) == (2 * cell) ** 2


def test_the_reference_stands_left_and_rows_go_down():
    sheet = sheet_of_three(cell=96)
    assert box(sheet, BLUE)[3] < box(sheet, RED)[2] == box(sheet, GREEN)[2]
    assert box(sheet, BLUE)[0] == box(sheet, RED)[0]
    assert box(sheet, RED)[1] < box(sheet, GREEN)[0]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_labels_are_drawn_and_readable(theme):
    labelled = sheet_of_three(theme=theme)
    assert (labelled[0, 0] == theme.background).all()
    rows = [("", [flat(RED)] * 4)] * 3
    silent = contact_sheet(rows, reference=flat(BLUE), reference_label="", theme=theme)
    ink = area(labelled, theme.text)
    assert ink > 200 and area(silent, theme.text) == 0
    contrast = abs(sum(theme.text) - sum(theme.background)) / 3
    assert contrast > 150


def test_title_and_captions_take_room_of_their_own():
    plain = sheet_of_three(cell=96)
    full = sheet_of_three(cell=96, title="a title", captions=[f"frame {i}" for i in range(4)])
    assert full.shape[0] > plain.shape[0] and full.shape[1] == plain.shape[1]
    assert area(full, LIGHT.text) > area(plain, LIGHT.text)
    below = full[box(full, GREEN)[1] + 1 :].mean(axis=-1)
    columns = np.nonzero((below < 200).any(axis=0))[0]
    x0, x1 = box(full, GREEN)[2:]
    assert [(columns < x0 + (x1 - x0) * k / 4).any() for k in (1, 2, 3, 4)] == [True] * 4
    assert x0 < columns.min() and columns.max() < x1
    assert area(full, RED) == area(plain, RED) and area(full, GREEN) == area(plain, GREEN)


def test_proportions_are_kept():
    sheet = contact_sheet([("wide", [flat(RED, height=60, width=120)])], reference=flat(BLUE, width=64), cell=120)
    y0, y1, x0, x1 = box(sheet, RED)
    assert (y1 - y0, x1 - x0) == (60, 120)
    y0, y1, x0, x1 = box(sheet, BLUE)
    assert y1 - y0 == 2 * (x1 - x0)


def test_rows_of_different_lengths_and_no_reference():
    sheet = contact_sheet([("a", [flat(RED)] * 5), ("b", [flat(GREEN)])], cell=64)
    assert area(sheet, RED) == 5 * 64**2 and area(sheet, GREEN) == 64**2


@pytest.mark.parametrize(
    "rows", [[], [("a", [])], [("a", [np.zeros((4, 4, 3))])], [("a", [np.zeros((4, 4), np.uint8)])]]
)
def test_bad_rows_are_refused(rows):
    with pytest.raises(InputError, match="contact sheet"):
        contact_sheet(rows)
