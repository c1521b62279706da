"""Analyse, mask, crop and paste back, through the nodes, with an analyser that finds a bright square."""

from __future__ import annotations

import numpy as np
import pytest
import torch

ALL = dict.fromkeys(("brows", "eyes", "irises", "nose", "lips", "inner_mouth", "face"), True)


@pytest.fixture(scope="module")
def faces(comfy):
    return comfy.module("nodes.faces")


@pytest.fixture(scope="module")
def crop(comfy):
    return comfy.module("nodes.crop")


@pytest.fixture(scope="module")
def analyzer(comfy, make_track):
    """Of the pack's own classes: tests import a second copy of the library."""
    detection = comfy.module("model_core.faces.analyzer").FaceDetection
    track = make_track(1)
    unit = (track.landmarks[0] - [*track.boxes[0, :2], 0]) / (track.boxes[0, 2] - track.boxes[0, 0])

    class Analyzer:
        def detect(self, frame):
            rows, columns = np.nonzero(frame.min(axis=2) > 127)
            if not len(rows):
                return []
            x, y, side = columns.min(), rows.min(), np.ptp(columns) + 1
            points = (unit * side + [x, y, 0]).astype(np.float32)
            return [detection(np.array([x, y, x + side, y + side], np.float32), points, 0.8)]

    return Analyzer()


@pytest.fixture
def images(square_frames):
    return torch.from_numpy(square_frames(6)).float() / 255


def analyze(faces, analyzer, images, **settings):
    values = {"face_index": 0, "max_gap": 2, "smoothing": False, **settings}
    return faces.AnalyzeFaces.execute(analyzer=analyzer, images=images, **values).args


def test_analysis_gives_track_pictures_and_report(host, faces, analyzer, images):
    track, preview, report, plot, kept = analyze(faces, analyzer, images)
    assert len(track) == len(preview) == 6
    assert preview.shape[1:] == images.shape[1:]
    assert "6 frame(s) of 96x96, the face is seen in 6" in report
    assert plot.ndim == 4 and plot.shape[0] == 1 and plot.shape[3] == 3
    assert kept is images
    assert host.progress[-1][:2] == (6, 6)


@pytest.mark.parametrize(
    ("missing", "frames"),
    [("interpolate", [0, 1, 2, 3, 4, 5]), ("hold", [0, 1, 2, 3, 4, 5]), ("skip", [0, 1, 4, 5])],
)
def test_track_preview_and_frames_kept_stay_aligned(faces, analyzer, images, missing, frames):
    images[2:4] = 0.1
    track, preview, report, _, kept = analyze(faces, analyzer, images, missing=missing)
    assert len(track) == len(preview) == len(frames)
    assert torch.equal(kept, images[frames])
    assert "2-3" in report
    left = [int(torch.nonzero(frame.amin(-1) > 0.5)[:, 1].min()) for frame in kept if frame.max() > 0.5]
    assert track.boxes[track.detected, 0].tolist() == left


@pytest.mark.parametrize("missing", ["interpolate", "hold", "skip", "error"])
def test_no_face_at_all_names_the_input(faces, analyzer, images, missing):
    with pytest.raises(Exception, match="^images: no face found in any of its 6 frame"):
        analyze(faces, analyzer, images * 0, missing=missing)


@pytest.mark.parametrize("missing", ["interpolate", "hold", "error"])
def test_a_gap_that_is_not_filled_names_its_frames(faces, analyzer, images, missing):
    images[1:4] = 0.1
    with pytest.raises(Exception, match="images: the face is missing in frames 1-3"):
        analyze(faces, analyzer, images, missing=missing)


def test_one_frame_with_alpha_is_a_clip_too(faces, analyzer, images):
    cut_out = torch.cat([images[:1], torch.rand(1, 96, 96, 1)], dim=-1)
    track, preview, *_, kept = analyze(faces, analyzer, cut_out)
    assert len(track) == 1
    assert preview.shape == (1, 96, 96, 3)
    assert kept is cut_out


def test_region_masks_grow_and_soften(faces, analyzer, images):
    track = analyze(faces, analyzer, images)[0]
    (plain,) = faces.FaceRegionMask.execute(track=track, **ALL).args
    (grown,) = faces.FaceRegionMask.execute(track=track, grow=5, **ALL).args
    (soft,) = faces.FaceRegionMask.execute(track=track, feather=4.0, **ALL).args
    assert plain.shape == (6, 96, 96)
    assert plain.sum() < grown.sum()
    assert ((soft > 0.1) & (soft < 0.9)).any()


def test_no_region_is_refused(faces, analyzer, images):
    nothing = dict.fromkeys(ALL, False)
    track = analyze(faces, analyzer, images)[0]
    with pytest.raises(faces.bridge.InputError, match="no part of the face is chosen"):
        faces.FaceRegionMask.execute(track=track, **nothing)


# --- crop and paste back -------------------------------------------------------------------------------------


def cropped(faces, crop, analyzer, images, *, size=0, margin=0.3):
    track = analyze(faces, analyzer, images)[0]
    return crop.CropFace.execute(images=images, track=track, margin=margin, size=size).args


def paste(crop, images, target, region, **settings):
    values = {"feather": 0.1, "match_colour": False, **settings}
    return crop.PasteFaceBack.execute(images=images, target=target, crop=region, **values).args[0]


@pytest.mark.parametrize("size", [0, 33, 128])
def test_the_crop_is_square_and_its_track_fits_it(faces, crop, analyzer, images, size):
    made, region, track = cropped(faces, crop, analyzer, images, size=size)
    side = size or region.side
    assert made.shape == (6, side, side, 3)
    assert track.size == (side, side)
    ratio = side / region.side
    bright = torch.nonzero(made[0].amin(-1) > 0.6)
    assert track.boxes[0, 0] == pytest.approx(int(bright[:, 1].min()), abs=1 + ratio)


@pytest.mark.parametrize("border", [False, True])
def test_cropping_and_pasting_is_the_identity(faces, crop, analyzer, images, border):
    if border:
        images = images[:, 20:, 20:]  # the square's margin leaves the picture at the left and the top
    made, region, _ = cropped(faces, crop, analyzer, images, margin=0.2)
    assert (region.x < 0) is border
    assert torch.equal(paste(crop, made, images, region), images)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("count", [1, 6])
def test_outside_the_mask_the_target_stays_bit_for_bit(faces, crop, analyzer, images, channels, count):
    target = torch.rand(count, 96, 96, channels) * 1.2 - 0.1  # overshoot too: nothing is clamped
    made, region, _ = cropped(faces, crop, analyzer, images, size=31)
    mask = torch.zeros(1, 50, 40)
    mask[:, :25] = 1
    out = paste(crop, 1 - made, target, region, mask=mask, match_colour=True)
    assert out.shape == (6, 96, 96, channels)
    inside = torch.zeros(96, 96, dtype=torch.bool)
    inside[region.y : region.y + region.side // 2 + 2, region.x : region.x + region.side] = True
    assert torch.equal(out[:, ~inside], target.expand_as(out)[:, ~inside])
    assert not torch.equal(out[..., :3], target.expand_as(out)[..., :3])
    assert torch.equal(out[..., 3:], target.expand_as(out)[..., 3:])


def test_the_alpha_of_the_animated_frames_is_obeyed(faces, crop, analyzer, images):
    made, region, _ = cropped(faces, crop, analyzer, images)
    hidden = torch.cat([1 - made, torch.zeros_like(made[..., :1])], dim=-1)
    assert torch.equal(paste(crop, hidden, images, region), images)


def test_one_mask_for_each_frame(faces, crop, analyzer, images):
    made, region, _ = cropped(faces, crop, analyzer, images)
    masks = torch.zeros(6, 8, 8)
    masks[4] = 1
    changed = (paste(crop, 1 - made, images, region, mask=masks) != images).flatten(1).any(dim=1)
    assert changed.tolist() == [frame == 4 for frame in range(6)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda made, target, region: (made[:, :20], target, {}), "images: are .*, but what was cropped is a square"),
        (lambda made, target, region: (made, target[:, :50], {}), "target: is 96x50, but the face was cropped from"),
        (lambda made, target, region: (made, target[:4], {}), "target: 4 frames for 6 animated ones"),
        (lambda made, target, region: (made, target, {"mask": torch.ones(2, 4, 4)}), "mask: 2 masks for 6 frames"),
        (lambda made, target, region: (made * torch.nan, target, {}), "images: NaN"),
        (lambda made, target, region: (made, target * torch.nan, {}), "target: NaN"),
        (lambda made, target, region: (made[:0], target, {}), "images: is empty"),
    ],
)
def test_what_cannot_be_pasted_is_named(faces, crop, analyzer, images, spoil, message):
    made, region, _ = cropped(faces, crop, analyzer, images)
    animated, target, settings = spoil(made, images, region)
    with pytest.raises(crop.bridge.InputError, match=message):
        paste(crop, animated, target, region, **settings)


def test_a_track_of_other_frames_is_refused(faces, crop, analyzer, images):
    track = analyze(faces, analyzer, images)[0]
    with pytest.raises(crop.bridge.InputError, match=r"track: 6 frame\(s\) of 96x96, images are 5 of 96x96"):
        crop.CropFace.execute(images=images[:5], track=track, margin=0.5, size=0)


# --- masked frames -------------------------------------------------------------------------------------------


def test_masked_frames_take_size_and_place_from_the_reference(comfy, faces, analyzer, images):
    node = comfy.module("nodes.motion").MaskedFramesMotion
    track, *_, kept = analyze(faces, analyzer, images)
    portrait = analyze(faces, analyzer, torch.nn.functional.pad(images[:1], (0, 0, 64, 0, 40, 0)))[0]
    motion, shown = node.execute(
        driving=track, images=kept, alignment="relative", width=0, height=0, reference=portrait
    ).args
    assert motion.kind == "masked_frames"
    assert motion.frames.shape == (6, 3, 136, 160)
    assert shown.shape == (6, 136, 160, 3)
    assert motion.frames[:, :, :40].max() == motion.frames[..., :64].max() == 0 < motion.frames.max()
    alone, _ = node.execute(driving=track, images=kept, alignment="relative", width=48, height=0).args
    assert alone.frames.shape == (6, 3, 96, 48)


def test_masked_frames_need_the_frames_of_the_track(comfy, faces, analyzer, images):
    node = comfy.module("nodes.motion").MaskedFramesMotion
    track = analyze(faces, analyzer, images)[0]
    with pytest.raises(faces.bridge.InputError, match="driving: 4 frames .* face track of 6"):
        node.execute(driving=track, images=images[:4], alignment="relative", width=0, height=0)
