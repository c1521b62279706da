"""Videos and pictures as the nodes write them, read back with PyAV and Pillow."""

from __future__ import annotations

import io
import json
import sys
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image

RATE = Fraction(30000, 1001)
HERTZ = 32000


@pytest.fixture(scope="module")
def media(comfy):
    return comfy.module("nodes.media")


@pytest.fixture(scope="module")
def mark(comfy):
    return comfy.module("model_core.video.mark")


@pytest.fixture(scope="module")
def sounding(comfy, tmp_path_factory):
    """Path of two seconds of video with sound."""
    write, audio = comfy.module("model_core.video.write"), comfy.module("model_core.video.audio")
    path = tmp_path_factory.mktemp("media") / "source.mp4"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * HERTZ) / HERTZ).astype(np.float32)
    with write.VideoWriter(path, fps=RATE, sound=audio.Sound(tone[None], HERTZ)) as writer:
        writer.append(np.zeros((60, 32, 48, 3), np.uint8))
    return path


def video(media, images, **settings):
    values = {"fps": 25.0, "mark_synthetic": True, **settings}
    return media.CreatePortraitVideo.execute(images=images, **values).args[0]


def read(file):
    """Rate, pictures, samples per channel, samples per second and metadata of a video."""
    with av.open(file) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        samples = hertz = 0
        if container.streams.audio:
            container.seek(0)
            hertz = container.streams.audio[0].rate
            samples = sum(frame.samples for frame in container.decode(audio=0))
        return SimpleNamespace(
            rate=rate, frames=frames, samples=samples, hertz=hertz, metadata=dict(container.metadata)
        )


@pytest.mark.parametrize("opened", [False, True])
def test_rate_and_sound_of_the_source_are_carried_through(comfy, media, sounding, tmp_path, opened):
    api = sys.modules["comfy_api.latest"]
    source = api.InputImpl.VideoFromFile(io.BytesIO(sounding.read_bytes()) if opened else str(sounding))
    made = video(media, torch.rand(7, 32, 48, 3), source=source)
    components = made.get_components()
    assert components.frame_rate == RATE
    assert components.audio["sample_rate"] == HERTZ
    assert components.audio["waveform"].shape == (1, 1, round(7 / RATE * HERTZ))
    made.save_to(str(tmp_path / "a.mp4"))
    file = read(str(tmp_path / "a.mp4"))
    assert (file.rate, len(file.frames), file.hertz) == (RATE, 7, HERTZ)
    assert file.samples / HERTZ == pytest.approx(7 / RATE, abs=1024 / HERTZ)


def test_a_video_of_tensors_is_a_source_too(comfy, media):
    api = sys.modules["comfy_api.latest"]
    audio = {"waveform": torch.rand(1, 2, 5000), "sample_rate": 8000}
    components = api.Types.VideoComponents(images=torch.rand(9, 8, 8, 3), frame_rate=Fraction(24), audio=audio)
    made = video(media, torch.rand(6, 16, 16, 3), source=api.InputImpl.VideoFromComponents(components))
    carried = made.get_components()
    assert carried.frame_rate == 24
    assert torch.equal(carried.audio["waveform"], audio["waveform"][..., :2000])
    silent = api.Types.VideoComponents(images=torch.rand(9, 8, 8, 3), frame_rate=Fraction(24))
    made = video(media, torch.rand(6, 16, 16, 3), source=api.InputImpl.VideoFromComponents(silent))
    assert made.get_components().audio is None


def test_a_trimmed_video_is_not_read_past_its_object(comfy, media, sounding):
    """Later versions of ComfyUI trim a video by its object alone: the file is longer than what is meant."""
    api = sys.modules["comfy_api.latest"]

    class Trimmed(api.InputImpl.VideoFromFile):
        def get_duration(self):
            return 0.5

        def get_components(self):
            audio = {"waveform": torch.ones(1, 1, HERTZ), "sample_rate": HERTZ}
            return api.Types.VideoComponents(torch.rand(15, 8, 8, 3), RATE, audio)

    made = video(media, torch.rand(3, 16, 16, 3), source=Trimmed(str(sounding)))
    assert made.get_components().audio["waveform"].eq(1).all()


def test_without_a_source_the_rate_is_the_user_s(media):
    made = video(media, torch.rand(2, 8, 8, 3), fps=29.97)
    assert made.get_components().frame_rate == RATE
    assert made.get_components().audio is None


@pytest.mark.parametrize("marked", [True, False])
def test_the_mark_is_written_unless_switched_off(media, mark, tmp_path, marked):
    made = video(media, torch.rand(2, 16, 16, 3), mark_synthetic=marked)
    made.save_to(str(tmp_path / "a.mp4"), metadata={"prompt": {"1": {}}})
    metadata = read(str(tmp_path / "a.mp4")).metadata
    assert json.loads(metadata["prompt"]) == {"1": {}}
    assert metadata.get("DigitalSourceType") == (mark.VALUE if marked else None)
    assert ("comment" in metadata) is marked


@pytest.mark.parametrize(("count", "height", "width", "channels"), [(1, 9, 7, 3), (3, 16, 17, 4)])
def test_odd_sizes_alpha_and_one_frame(media, count, height, width, channels):
    images = torch.linspace(0, 1, count)[:, None, None, None].expand(count, height, width, channels) * 0.6 + 0.2
    made = video(media, images)
    assert made.get_dimensions() == (width, height)
    file = read(made.get_stream_source())
    assert len(file.frames) == count
    assert file.frames[0].shape == (height + height % 2, width + width % 2, 3)
    assert file.frames[-1].mean() / 255 == pytest.approx(float(images[-1].mean()), abs=0.02)


def test_enumerations_and_later_options_of_comfyui_are_taken(media, tmp_path):
    made = video(media, torch.rand(2, 16, 16, 3))
    made.save_to(
        tmp_path / "a.mp4", format=SimpleNamespace(value="mp4"), codec=SimpleNamespace(value="h264"), quality=3
    )
    assert len(read(str(tmp_path / "a.mp4")).frames) == 2
    with pytest.raises(media.bridge.InputError, match="video: webm is not written; choose auto or mp4"):
        made.save_to(str(tmp_path / "a.webm"), format="webm")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 8, 8, 3), "images: is empty"),
        (torch.full((2, 8, 8, 3), torch.nan), "images: NaN or infinite pixels in frame 0, 1"),
    ],
)
def test_frames_that_cannot_be_written_are_named(media, images, message):
    with pytest.raises(media.bridge.InputError, match=message):
        video(media, images)
    with pytest.raises(media.bridge.InputError, match=message):
        media.SavePortraitImages.execute(images=images, filename_prefix="a", mark_synthetic=True)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_are_saved_with_workflow_and_mark(comfy, media, mark, marked, channels):
    images = torch.rand(3, 5, 7, channels)
    node = type("Node", (media.SavePortraitImages,), {})
    node.hidden = SimpleNamespace(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    shown = node.execute(images=images, filename_prefix=f"set{channels}{marked}/a", mark_synthetic=marked).ui
    assert [name for name, _, _ in shown] == ["a_00001_.png", "a_00002_.png", "a_00003_.png"]
    for (name, folder, kind), image in zip(shown, images, strict=True):
        assert kind == "output"
        with Image.open(comfy.models_dir.parent / "output" / folder / name) as file:
            assert np.array_equal(np.asarray(file), (image * 255).round().numpy().astype(np.uint8))
            assert json.loads(file.text["workflow"]) == {"nodes": []}
            assert file.text.get(mark.KEY) == (mark.VALUE if marked else None)


def test_comfyui_s_own_switch_keeps_the_workflow_out(comfy, media, mark, monkeypatch):
    monkeypatch.setattr(sys.modules["comfy.cli_args"].args, "disable_metadata", True)
    node = type("Node", (media.SavePortraitImages,), {})
    node.hidden = SimpleNamespace(prompt={"1": {}}, extra_pnginfo=None)
    shown = node.execute(images=torch.rand(1, 5, 7, 3), filename_prefix="bare/a", mark_synthetic=True).ui
    with Image.open(comfy.models_dir.parent / "output" / "bare" / shown[0][0]) as file:
        assert "prompt" not in file.text
        assert file.text[mark.KEY] == mark.VALUE
