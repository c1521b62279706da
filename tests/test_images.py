from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model_core import images
from model_core.errors import InputError
from model_core.files import atomic_path

sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth picture with three different channels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 127 + 60 * np.sin(x / 9)], axis=-1).astype(np.uint8)


# --- conversions and files ---------------------------------------------------------------------------------


def test_every_level_survives_the_way_to_float_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    image = images.to_float(levels)
    assert image.shape == (1, 3, 16, 16) and image.dtype == torch.float32
    assert (image.min(), image.max()) == (-1, 1)
    assert (images.to_uint8(image)[0] == levels).all()


def test_out_of_range_is_clamped_not_wrapped():
    image = torch.tensor([-3.0, 3.0]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert images.to_uint8(image)[0, 0, :, 0].tolist() == [0, 255]


def test_saved_and_loaded_png_is_the_same(tmp_path):
    pixels = gradient()
    images.save_image(pixels, tmp_path / "new" / "a.png")
    assert (images.read_pixels(tmp_path / "new" / "a.png") == pixels).all()
    images.save_image(images.to_float(pixels), tmp_path / "b.png")
    assert (images.to_uint8(images.load_image(tmp_path / "b.png"))[0] == pixels).all()


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.fromarray(gradient())
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    picture.save(tmp_path / "a.png", exif=exif)
    assert (images.read_pixels(tmp_path / "a.png") == np.rot90(gradient(), k=-1)).all()


def test_transparency_shows_white_or_the_colour_asked_for(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:2, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels = images.read_pixels(tmp_path / "a.png")
    assert pixels[0, 0].tolist() == [200, 0, 0] and pixels[3, 0].tolist() == [255, 255, 255]
    assert images.read_pixels(tmp_path / "a.png", background=(0, 0, 9))[3, 0].tolist() == [0, 0, 9]


def test_transparent_palette_entry_shows_white(tmp_path):
    picture = Image.new("P", (2, 2), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 1), 1)
    picture.save(tmp_path / "a.gif", transparency=0)
    pixels = images.read_pixels(tmp_path / "a.gif")
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[1, 1].tolist() == [40, 50, 60]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_of_8_and_16_bits_becomes_rgb(tmp_path, dtype):
    full = np.iinfo(dtype).max
    ramp = np.linspace(0, full, 64).astype(dtype).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    pixels = images.read_pixels(tmp_path / "a.png")
    assert pixels.shape == (8, 8, 3)
    expected = np.round(ramp / full * 255)
    assert np.abs(pixels - expected[..., None]).max() <= 1


def test_float_tiff_with_nan_is_named(tmp_path):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match=r"nan\.tif.*NaN"):
        images.read_pixels(tmp_path / "nan.tif")


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        images.load_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"text\.png: not an image"):
        images.load_image(tmp_path / "text.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (99, 99, 3), np.uint8)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.png: damaged"):
        images.load_image(tmp_path / "cut.png")
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        images.load_image(tmp_path)


def test_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = images.save_image(gradient(), tmp_path / "a.png")
    before = target.read_bytes()

    def full(self, path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match=r"a\.png: cannot be written \(No space left on device\).*free"):
        images.save_image(gradient(), target)
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.xyz"):
        images.save_image(gradient(), tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())


def test_interrupt_removes_the_partial_file(tmp_path):
    target = tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as partial:
        partial.write_bytes(b"half")
        assert partial.parent == tmp_path and partial.suffix == ".bin" and not target.exists()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


# --- checks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 64, 64), r"expected \(frames, 3, height, width\)"),
        (torch.zeros(1, 4, 64, 64), "expected"),
        (torch.zeros(0, 3, 64, 64), "empty"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "float"),
        (torch.full((1, 3, 64, 64), 2.0), r"\[2, 2\], expected \[-1, 1\]"),
        (torch.zeros(1, 3, 64, 64).index_fill(3, torch.tensor([5]), float("nan")), "NaN.* frame 0;"),
        (torch.zeros(9, 3, 8, 8).index_fill(0, torch.tensor([2, 7]), float("inf")), "frame 2, 7;"),
    ],
)
def test_bad_tensors_are_named(image, message):
    with pytest.raises(InputError, match=f"the portrait: .*{message}"):
        images.check_image(image, name="the portrait")


def test_good_tensors_pass():
    clip, portrait = torch.rand(3, 3, 5, 7) * 2 - 1, torch.zeros(1, 3, 64, 64)
    assert images.check_image(clip, name="clip") is clip
    assert images.check_reference(portrait) is portrait


def test_reference_must_be_one_image_of_64_pixels():
    with pytest.raises(InputError, match="100 x 63"):
        images.check_reference(torch.zeros(1, 3, 63, 100))
    with pytest.raises(InputError, match="one image"):
        images.check_reference(torch.zeros(2, 3, 64, 64))


# --- parts -------------------------------------------------------------------------------------------------


@given(size=sizes, top=st.integers(-90, 90), left=st.integers(-90, 90), height=st.integers(1, 90))
def test_beyond_a_picture_its_border_is_repeated(size, top, left, height):
    image = torch.rand(2, 3, *size)
    made = images.cut(image, range(top, top + height), range(left, left + 40))
    padded = np.pad(image.numpy(), [(0, 0), (0, 0), (180, 180), (180, 180)], mode="edge")
    assert np.array_equal(made.numpy(), padded[..., 180 + top : 180 + top + height, 180 + left : 220 + left])
