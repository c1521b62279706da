"""One real ComfyUI server with this repository as a node pack, and one browser, for all live tests.

``make test`` hands everything in this folder to one worker (tests/conftest.py), so that both start once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canvas import launch_chromium
from comfyui_server import Server, running_server

from model_core.models import ASSETS


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--extra-model-paths-config", str(_shelf(tmp_path_factory.mktemp("shelf"))))
    with running_server(tmp_path_factory.mktemp("comfyui"), traps=True, flags=flags) as started:
        yield started


def _shelf(folder: Path) -> Path:
    """A folder of models outside of ComfyUI, and the extra_model_paths.yaml that names it."""
    (folder / "from_the_shelf.safetensors").symlink_to(ASSETS / "vivid-avatars.safetensors")
    named = folder / "extra_model_paths.yaml"
    named.write_text(f"shelf:\n  portraits: {folder}\n", "utf-8")
    return named


@pytest.fixture(scope="session")
def browser(server: Server) -> Iterator[Any]:
    with launch_chromium() as chromium:
        yield chromium
