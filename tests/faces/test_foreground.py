from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.errors import InputError
from model_core.faces import foreground
from model_core.faces.foreground import estimate_foreground
from model_core.faces.matting import MattingNetwork
from model_core.images import to_uint8
from model_core.types import Component, FaceTrack, PersonPart

SIZE = 128


def face_track(x: float = 64, y: float = 55, half: float = 20) -> FaceTrack:
    turns = np.arange(478) * (2 * np.pi / 478)
    circle = np.stack([x + half * np.cos(turns), y + 1.25 * half * np.sin(turns), 0 * turns], axis=1)
    box = [x - half, y - 1.25 * half, x + half, y + 1.25 * half]
    return FaceTrack(
        np.float32([box]), circle[None].astype(np.float32), np.ones(1, np.float32), np.ones(1, bool), (SIZE, SIZE)
    )


@pytest.fixture(scope="module")
def portrait() -> tuple[Tensor, np.ndarray]:
    """Skin, dark hair, a red coat on a noisy blue wall; and which pixels are the person."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    rng = np.random.default_rng(0)
    picture = np.float32([40, 60, 160]) + rng.normal(0, 8, (SIZE, SIZE, 3))
    hair = ((columns - 64) / 26) ** 2 + ((rows - 47) / 33) ** 2 < 1
    coat = (rows > 92) & (np.abs(columns - 64) < 24 + (rows - 92) * 0.6)
    neck = (np.abs(columns - 64) < 9) & (rows > 60) & (rows < 100)
    face = ((columns - 64) / 20) ** 2 + ((rows - 55) / 25) ** 2 < 1
    for mask, colour in ((coat, (150, 30, 30)), (hair, (50, 35, 20)), (neck, (220, 175, 150)), (face, (225, 180, 155))):
        picture[mask] = np.float32(colour) + rng.normal(0, 5, (int(mask.sum()), 3))
    image = torch.from_numpy(picture.clip(0, 255)).permute(2, 0, 1)[None].float() / 127.5 - 1
    return image, hair | coat | neck | face


def test_the_person_is_found(portrait: tuple[Tensor, np.ndarray]) -> None:
    image, person = portrait
    mask = estimate_foreground(image, face_track())
    assert mask.shape == (1, 1, SIZE, SIZE) and mask.dtype == torch.float32
    assert 0 <= float(mask.min()) and float(mask.max()) <= 1
    found = mask[0, 0].numpy() > 0.5
    assert (found & person).sum() / (found | person).sum() > 0.9


def test_what_a_parser_labelled_is_the_person(portrait: tuple[Tensor, np.ndarray]) -> None:
    image, person = portrait
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[((columns - 64) / 26) ** 2 + ((rows - 47) / 33) ** 2 < 1] = PersonPart.HAIR
    labels[((columns - 64) / 20) ** 2 + ((rows - 55) / 25) ** 2 < 1] = Component.FACE
    labels[20:40, 100:110] = PersonPart.HAT  # a feather of the wall's colour, which no colour would tell
    track = replace(face_track(), label_maps=labels[None])
    found = estimate_foreground(image, track)[0, 0].numpy() > 0.5
    assert found[22:38, 102:108].all()
    person = person | (labels == PersonPart.HAT)
    assert (found & person).sum() / (found | person).sum() > 0.9


def test_beside_a_parsed_head_there_is_no_person(portrait: tuple[Tensor, np.ndarray]) -> None:
    image = portrait[0].clone()
    image[..., 10:60, 94:104] = image[..., 40:41, 60:61]  # a post of the hair's colour beside the head
    labels = np.zeros((SIZE, SIZE), np.uint8)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels[((columns - 64) / 26) ** 2 + ((rows - 47) / 33) ** 2 < 1] = PersonPart.HAIR
    found = estimate_foreground(image, replace(face_track(), label_maps=labels[None]))[0, 0].numpy()
    assert found[12:58, 99:103].max() < 0.5


def test_it_is_reproducible() -> None:
    # noise, in which GrabCut's colour clusters depend on their random seeds
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, *others = [estimate_foreground(image, face_track()) for _ in range(3)]
    assert all(torch.equal(other, first) for other in others)


def test_large_images_are_handled_small(portrait: tuple[Tensor, np.ndarray]) -> None:
    image, person = portrait
    large = torch.nn.functional.interpolate(image, scale_factor=5.0, mode="nearest")
    track = face_track()
    big_track = FaceTrack(track.boxes * 5, track.landmarks * 5, track.confidence, track.detected, (SIZE * 5, SIZE * 5))
    found = estimate_foreground(large, big_track)[0, 0, ::5, ::5].numpy() > 0.5
    assert (found & person).sum() / (found | person).sum() > 0.9


def test_a_connected_mask_wins(portrait: tuple[Tensor, np.ndarray]) -> None:
    image, _ = portrait
    mask = torch.rand(1, 1, SIZE, SIZE)
    assert torch.equal(estimate_foreground(image, face_track(), mask=mask), mask)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_a_flat_picture_gives_a_mask_around_the_face(value: float) -> None:
    mask = estimate_foreground(torch.full((1, 3, SIZE, SIZE), value), face_track())
    assert torch.isfinite(mask).all() and mask[0, 0, 55, 64] == 1


@pytest.mark.parametrize("track", [face_track(half=300), face_track(x=-5), face_track(y=1000), face_track(half=2)])
def test_faces_at_the_edge_are_no_error(portrait: tuple[Tensor, np.ndarray], track: FaceTrack) -> None:
    assert torch.isfinite(estimate_foreground(portrait[0], track)).all()


def test_bad_input_is_named(portrait: tuple[Tensor, np.ndarray]) -> None:
    image, _ = portrait
    with pytest.raises(InputError, match="NaN"):
        estimate_foreground(torch.full_like(image, torch.nan), face_track())
    with pytest.raises(InputError, match=r"mask: shape \(1, 1, 4, 4\)"):
        estimate_foreground(image, face_track(), mask=torch.ones(1, 1, 4, 4))
    with pytest.raises(InputError, match="the face found in it"):
        estimate_foreground(image[..., :100], face_track())


class Everywhere(MattingNetwork):
    """Sees the person in every pixel."""

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.full_like(pictures[:, :1], 20.0)


class Nowhere(MattingNetwork):
    def forward(self, pictures: Tensor) -> Tensor:
        return torch.full_like(pictures[:, :1], -20.0)


def test_without_a_network_the_guess_is_the_answer(
    portrait: tuple[Tensor, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreground, "bundled_network", lambda: None)
    pixels = to_uint8(portrait[0])[0]
    guess = foreground.first_guess(pixels, face_track().landmarks[0, :, :2])
    np.testing.assert_array_equal(estimate_foreground(portrait[0], face_track())[0, 0].numpy(), guess)


def test_a_network_has_its_say_but_the_face_is_the_person(
    portrait: tuple[Tensor, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreground, "bundled_network", Everywhere)
    assert estimate_foreground(portrait[0], face_track()).min() > 0.99
    monkeypatch.setattr(foreground, "bundled_network", Nowhere)
    found = estimate_foreground(portrait[0], face_track())[0, 0].numpy()
    assert found[40:70, 54:74].min() == 1 and found[:25].max() == 0 and found[100:].max() == 0


def test_labels_hold_whatever_the_network_says(
    portrait: tuple[Tensor, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[15:80, 40:90] = PersonPart.HAIR
    track = replace(face_track(), label_maps=labels[None])
    monkeypatch.setattr(foreground, "bundled_network", Nowhere)
    assert estimate_foreground(portrait[0], track)[0, 0, 17:78, 42:88].min() == 1
    monkeypatch.setattr(foreground, "bundled_network", Everywhere)
    assert estimate_foreground(portrait[0], track)[0, 0, 15:60, :20].max() == 0


def test_a_mask_wins_over_the_network(portrait: tuple[Tensor, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "bundled_network", Nowhere)
    mask = torch.rand(1, 1, SIZE, SIZE)
    assert torch.equal(estimate_foreground(portrait[0], face_track(), mask=mask), mask)
