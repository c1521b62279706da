"""Animate Portrait Video in a real ComfyUI whose process is killed in the middle of it, and started again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import av
import pytest
from comfyui_server import ROOT, Server, running_server

ASSETS = ROOT / "model_core" / "assets"

pytestmark = pytest.mark.live


def workflow(*, seed: int = 0, paste: str = "driving") -> dict[str, Any]:
    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    return {
        "model": node("VividPortraitsLoadPortraitModel", model="vivid-avatars", dtype="auto"),
        "analyzer": node("VividPortraitsLoadFaceAnalyzer", backend="mediapipe"),
        "media": node("VividPortraitsExampleMedia", which="demo", frames=1),
        "video": node("LoadVideo", file="driver's clip.mp4"),
        "windows": node(
            "VividPortraitsCyclicOverlapWindows", length=8, overlap=2, cyclic=True, preview_frames=8, preview_steps=2
        ),
        "history": node("VividPortraitsHistoryFrames", frames=1, chunk=8),
        "animate": node(
            "VividPortraitsAnimatePortraitVideo",
            model=["model", 0],
            analyzer=["analyzer", 0],
            image=["media", 0],
            video=["video", 0],
            windows=["windows", 0],
            history=["history", 0],
            seed=seed,
            steps=2,
            scheduler="ddim",
            paste=paste,
            filename_prefix="long/portrait",
        ),
        "save": node("SaveVideo", video=["animate", 0], filename_prefix="again", format="auto", codec="auto"),
    }


def made(server: Server, run: Any) -> Path:
    assert run.status == "execution_success", f"{run.error}\n{server.log[-3000:]}"
    (shown,) = run.outputs["animate"]["images"]
    assert len(server.get("/view", **{key: shown[key] for key in ("filename", "subfolder", "type")})) > 1000
    return server.base / "output" / shown["subfolder"] / shown["filename"]


def pictures(path: Path) -> tuple[int, int, int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), stream.width, stream.height


def test_a_killed_server_goes_on_where_it_was(tmp_path):
    (tmp_path / "input").mkdir()
    shutil.copyfile(ASSETS / "demo_driving.mp4", tmp_path / "input" / "driver's clip.mp4")
    with running_server(tmp_path) as server:
        video = made(server, server.run(workflow()))
        undisturbed = video.read_bytes()
        frames, width, height = pictures(ASSETS / "demo_driving.mp4")
        assert pictures(video) == (frames, width, height)
        assert pictures(next((tmp_path / "output").glob("again*"))) == (frames, width, height)
        video.unlink()
    with running_server(tmp_path) as server:
        server.queue(workflow())
        state = video.with_name(video.name + ".job") / "state.safetensors"
        deadline = time.monotonic() + 240
        while not state.exists():
            assert time.monotonic() < deadline, server.log[-3000:]
            time.sleep(0.02)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    assert not video.exists()
    with running_server(tmp_path) as server:
        assert made(server, server.run(workflow())) == video
        assert re.search(r"going on: \d+ of \d+ chunks are finished", server.log)
        assert same_pictures(video.read_bytes(), undisturbed, tmp_path)
        assert [path.name for path in video.parent.iterdir()] == [video.name]


def same_pictures(first: bytes, second: bytes, folder: Path) -> bool:
    """Frame for frame; the files themselves also hold the workflow, which names the queue's own ids."""
    decoded = []
    for number, content in enumerate((first, second)):
        path = folder / f"compared{number}.mp4"
        path.write_bytes(content)
        with av.open(str(path)) as container:
            decoded.append([frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)])
    return decoded[0] == decoded[1]
