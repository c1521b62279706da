"""One real ComfyUI server with this repository as a node pack, and one browser, for all live tests.

``make test`` hands everything in this folder to one worker (tests/conftest.py), so that both start once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from canvas import launch_chromium
from comfyui_server import Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("comfyui"), traps=True) as started:
        yield started


@pytest.fixture(scope="session")
def browser(server: Server) -> Iterator[Any]:
    with launch_chromium() as chromium:
        yield chromium
