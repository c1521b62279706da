"""Which pixels of a portrait count as the person: a connected mask, else its alpha channel, else an estimate."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def foregrounds(comfy, monkeypatch):
    """What Encode Reference hands to the library as foreground, one entry for each run."""
    pipeline, seen = comfy.module("model_core.pipeline"), []
    encode = pipeline.encode_reference

    def watched(*args, foreground, **options):
        seen.append(foreground)
        return encode(*args, foreground=foreground, **options)

    monkeypatch.setattr(pipeline, "encode_reference", watched)
    return seen


@pytest.fixture(scope="module")
def encode(comfy, hosted_model):
    node = comfy.module("nodes.reference").EncodeReference
    return lambda image, **options: node.execute(model=hosted_model, image=image, framing="full", **options)


@pytest.fixture
def cut_out():
    image = torch.rand(1, 70, 64, 4)
    image[..., 3] = 0
    image[:, 20:, 10:50, 3] = 0.75
    return image


def test_the_alpha_channel_is_the_mask_where_none_is_connected(encode, foregrounds, cut_out):
    encode(cut_out)
    assert torch.equal(foregrounds[0][0, 0], cut_out[0, ..., 3])


def test_the_alpha_channel_wins_over_an_estimate(comfy, encode, foregrounds, cut_out, make_track):
    face = make_track(1)
    track = comfy.module("model_core.types").FaceTrack(
        face.boxes, face.landmarks, face.confidence, face.detected, (70, 64)
    )
    encode(cut_out, track=track)
    encode(cut_out[..., :3], track=track)
    given, estimated = foregrounds
    assert torch.equal(given[0, 0], cut_out[0, ..., 3])
    assert not torch.equal(given, estimated)


def test_a_connected_mask_wins_whatever_its_size(encode, foregrounds, cut_out):
    mask = torch.zeros(1, 35, 16)
    mask[:, :, 8:] = 1
    encode(cut_out, mask=mask)
    assert foregrounds[0].shape == (1, 1, 70, 64)
    assert foregrounds[0][..., :30].max() < 0.05 < 0.95 < foregrounds[0][..., 34:].min()


def test_an_opaque_alpha_channel_says_nothing(encode, foregrounds, cut_out):
    cut_out[..., 3] = 1
    encode(cut_out)
    assert foregrounds == [None]
