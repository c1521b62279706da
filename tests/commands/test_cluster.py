"""The list on a real Ray cluster of two workers, with the bundled model; one worker is killed at its work."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from model_core.cli import main
from model_core.jobs.folder import MARKER
from model_core.models import ASSETS
from model_core.video.read import open_video

FRAMES = 40

pytestmark = pytest.mark.slow


def kill_one_at_work(folder: Path, killed: list[int]) -> None:
    """Wait for a job that has finished a chunk, and kill the process that its folder names."""
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline and not killed:
        for state in folder.glob("*.job/state.safetensors"):
            try:
                process = int((state.parent / MARKER).read_text().split()[-1])
            except (OSError, ValueError, IndexError):
                continue
            os.kill(process, signal.SIGKILL)
            killed.append(process)
            return
        time.sleep(0.01)


def test_a_list_on_two_workers_one_of_which_dies(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray", reason="RAY TEST DID NOT RUN: ray is not installed; pip install 'ray>=2.9'")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    jobs = [
        {"driving": str(ASSETS / "demo_driving.mp4"), "output": str(tmp_path / f"{seed}.mp4"), "seed": seed}
        for seed in range(3)
    ]
    jobs.append({"driving": str(tmp_path / "none.mp4"), "output": str(tmp_path / "none_made.mp4")})
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_at_work, args=(tmp_path, killed))
    killer.start()
    words = ["--reference", str(ASSETS / "demo_portrait.png"), "--frames", str(FRAMES), "--steps", "1", "--window", "8"]
    words += ["--chunk", "8", "--device", "cpu"]
    assert main(["animate", "--batch", str(tmp_path / "jobs.jsonl"), "--ray", *words]) == 1
    killer.join()
    said = capsys.readouterr().out
    assert killed, "no worker was caught at its work"
    assert "3 of 4 videos are finished" in said and "none.mp4" in said.splitlines()[-1]
    assert [open_video(tmp_path / f"{seed}.mp4").frames for seed in range(3)] == [FRAMES] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4", "1.mp4", "2.mp4", "jobs.jsonl"]
    assert "resumed" in said, "the killed worker's job began again instead of going on"


def test_without_ray_the_remedy_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    (tmp_path / "jobs.jsonl").write_text(json.dumps({"reference": "a", "driving": "b", "output": "c.mp4"}))
    assert main(["animate", "--batch", str(tmp_path / "jobs.jsonl"), "--ray"]) == 2
    assert "pip install 'ray" in capsys.readouterr().err
