"""Faces, motion, media and evaluation in the real ComfyUI: graphs of a few nodes each, no portrait model."""

from __future__ import annotations

import io
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

ASSETS = Path(__file__).parent.parent.parent / "model_core" / "assets"
FRAMES = 6
RATE = Fraction(30000, 1001)
HERTZ = 44100
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

pytestmark = pytest.mark.live


class Graph:
    """A prompt, node by node."""

    def __init__(self) -> None:
        self.prompt: dict[str, Any] = {}
        self.media = self.add("VividPortraitsExampleMedia", which="demo", frames=FRAMES)
        self.analyzer = [self.add("VividPortraitsLoadFaceAnalyzer", backend="mediapipe"), 0]
        self.reference, self.driving = [self.media, 0], [self.media, 1]

    def add(self, kind: str, **inputs: Any) -> str:
        key = str(len(self.prompt) + 1)
        self.prompt[key] = {"class_type": kind, "inputs": inputs}
        return key

    def analyze(self, images: list[Any], **settings: Any) -> str:
        values = {"face_index": 0, "max_gap": 5, "smoothing": False, "missing": "interpolate", **settings}
        return self.add("VividPortraitsAnalyzeFaces", analyzer=self.analyzer, images=images, **values)

    def show(self, images: list[Any]) -> str:
        return self.add("PreviewImage", images=images)


def pictures(server: Any, run: Any, node: str) -> list[Image.Image]:
    assert run.status == "execution_success", f"{run.error}\n{server.log[-3000:]}"
    return [Image.open(io.BytesIO(fetch(server, file))) for file in run.outputs[node]["images"]]


def fetch(server: Any, file: dict[str, str]) -> bytes:
    return bytes(server.get("/view", **{key: file[key] for key in ("filename", "subfolder", "type")}))


@pytest.fixture(scope="module")
def clip_with_sound(server: Any) -> str:
    """A clip in ComfyUI's input folder: 20 frames at an NTSC rate, and two seconds of sound."""
    path = server.log_path.parent / "input" / "with_sound.mp4"
    tone = 0.4 * np.sin(2 * np.pi * 330 * np.arange(2 * HERTZ) / HERTZ).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("aac", rate=HERTZ, layout="stereo")
        for number in range(20):
            pixels = np.full((64, 96, 3), 10 * number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = HERTZ, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path.name


def test_faces_are_analysed_masked_cropped_and_pasted_back(server):
    graph = Graph()
    faces = graph.analyze(graph.driving)
    large = graph.add(
        "ImageScale", image=graph.driving, upscale_method="bilinear", width=301, height=203, crop="center"
    )
    large_faces = graph.analyze([large, 0])
    crop = graph.add("VividPortraitsCropFace", images=[large_faces, 4], track=[large_faces, 0], margin=0.4, size=97)
    parts = dict.fromkeys(("brows", "eyes", "irises", "nose", "lips", "inner_mouth", "face"), True)
    mask = graph.add("VividPortraitsFaceRegionMask", track=[crop, 2], grow=-2, feather=3.0, **parts)
    inverted = graph.add("ImageInvert", image=[crop, 0])
    paste = graph.add(
        "VividPortraitsPasteFaceBack",
        images=[inverted, 0],
        target=[large, 0],
        crop=[crop, 1],
        mask=[mask, 0],
        feather=0.1,
        match_colour=False,
    )
    text = graph.add("PreviewAny", source=[faces, 2])
    shown = {
        name: graph.show(source)
        for name, source in {
            "preview": [faces, 1],
            "plot": [faces, 3],
            "large": [large, 0],
            "crop": [crop, 0],
            "pasted": [paste, 0],
        }.items()
    }
    run = server.run(graph.prompt)
    got = {name: pictures(server, run, node) for name, node in shown.items()}
    assert [len(got[name]) for name in ("preview", "plot", "crop", "pasted")] == [FRAMES, 1, FRAMES, FRAMES]
    assert got["crop"][0].size == (97, 97)
    (report,) = run.outputs[text]["text"]
    assert f"{FRAMES} frame(s)" in report
    assert "confidence: mean" in report
    before, after = (np.asarray(got[name][0].convert("RGB")).astype(int) for name in ("large", "pasted"))
    changed = np.abs(before - after).max(axis=-1) > 0
    assert 0.02 < changed.mean() < 0.5
    assert not changed[:, :8].any()


def test_masked_frames_lie_on_the_reference_s_face(server):
    graph = Graph()
    faces, portrait = graph.analyze(graph.driving), graph.analyze(graph.reference)
    motion = graph.add(
        "VividPortraitsMaskedFramesMotion",
        driving=[faces, 0],
        images=[faces, 4],
        reference=[portrait, 0],
        alignment="relative",
        width=128,
        height=96,
    )
    shown = graph.show([motion, 1])
    frames = pictures(server, server.run(graph.prompt), shown)
    assert [frame.size for frame in frames] == [(128, 96)] * FRAMES
    black = (np.stack([np.asarray(frame.convert("RGB")) for frame in frames]) == 0).all(axis=-1).mean()
    assert 0.5 < black < 0.99


@pytest.mark.parametrize("mark", [True, False])
def test_a_video_carries_rate_sound_and_mark(server, clip_with_sound, mark):
    graph = Graph()
    source = graph.add("LoadVideo", file=clip_with_sound)
    odd = graph.add("ImageScale", image=graph.driving, upscale_method="area", width=127, height=95, crop="disabled")
    video = graph.add(
        "VividPortraitsCreatePortraitVideo", images=[odd, 0], source=[source, 0], fps=10.0, mark_synthetic=mark
    )
    saved = graph.add("SaveVideo", video=[video, 0], filename_prefix="video/marked", format="auto", codec="auto")
    parts = graph.add("GetVideoComponents", video=[video, 0])
    shown = graph.show([parts, 0])
    run = server.run(graph.prompt)
    assert len(pictures(server, run, shown)) == FRAMES
    with av.open(io.BytesIO(fetch(server, run.outputs[saved]["images"][0]))) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert picture.average_rate == RATE
        assert sound.rate == HERTZ
        assert container.metadata.get("DigitalSourceType") == (SYNTHETIC if mark else None)
        assert set(json.loads(container.metadata["prompt"])) == set(graph.prompt)
        assert sum(1 for _ in container.decode(picture)) == FRAMES
        container.seek(0)
        samples = sum(frame.samples for frame in container.decode(sound))
    assert samples / HERTZ == pytest.approx(FRAMES / RATE, abs=0.03)  # AAC comes in blocks of 1024


def test_pictures_carry_the_mark_and_the_workflow(server):
    graph = Graph()
    saved = graph.add(
        "VividPortraitsSavePortraitImages", images=graph.driving, filename_prefix="frames/a", mark_synthetic=True
    )
    frames = pictures(server, server.run(graph.prompt), saved)
    assert len(frames) == FRAMES
    assert frames[0].text["DigitalSourceType"] == SYNTHETIC
    assert SYNTHETIC in frames[0].text["XML:com.adobe.xmp"]
    assert json.loads(frames[0].text["prompt"]) == graph.prompt


def test_reenactment_is_compared_and_shown(server):
    graph = Graph()
    small = graph.add("ImageScale", image=graph.driving, upscale_method="area", width=200, height=180, crop="disabled")
    compare = graph.add(
        "VividPortraitsCompareReenactment",
        generated=graph.driving,
        driving=[small, 0],
        reference=graph.reference,
        analyzer=graph.analyzer,
        target=graph.driving,
    )
    run = server.run(graph.prompt)
    assert pictures(server, run, compare)[0].size[0] > 400
    (table,) = run.outputs[compare]["text"]
    assert re.search(r"\| PSNR +\| +100\.000", table), table
    assert "a face is found in every frame" in table


def no_face(graph: Graph) -> None:
    blank = graph.add("EmptyImage", width=64, height=64, batch_size=3, color=8421504)
    graph.show([graph.analyze([blank, 0], missing="skip"), 1])


def foreign_track(graph: Graph) -> None:
    faces = graph.analyze(graph.reference)
    crop = graph.add("VividPortraitsCropFace", images=graph.driving, track=[faces, 0], margin=0.5, size=0)
    graph.show([crop, 0])


def other_count(graph: Graph) -> None:
    graph.add(
        "VividPortraitsCompareReenactment",
        generated=graph.driving,
        driving=graph.reference,
        reference=graph.reference,
        analyzer=graph.analyzer,
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_face, r"images: no face found in any of its 3 frame"),
        (foreign_track, r"track: 1 frame\(s\)"),
        (other_count, r"driving: 1 frames, generated has 6"),
    ],
)
def test_bad_input_is_named(server, spoil, message):
    graph = Graph()
    spoil(graph)
    run = server.run(graph.prompt)
    assert run.status == "execution_error"
    assert re.search(message, run.error), run.error
