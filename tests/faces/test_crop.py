from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.faces.crop import CropRegion, crop_frames, crop_region, crop_track, paste_back
from model_core.types import FaceTrack

HEIGHT, WIDTH = 40, 56
regions = st.builds(
    CropRegion,
    x=st.integers(-40, 60),
    y=st.integers(-40, 60),
    side=st.integers(1, 70),
    frame_size=st.just((HEIGHT, WIDTH)),
)


def face_track(*boxes: tuple[float, float, float, float]) -> FaceTrack:
    count = len(boxes)
    landmarks = np.zeros((count, 478, 3), np.float32)
    landmarks[..., :2] = np.float32(boxes)[:, None, :2]
    return FaceTrack(np.float32(boxes), landmarks, np.ones(count, np.float32), np.ones(count, bool), (HEIGHT, WIDTH))


@settings(max_examples=60)
@given(region=regions, feather=st.floats(0, 0.5))
def test_cropping_and_pasting_back_is_the_identity(region: CropRegion, feather: float) -> None:
    frames = torch.rand(2, 3, HEIGHT, WIDTH)
    crops = crop_frames(frames, region)
    assert crops.shape == (2, 3, region.side, region.side)
    assert torch.equal(paste_back(frames, crops, region, feather=feather), frames)


@settings(max_examples=60)
@given(region=regions)
def test_a_hard_paste_replaces_the_square_and_nothing_else(region: CropRegion) -> None:
    frames = torch.zeros(1, 1, HEIGHT, WIDTH)
    made = paste_back(frames, torch.ones(1, 1, region.side, region.side), region, feather=0.0)
    inside = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    inside[max(region.y, 0) : max(region.y + region.side, 0), max(region.x, 0) : max(region.x + region.side, 0)] = True
    assert torch.equal(made[0, 0] == 1, inside)
    assert not frames.any()


def test_a_soft_edge_fades_inside_the_frame_only() -> None:
    region = CropRegion(-2, 10, 30, (HEIGHT, WIDTH))
    made = paste_back(torch.zeros(1, 1, HEIGHT, WIDTH), torch.ones(1, 1, 30, 30), region, feather=0.2)[0, 0]
    assert made[25, 0] == 1  # leaves the frame on the left: no edge there
    assert 0 < made[25, 27] < made[25, 24] < 1 and made[25, 28] == 0
    assert 0 < made[10, 5] < made[13, 5] < 1 and made[9, 5] == 0


def test_a_resized_crop_comes_back_nearly(feather: float = 0.1) -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 3, HEIGHT), torch.linspace(0, 3, WIDTH), indexing="ij")
    frames = torch.stack([rows.sin(), columns.cos(), (rows * columns).sin()])[None]
    region = CropRegion(10, 5, 30, (HEIGHT, WIDTH))
    crops = crop_frames(frames, region, size=64)
    assert crops.shape == (1, 3, 64, 64)
    assert (paste_back(frames, crops, region, feather=feather) - frames).abs().max() < 0.05


def test_beyond_the_frame_its_border_is_repeated() -> None:
    frames = torch.rand(1, 3, HEIGHT, WIDTH)
    crop = crop_frames(frames, CropRegion(-5, -5, 20, (HEIGHT, WIDTH)))
    assert torch.equal(crop[..., 5:, 5:], frames[..., :15, :15])
    assert torch.equal(crop[..., 0, 0], frames[..., 0, 0])


def test_the_region_holds_the_face_of_every_frame_with_margin() -> None:
    track = face_track((10, 10, 20, 22), (14, 9, 25, 20))
    region = crop_region(track, margin=0.5)
    assert region.x <= 10 - 6 and region.x + region.side >= 25 + 6
    assert region.y <= 9 - 6 and region.y + region.side >= 22 + 6
    assert region.side <= 15 + 12 + 1
    assert region.frame_size == (HEIGHT, WIDTH)
    assert crop_region(track.take([0]), margin=0.0).side == 12


def test_the_track_moves_with_the_crop() -> None:
    track = face_track((10, 10, 20, 22))
    moved = crop_track(track, CropRegion(5, 8, 20, (HEIGHT, WIDTH)), size=40)
    assert moved.size == (40, 40)
    assert moved.boxes[0].tolist() == [10, 4, 30, 28]
    assert moved.landmarks[0, 0].tolist() == [10, 4, 0]


def test_label_maps_are_cut_as_the_frames_are() -> None:
    labels = np.random.default_rng(0).integers(0, 12, (2, HEIGHT, WIDTH), np.uint8)
    track = replace(face_track((10, 10, 20, 20), (11, 10, 21, 20)), label_maps=labels)
    region = CropRegion(-6, 12, 40, (HEIGHT, WIDTH))
    made = crop_track(track, region).label_maps
    assert made is not None and made.shape == (2, 40, 40)
    assert np.array_equal(made[:, :28, 6:], labels[:, 12:, :34])
    assert not made[:, :, :6].any() and not made[:, 28:].any()  # background beyond the frame
    twice = crop_track(track, region, size=80).label_maps
    assert twice is not None and np.array_equal(twice[:, ::2, ::2], made) and np.array_equal(twice[:, 1::2, 1::2], made)


def test_one_picture_takes_many_crops() -> None:
    made = paste_back(torch.zeros(1, 3, HEIGHT, WIDTH), torch.ones(4, 3, 10, 10), CropRegion(0, 0, 10, (HEIGHT, WIDTH)))
    assert made.shape == (4, 3, HEIGHT, WIDTH)


@settings(max_examples=40, deadline=None)
@given(region=regions, feather=st.floats(0, 0.5), count=st.sampled_from([1, 3]), match=st.booleans())
def test_where_the_mask_is_empty_the_frames_stay_bit_for_bit(
    region: CropRegion, feather: float, count: int, match: bool
) -> None:
    frames = torch.rand(count, 3, HEIGHT, WIDTH) * 1.3 - 0.1
    mask = torch.zeros(1, 1, region.side, region.side)
    mask[..., : region.side // 2] = torch.rand(1, 1, region.side, region.side // 2)
    crops = torch.rand(3, 3, region.side, region.side)
    made = paste_back(frames, crops, region, feather=feather, mask=mask, match_colour=match)
    outside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    top, left, right = max(region.y, 0), max(region.x, 0), max(region.x + region.side // 2, 0)
    outside[top : max(region.y + region.side, 0), left:right] = False
    assert torch.equal(made[..., outside], frames.expand_as(made)[..., outside])


def test_the_mask_may_have_another_size_and_one_for_each_frame() -> None:
    region = CropRegion(10, 5, 20, (HEIGHT, WIDTH))
    masks = torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)])
    made = paste_back(torch.zeros(2, 1, HEIGHT, WIDTH), torch.ones(2, 1, 9, 9), region, feather=0.0, mask=masks)
    assert made[0].sum() == 20 * 20 and made[1].sum() == 0


def test_pasting_with_matched_colours_hides_a_colour_cast() -> None:
    frames = torch.rand(1, 3, HEIGHT, WIDTH) * 0.5 + 0.25
    region = CropRegion(10, 5, 24, (HEIGHT, WIDTH))
    cast = crop_frames(frames, region) * torch.tensor([1.2, 1.0, 0.7])[:, None, None]
    plain = (paste_back(frames, cast, region) - frames).abs().mean()
    matched = (paste_back(frames, cast, region, match_colour=True) - frames).abs().mean()
    assert matched < 0.05 * plain


def test_resizing_does_not_leave_the_range() -> None:
    frames = (torch.rand(1, 3, HEIGHT, WIDTH) > 0.5).float()
    crop = crop_frames(frames, CropRegion(3, 3, 31, (HEIGHT, WIDTH)), size=97)
    assert crop.shape == (1, 3, 97, 97) and crop.min() == 0 and crop.max() == 1


def test_what_does_not_fit_is_named() -> None:
    region = CropRegion(0, 0, 10, (HEIGHT, WIDTH))
    with pytest.raises(InputError, match="use the frames that were analysed"):
        crop_frames(torch.zeros(1, 3, 8, 8), region)
    with pytest.raises(InputError, match="3 crops do not fit 2 frames"):
        paste_back(torch.zeros(2, 3, HEIGHT, WIDTH), torch.zeros(3, 3, 10, 10), region)
    with pytest.raises(InputError, match="crops of 8x10, but what was cut out is a square"):
        paste_back(torch.zeros(1, 3, HEIGHT, WIDTH), torch.zeros(1, 3, 10, 8), region)
    with pytest.raises(InputError, match="feather"):
        paste_back(torch.zeros(1, 3, HEIGHT, WIDTH), torch.zeros(1, 3, 10, 10), region, feather=0.6)
    with pytest.raises(InputError, match="margin"):
        crop_region(face_track((1, 1, 5, 5)), margin=-0.1)
