"""Animate Portrait Video in the double: VIDEO in, a file in the output folder out, going on after Cancel."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from model_core.video.read import open_video
from model_core.video.write import VideoWriter

FRAMES = 14


@pytest.fixture
def analyzer(comfy, square_analyzer):
    """The avatar's analyser, whose detections are of the pack's own class."""
    detection = comfy.module("model_core.faces.analyzer").FaceDetection

    class Analyzer:
        def detect(self, frame):
            return [detection(face.box, face.landmarks, face.confidence) for face in square_analyzer.detect(frame)]

    return Analyzer()


@pytest.fixture
def node(host, hosted_model, analyzer, square_frames, tmp_path):
    """``node(**inputs)``: the file that it made, and what the double was told."""
    with VideoWriter(tmp_path / "driving.mp4", fps=Fraction(25)) as writer:
        writer.append(square_frames(FRAMES))
    kind = host.module("nodes.video").AnimatePortraitVideo
    latest = __import__("sys").modules["comfy_api.latest"]
    history = host.module("nodes.sockets").HistorySettings(frames=1, chunk=4)

    def run(**inputs):
        values = {
            "model": hosted_model,
            "analyzer": analyzer,
            "image": torch.from_numpy(square_frames(1).astype(np.float32) / 255),
            "video": latest.InputImpl.VideoFromFile(str(tmp_path / "driving.mp4")),
            "seed": 0,
            "steps": 1,
            "scheduler": "ddim",
            "paste": "none",
            "filename_prefix": f"{tmp_path.name}/made",
            "history": history,
            **inputs,
        }
        return Path(kind.execute(**values).args[0].file)

    run.kind, run.latest = kind, latest
    return run


def test_a_video_becomes_a_video_of_the_same_length(node, host, hosted_model):
    made = node()
    info = open_video(made)
    assert (info.frames, info.fps, info.size) == (FRAMES, 25, (96, 96))
    assert made.name.startswith("made_") and [path.name for path in made.parent.iterdir()] == [made.name]
    assert host.loaded and host.loaded[0][0] is hosted_model.patcher
    assert len(host.progress) > FRAMES


def test_queued_again_it_is_the_same_file_and_another_seed_is_another(node):
    made = node()
    before = made.stat().st_mtime_ns
    assert node() == made and made.stat().st_mtime_ns == before
    assert node(seed=1) != made
    assert node(steps=-1, scheduler="auto") == node(steps=2, scheduler="ddim"), "the model's own"


def test_cancel_keeps_what_is_finished_and_queueing_again_goes_on(node, host, interrupted, monkeypatch):
    whole = node()
    undisturbed = whole.read_bytes()
    whole.unlink()
    pipeline = host.module("model_core.pipeline")
    finished = pipeline.finished_frames
    begun = []

    def cancelling(model, sampled, finisher, **options):
        begun.append(1)
        yield from finished(model, sampled, finisher, **options)
        host.cancelled = sampled.chunk.start == 3

    monkeypatch.setattr(pipeline, "finished_frames", cancelling)
    with pytest.raises(interrupted):
        node()
    host.cancelled = False
    assert not whole.exists() and whole.with_name(whole.name + ".job").is_dir()
    begun.clear()
    assert node().read_bytes() == undisturbed
    assert len(begun) == 2, "two of four chunks were finished"


@pytest.mark.parametrize("kind", ["bytes", "tensors"])
def test_videos_without_a_file_are_taken_too(node, kind, tmp_path, square_frames):
    if kind == "bytes":
        video = node.latest.InputImpl.VideoFromFile(io.BytesIO((tmp_path / "driving.mp4").read_bytes()))
        assert node(video=video) == node(), "the content tells a job, not the file"
        return

    class Tensors(node.latest.InputImpl.VideoFromComponents):
        def save_to(self, path):
            with VideoWriter(path, fps=Fraction(25)) as writer:
                writer.append(square_frames(5))

    assert open_video(node(video=Tensors(SimpleNamespace()))).frames == 5


def test_the_workflow_is_in_the_file(node, monkeypatch):
    monkeypatch.setattr(node.kind, "hidden", SimpleNamespace(prompt={"1": "x"}, extra_pnginfo={"workflow": {"a": 2}}))
    with av.open(str(node(seed=5))) as container:
        assert json.loads(container.metadata["prompt"]) == {"1": "x"}
        assert json.loads(container.metadata["workflow"]) == {"a": 2}
        assert container.metadata["DigitalSourceType"]


@pytest.mark.parametrize("paste", ["reference", "driving"])
def test_pasted_it_has_the_full_frame(node, paste):
    assert open_video(node(paste=paste)).size == (96, 96)


def test_what_it_cannot_use_is_named(node, host):
    settings = host.module("nodes.sockets").HistorySettings
    earlier = settings(frames=1, chunk=4, images=torch.zeros(1, 3, 32, 32))
    error = host.module("model_core.errors").InputError
    with pytest.raises(error, match="history: has earlier frames"):
        node(history=earlier)
    with pytest.raises(error, match="image: "):
        node(image=torch.full((1, 96, 96, 3), float("nan")))
    with pytest.raises(error, match="steps 60: the scheduler lcm makes at most 50"):
        node(steps=60, scheduler="lcm")


@pytest.mark.parametrize(("size", "side"), [("portrait", 96), ("model", 32), ("512", 512)])
def test_it_has_the_size_that_is_asked_for(node, size, side):
    assert open_video(node(size=size)).size == (side, side)


def test_placing_is_what_the_job_is_told(node, host, monkeypatch):
    jobs, told = host.module("model_core.jobs"), []
    plain = jobs.VideoJob
    monkeypatch.setattr(jobs, "VideoJob", lambda **given: told.append(given["motion"]) or plain(**given))
    calm = host.module("model_core.motion.strength").MotionStrength(mouth=0.5)
    node()
    node(paste="driving", strength=calm, rest_frame=-1)
    node(alignment="absolute", turning="absolute", rest_frame=3)
    assert [(motion.placing, motion.turning, motion.rest_frame) for motion in told] == [
        ("retarget", "relative", 0),
        ("retarget", "absolute", "frontal"),
        ("absolute", "absolute", 0),  # which counts from no frame
    ]
    assert [motion.strength.mouth for motion in told] == [1.0, 0.5, 1.0]
    with pytest.raises(host.module("model_core.errors").InputError, match="strength: alignment relative"):
        node(alignment="relative", strength=calm)


def test_without_steps_it_is_the_carried_portrait_and_another_file(node):
    assert node(steps=0) != node()
