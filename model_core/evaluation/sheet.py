"""Contact sheets: a clip at a glance, reference at the left, one row per stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import InputError

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """Colours of a sheet, RGB in [0, 255]."""

    background: Colour
    text: Colour
    muted: Colour
    frame: Colour


LIGHT = Theme(background=(255, 255, 255), text=(32, 34, 40), muted=(120, 124, 134), frame=(214, 216, 222))
DARK = Theme(background=(22, 24, 29), text=(236, 238, 242), muted=(150, 156, 168), frame=(58, 62, 72))

_GAP = 0.05
_TEXT = 0.115
_SMALL_TEXT = 0.085
_MIN_TEXT = 12
_REFERENCE_CELLS = 2.0


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    *,
    reference: np.ndarray | None = None,
    reference_label: str = "reference",
    captions: Sequence[str] | None = None,
    title: str | None = None,
    cell: int = 192,
    theme: Theme = LIGHT,
) -> np.ndarray:
    """Lay out rows of pictures under their labels, with one large picture at the left.

    Args:
        rows: (label, pictures) from top to bottom; pictures (H, W, 3) uint8 RGB of any size, shown whole in
            square cells. A row may be shorter than others.
        reference: picture at the left, up to two cells wide and high.
        captions: small texts under the last row, one per column, such as frame numbers.
        title: a line above everything.
        cell: pixels along the side of a cell.
    Returns:
        (H, W, 3) uint8 RGB.
    Raises:
        InputError: no pictures, or not (H, W, 3) uint8.
    """
    pictures = [picture for _, row in rows for picture in row]
    if not pictures:
        raise InputError("a contact sheet needs at least one picture; give rows with frames")
    for picture in [*pictures, *([] if reference is None else [reference])]:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise InputError(f"contact sheet: expected (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    page = _Page(rows=len(rows), columns=max(len(row) for _, row in rows), cell=cell, theme=theme)
    picture_size = None if reference is None else (reference.shape[0], reference.shape[1])
    page.layout(reference=picture_size, captions=bool(captions), title=title is not None)
    if title is not None:
        page.write(title, page.margin, page.margin, scale=1.35)
    if reference is not None:
        page.write(reference_label, page.margin, page.top)
        page.place(reference, page.margin, page.top + page.label, page.reference)
    for index, (label, row) in enumerate(rows):
        y = page.row_y(index)
        page.write(label, page.left, y)
        for column, picture in enumerate(row):
            page.place(picture, page.column_x(column), y + page.label, (cell, cell))
    for column, caption in enumerate(captions or ()):
        page.caption(caption, column)
    return page.pixels()


class _Page:
    """Positions, and a canvas to draw at them."""

    def __init__(self, *, rows: int, columns: int, cell: int, theme: Theme) -> None:
        self._rows, self._columns, self._cell, self._theme = rows, columns, cell, theme
        self._gap = max(4, round(_GAP * cell))
        self.margin = 3 * self._gap
        self._text = max(_MIN_TEXT, round(_TEXT * cell))
        self._small = max(_MIN_TEXT - 2, round(_SMALL_TEXT * cell))
        self.label = round(1.7 * self._text)

    def layout(self, *, reference: tuple[int, int] | None, captions: bool, title: bool) -> None:
        """Fix where everything goes and make the canvas; ``reference`` is the size (H, W) of that picture."""
        self.top = self.margin + (round(2.4 * self._text) if title else 0)
        self._pitch = self.label + self._cell + 2 * self._gap
        grid_height = self._rows * self._pitch - 2 * self._gap
        self.left = self.margin
        if reference is not None:
            side = min(round(_REFERENCE_CELLS * self._cell), grid_height - self.label)
            self.reference = _inside(reference, (side, side))
            self.left += self.reference[1] + self.margin
        width = self.column_x(self._columns) - self._gap + self.margin
        height = self.top + grid_height + self.margin + (2 * self._small if captions else 0)
        self._image = Image.new("RGB", (width, height), self._theme.background)
        self._draw = ImageDraw.Draw(self._image)

    def row_y(self, index: int) -> int:
        return self.top + index * self._pitch

    def column_x(self, index: int) -> int:
        return self.left + index * (self._cell + self._gap)

    def write(self, text: str, x: int, y: int, *, scale: float = 1.0) -> None:
        font = ImageFont.load_default(size=round(self._text * scale))
        self._draw.text((x, y), text, fill=self._theme.text, font=font)

    def caption(self, text: str, column: int) -> None:
        """Centred under a column."""
        font = ImageFont.load_default(size=self._small)
        x = self.column_x(column) + (self._cell - self._draw.textlength(text, font=font)) / 2
        y = self.row_y(self._rows) - 2 * self._gap + self._small // 2
        self._draw.text((x, y), text, fill=self._theme.muted, font=font)

    def place(self, picture: np.ndarray, x: int, y: int, box: tuple[int, int]) -> None:
        """Show a picture whole, centred in a box (H, W), with a hairline around it."""
        height, width = _inside((picture.shape[0], picture.shape[1]), box)
        resized = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
        x, y = x + (box[1] - width) // 2, y + (box[0] - height) // 2
        self._image.paste(resized, (x, y))
        self._draw.rectangle((x - 1, y - 1, x + width, y + height), outline=self._theme.frame)

    def pixels(self) -> np.ndarray:
        return np.array(self._image)


def _inside(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest (H, W) of the proportions of ``size`` that fits into ``box``."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
