from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from model_core.errors import InputError
from model_core.video import mark
from model_core.video.read import exact_rate


@pytest.mark.parametrize("channels", [3, 4])
def test_a_marked_png_says_so_in_text_and_in_xmp(tmp_path, channels):
    picture = torch.rand(channels, 5, 7)
    mark.save_png(picture, tmp_path / "a.png", entries={"workflow": "{}"})
    with Image.open(tmp_path / "a.png") as image:
        pixels, texts = np.asarray(image), image.text
    assert np.array_equal(pixels, (picture * 255).round().permute(1, 2, 0).numpy().astype(np.uint8))
    assert texts[mark.KEY] == mark.VALUE and texts["workflow"] == "{}"
    packet = texts[mark.XMP_CHUNK]
    body = ElementTree.fromstring(packet[packet.index("<x:") : packet.rindex("<?xpacket")])
    found = [value for node in body.iter() for key, value in node.attrib.items() if key.endswith(mark.KEY)]
    assert found == [mark.VALUE]


def test_an_unmarked_png_says_nothing(tmp_path):
    mark.save_png(torch.rand(3, 5, 7), tmp_path / "a.png", entries={"workflow": "{}"}, mark=False)
    with Image.open(tmp_path / "a.png") as image:
        assert image.text == {"workflow": "{}"}


def test_a_png_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a.png: cannot be written"):
        mark.save_png(torch.rand(3, 5, 7), tmp_path / "file" / "a.png", entries={})


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (29.97, Fraction(30000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (25.0, Fraction(25)),
        (30.0, Fraction(30)),
        (12.5, Fraction(25, 2)),
        (0.1, Fraction(1, 10)),
    ],
)
def test_a_rounded_rate_means_the_exact_one(fps, exact):
    assert exact_rate(fps) == exact
