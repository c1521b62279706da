from __future__ import annotations

from dataclasses import fields

import pytest
import torch


@pytest.fixture(scope="module")
def make_track(comfy, make_track):
    """As for all rooms, but of the pack's own class: the double's package has a copy of every class."""
    own = comfy.module("model_core.types").FaceTrack

    def make(*args, **options):
        track = make_track(*args, **options)
        return own(**{field.name: getattr(track, field.name) for field in fields(track)})

    return make


@pytest.fixture
def edit(comfy):
    return comfy.module("nodes.edit").EditExpression


def test_a_portrait_becomes_a_clip_made_by_sliders(edit, comfy, make_track):
    portrait = make_track(1, size=96)
    track, sliders, preview = edit.execute(track=portrait, frames=5, keys="0: 0, 4: 1", smile=0.5, zoom=1.2).args
    known = comfy.module("model_core.motion.editing")
    assert sliders == known.ExpressionEdit(smile=0.5, zoom=1.2)
    assert len(track) == 5 and not track.edits[0].any() and track.edits[4].any()
    assert preview.shape == (1, 96, 96, 3) and preview.max() > 0


def test_a_driver_keeps_its_length(edit, make_track):
    track, _, _ = edit.execute(track=make_track(3, size=96), frames=7, gaze_x=1.0).args
    assert len(track) == 3 and (track.edits != 0).any(axis=1).all()


def test_with_the_image_the_preview_is_the_portrait_itself(edit, make_track):
    image = torch.rand(1, 96, 96, 3, generator=torch.Generator().manual_seed(0))
    *_, still = edit.execute(track=make_track(1, size=96), image=image).args
    assert (still - image).abs().mean() < 0.02
    *_, turned = edit.execute(track=make_track(1, size=96), image=image, roll=30.0).args
    assert (turned - image).abs().mean() > 0.02


def test_an_image_of_another_size_is_refused_by_name(edit, comfy, make_track):
    with pytest.raises(comfy.module("model_core.errors").InputError, match="image: 1 of 64x64.*96x96"):
        edit.execute(track=make_track(1, size=96), image=torch.zeros(1, 64, 64, 3))


def test_the_sliders_are_the_library_s_with_its_bounds(edit, comfy):
    known = comfy.module("model_core.motion.editing")
    inputs = {socket.id: socket.as_dict() for socket in edit.define_schema().inputs}
    assert set(known.EDITABLE) <= set(inputs)
    for name in known.EDITABLE:
        for end in ("min", "max"):
            known.ExpressionEdit(**{name: inputs[name][end]})
        with pytest.raises(comfy.module("model_core.errors").InputError):
            known.ExpressionEdit(**{name: inputs[name]["max"] + 0.1})
        assert getattr(known.ExpressionEdit(), name) == inputs[name]["default"]
