"""Older versions of ComfyUI beside the newest one: the pack imports, and workflows of both ways to sample run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_server import ROOT, checkouts, running_server, version
from shipped import FRAMES, Workflow, portrait_size, saved_video

STABLE = json.loads((ROOT / "tests" / "nodes" / "stable_sockets.json").read_text("utf-8"))
OLDER = checkouts()[1:]

pytestmark = pytest.mark.live


@pytest.mark.parametrize("checkout", OLDER, ids=[".".join(map(str, version(path))) for path in OLDER])
def test_an_older_version_runs_it_too(checkout: Path, tmp_path: Path) -> None:
    with running_server(tmp_path, checkout=checkout) as server:
        assert set(STABLE) <= set(json.loads(server.get("/object_info")))
        for name in ("portrait_animation", "native_sampler", "driven_portrait", "expression_only"):
            workflow = Workflow(name)
            video = saved_video(server, server.run(workflow.prompt), workflow)
            assert video.shape == (FRAMES, *portrait_size(), 3), name
