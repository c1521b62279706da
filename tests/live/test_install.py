"""Installing beside a standing ComfyUI, as ComfyUI-Manager does it: line by line, and nothing there is moved."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from comfyui_server import ROOT, installation

from model_core.faces.mediapipe_backend import REQUIREMENT

pytestmark = pytest.mark.live
LINES = [line for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
LINES.append(REQUIREMENT)  # install.py's, where MediaPipe is not installed
LIST = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps({d.name.lower().replace("_", "-"): [d.version, str(d._path)] for d in found}))
"""
# An OpenCV older than today's, and not the one that newer MediaPipes ask for, as another pack has left it.
OPENCV = ("opencv-python", "4.10.0.84")


def run(*command: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0 or not check, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An environment that looks like ComfyUI's own before this pack: its Python, and its packages' versions."""
    _, python = installation()
    packages = json.loads(run(python, "-c", LIST).stdout)
    ours = {re.split("[>=]", line)[0] for line in LINES}
    folder = tmp_path_factory.mktemp("standing") / "venv"
    run(python, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    kept = {name: entry for name, entry in packages.items() if name not in ours and not name.startswith("opencv")}
    for _, path in kept.values():  # what a package says of itself is all that pip's resolver reads
        (site / Path(path).name).symlink_to(path)
    name, version = OPENCV
    fake = site / f"{name.replace('-', '_')}-{version}.dist-info"
    fake.mkdir()
    (fake / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    return folder / "bin" / "python", {name: version for name, (version, _) in kept.items()} | dict([OPENCV])


def resolved(python: Path, *wanted: str) -> dict[str, str]:
    """What pip would install for ``wanted``: versions by name. Skips where no package index has it."""
    pip = (installation()[1], "-m", "pip", "--python", python, "install", "--dry-run", "--quiet", "--report", "-")
    done = run(*pip, *wanted, check=False)
    offline = r"No matching distribution found|connection|name resolution"
    if done.returncode != 0 and re.search(offline, done.stderr, re.IGNORECASE):
        pytest.skip(f"INSTALL TEST DID NOT RUN: no package index that has {wanted}: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout[done.stdout.index("{") :])
    return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in report["install"]}


def moved(wanted: dict[str, str], packages: dict[str, str]) -> dict[str, str]:
    return {name: f"{packages[name]} to {version}" for name, version in wanted.items() if name in packages}


@pytest.mark.parametrize("line", LINES)
def test_a_requirement_moves_nothing_that_stands(standing, line):
    python, packages = standing
    assert {"torch", "torchvision", "numpy", "transformers", "av"} <= set(packages)
    wanted = resolved(python, line)
    assert re.split("[>=]", line)[0] in wanted, "it stands already: nothing is tested"
    assert not moved(wanted, packages)
    assert not {name for name in wanted if name.startswith(("torch", "opencv", "onnxruntime", "nvidia"))}


def test_facer_replaces_no_torch_where_torchvision_stands(standing):
    python, packages = standing
    wanted = resolved(python, "pyfacer==0.0.5")
    assert "pyfacer" in wanted
    assert not {name for name in wanted if name.startswith(("torch", "nvidia", "numpy"))}
    assert not moved(wanted, packages)


def test_facer_as_the_help_page_says_adds_no_second_opencv(standing):
    python, packages = standing
    page = (ROOT / "web" / "docs" / "VividPortraitsLoadFaceAnalyzer.md").read_text("utf-8")
    (needed,) = re.findall(r"^pip install (timm .*)$", page, re.MULTILINE)
    wanted = resolved(python, *needed.split())
    assert {"validators", "scikit-image"} <= {*wanted, *packages}
    assert not moved(wanted, packages)
    assert not {name for name in wanted if name.startswith(("torch", "opencv", "nvidia"))}
