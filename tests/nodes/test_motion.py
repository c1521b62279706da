"""Drawn landmarks as the node gives them, and what connecting the wrong motion says."""

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


@pytest.fixture(scope="module")
def motion(comfy):
    return comfy.module("nodes.motion")


@pytest.fixture(scope="module")
def drawn(motion, make_track):
    def run(**settings):
        choices = {"style": "lines", "alignment": "retarget", "width": 0, "height": 0, **settings}
        return motion.DrawnLandmarksMotion.execute(driving=make_track(3, size=96), **choices).args

    return run


def test_styles_are_kinds_and_shown_side_by_side(drawn):
    signal, shown = drawn()
    assert signal.kind == "drawn_landmarks" and signal.frames.shape == (3, 3, 96, 96)
    assert torch.equal(shown, signal.frames.permute(0, 2, 3, 1))
    signal, shown = drawn(style="head and mouth")
    assert signal.kind == "split_landmarks" and signal.frames.shape == (3, 6, 96, 96)
    assert shown.shape == (3, 96, 192, 3)
    assert torch.equal(shown[:, :, 96:].permute(0, 3, 1, 2), signal.frames[:, 3:])


def test_size_and_place_come_from_the_reference(drawn, make_track):
    reference = make_track(1, size=64)
    signals = {
        alignment: drawn(alignment=alignment, reference=reference)[0]
        for alignment in ("retarget", "relative", "absolute")
    }
    for alignment, signal in signals.items():
        assert signal.frames.shape == (3, 3, 64, 64), alignment
        assert signal.frames.amax(dim=(1, 2, 3)).min() > 0, alignment
    assert drawn(reference=reference, width=128, height=32)[0].frames.shape == (3, 3, 32, 128)


def test_the_default_alignment_is_the_first_choice(motion):
    for node in (motion.DrawnLandmarksMotion, motion.ParsingMapMotion, motion.MaskedFramesMotion):
        (combo,) = (socket for socket in node.define_schema().inputs if socket.id == "alignment")
        assert combo.options["default"] == combo.options["options"][0] == "retarget"
        assert all(choice in combo.options["tooltip"] for choice in combo.options["options"])


@pytest.mark.parametrize("style", ["lines", "head and mouth"])
def test_a_model_of_parsing_maps_refuses_drawn_landmarks_and_names_the_right_node(comfy, hosted_model, drawn, style):
    settings, sockets = comfy.module("nodes.settings"), comfy.module("nodes.sockets")
    reference = sockets.HostedReference(None, hosted_model.model)
    signal, _ = drawn(style=style, width=32, height=32)
    with pytest.raises(settings.bridge.InputError, match="model tiny takes parsing_map; connect Parsing Map Motion"):
        settings.check_fit(hosted_model, reference, signal)


def test_a_parser_s_map_is_what_parsing_map_motion_shows(comfy, motion, make_track):
    labels = comfy.module("model_core.motion.parsing_map").label_map
    from dataclasses import replace

    import numpy as np

    driving = make_track(2, size=96)
    maps = np.stack([labels(points, (96, 96), (96, 96)) for points in driving.landmarks])
    maps[:, :8] = 7  # a bar of nose that no landmark has
    track = replace(driving, label_maps=maps)
    signal, shown = motion.ParsingMapMotion.execute(driving=track, alignment="relative", width=0, height=0).args
    assert signal.kind == "parsing_map" and torch.equal(shown, signal.frames.permute(0, 2, 3, 1))
    green = torch.tensor([0, 176, 0]) / 255.0
    assert torch.allclose(shown[:, 2, 40], green.expand(2, 3), atol=1e-3)


# --- strength and placing ------------------------------------------------------------------------------------

ONES = dict.fromkeys(("head_rotation", "head_translation", "mouth", "eyes", "brows", "gaze"), 1.0)


@pytest.fixture(scope="module")
def strength(comfy):
    def make(parts="everything", **regions):
        return comfy.module("nodes.placing").MotionStrength.execute(parts=parts, **{**ONES, **regions}).args[0]

    return make


def test_parts_that_do_not_arrive_count_as_nothing_and_the_others_keep_their_numbers(comfy, strength):
    known = comfy.module("model_core.motion.strength")
    assert strength() == known.MotionStrength()
    assert strength("expression only", head_rotation=2.0) == known.EXPRESSION_ONLY
    assert strength("head only", gaze=2.0) == known.HEAD_ONLY
    half = strength("expression only", mouth=0.5)
    assert (half.head_rotation, half.mouth, half.eyes) == (0, 0.5, 1)


@pytest.mark.parametrize("kind", ["ParsingMapMotion", "MaskedFramesMotion", "DrawnLandmarksMotion"])
def test_every_motion_node_obeys_strength_turning_and_rest_frame(motion, strength, make_track, kind):
    node = getattr(motion, kind)
    more = {"DrawnLandmarksMotion": {"style": "lines"}, "MaskedFramesMotion": {"images": torch.rand(4, 96, 96, 3)}}
    driving = make_track(4, size=96).take([1, 0, 2, 3])  # frame 1 is the frontal one
    given = {"driving": driving, "reference": make_track(2, size=64).take([1]), **more.get(kind, {})}

    def landmarks(**changes):
        return node.execute(**{**given, "alignment": "retarget", "width": 0, "height": 0, **changes}).args[0].landmarks

    plain = landmarks()
    still = landmarks(strength=strength("expression only"), rest_frame=1)
    assert plain.shape == (4, 478, 3)
    for other in (landmarks(strength=strength("head only")), still, landmarks(rest_frame=1), landmarks(rest_frame=-1)):
        assert abs(other - plain).max() > 0.3
    bridge = abs(still[:, 6, :2] - still[0, 6, :2])  # of the nose, which no expression moves
    assert bridge.max() < 0.05 < abs(plain[:, 6, :2] - plain[0, 6, :2]).max()
    assert abs(landmarks(turning="absolute", rest_frame=1) - landmarks(rest_frame=1)).max() > 0.3


def test_strength_that_cannot_count_is_refused_by_name(drawn, strength, make_track, motion):
    error = motion.bridge.InputError
    with pytest.raises(error, match="strength: counts on the portrait's face; connect .*framed_track to reference"):
        drawn(strength=strength(mouth=0.5))
    for alignment in ("relative", "absolute"):
        with pytest.raises(error, match=f"strength: alignment {alignment} moves the face as a whole"):
            drawn(strength=strength(mouth=0.5), alignment=alignment, reference=make_track(1))
    assert drawn(strength=strength(), alignment="relative", reference=make_track(1))[0].frames.any(), "1 is neutral"
