"""scripts/queue_headless.py as a user runs it, against the real ComfyUI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest
from comfyui_server import ROOT, Server
from shipped import FRAMES, STEPS, Workflow

SCRIPT = ROOT / "scripts" / "queue_headless.py"

pytestmark = pytest.mark.live


def headless(server: Server | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    address = f"127.0.0.1:{server.port if server else 9}"
    command = [sys.executable, SCRIPT, *arguments, "--server", address]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(Workflow("native_sampler").prompt), "utf-8")
    return path


def test_it_follows_the_run_and_saves_the_video(server, tmp_path):
    name = ROOT / "workflows" / "api" / "portrait_animation.json"
    ids = Workflow("portrait_animation")
    settings = [f"{ids.id('ExampleMedia')}.frames={FRAMES}", f"{ids.id('AnimatePortrait')}.steps={STEPS}"]
    settings.append(f"{ids.id('SaveVideo')}.filename_prefix=video/headless")
    done = headless(server, name, "--output", tmp_path / "made", *(f"--set={setting}" for setting in settings))
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "made").iterdir()
    assert made.name.startswith("headless")
    assert str(made) in done.stdout
    assert f"VividPortraitsAnimatePortrait {STEPS}.0 of {STEPS}" in done.stdout
    with av.open(str(made)) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def test_a_refused_workflow_is_told_by_node(server, workflow):
    model = Workflow("native_sampler").id("LoadPortraitModel")
    done = headless(server, workflow, "--set", f"{model}.model=nowhere.safetensors")
    assert done.returncode == 1
    assert "ComfyUI refused the workflow" in done.stderr
    assert f"node {model} (VividPortraitsLoadPortraitModel)" in done.stderr
    assert "'nowhere.safetensors' is not there" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_run_is_told_by_node(server, tmp_path):
    spoiled = Workflow("native_sampler")
    blank = spoiled.add("EmptyImage", width=128, height=128, batch_size=1, color=0)
    spoiled.replace(spoiled.driving, blank)
    path = tmp_path / "spoiled.json"
    path.write_text(json.dumps(spoiled.prompt), "utf-8")
    done = headless(server, path)
    assert done.returncode == 1
    assert "(VividPortraitsAnalyzeFaces): " in done.stderr
    assert "images: no face" in done.stderr


def test_no_server_and_no_such_input_are_told_before_anything_else(workflow):
    done = headless(None, workflow)
    assert done.returncode == 1
    assert "no ComfyUI answers at 127.0.0.1:9" in done.stderr
    done = headless(None, workflow, "--set", "99.seed=1")
    assert "--set 99.seed: the workflow has no such node and input" in done.stderr


def test_it_stays_short():
    assert len(SCRIPT.read_text("utf-8").splitlines()) < 80
