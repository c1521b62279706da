"""The pack in a real browser: what a user sees who drags a workflow onto the canvas. Slow, so few and broad tests."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from canvas import Canvas, newest_frontend
from comfyui_server import PACK, ROOT, Server
from shipped import NAMES, STEPS

pytestmark = pytest.mark.live
# other lengths than elsewhere: what ComfyUI has in its cache would not run
FRAMES = {"pinned": 5, "newest": 7, "Nodes 2.0": 6}


@pytest.fixture(scope="module", params=list(FRAMES))
def canvas(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Canvas]:
    opened = Canvas(browser, server, frontend=newest_frontend() if request.param == "newest" else None)
    opened.frames = FRAMES[request.param]
    if request.param == "Nodes 2.0" and not opened.draw_nodes_as_pages(True):
        opened.close()
        pytest.skip("NODES 2.0 NOT TESTED: this frontend is older")
    yield opened
    if request.param == "Nodes 2.0":
        opened.draw_nodes_as_pages(False)  # the server remembers it
    opened.close()


def cut_down(canvas: Canvas, types: set[str]) -> None:
    wanted = {
        "VividPortraitsExampleMedia": {"frames": canvas.frames},
        "VividPortraitsAnimatePortrait": {"steps": STEPS},
        "VividPortraitsPortraitSigmas": {"steps": STEPS},
        "VividPortraitsCyclicOverlapWindows": {"length": 4, "overlap": 1},
    }
    for kind in types & set(wanted):
        canvas.set(kind, **wanted[kind])


def overlapping(nodes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    def apart(a: list[float], b: list[float]) -> bool:
        return a[0] >= b[0] + b[2] or b[0] >= a[0] + a[2] or a[1] >= b[1] + b[3] or b[1] >= a[1] + a[3]

    title = 30  # above a node's place
    boxes = [(node["type"], [x, y - title, w, h + title]) for node in nodes for x, y, w, h in [node["box"]]]
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if not apart(a, b)]


@pytest.mark.parametrize("name", NAMES)
def test_a_dropped_workflow_loads_runs_and_shows_its_result(canvas, name, tmp_path):
    path = ROOT / "workflows" / f"{name}.json"
    types = Counter(node["type"] for node in json.loads(path.read_text("utf-8"))["nodes"])
    canvas.complaints.clear()

    nodes = canvas.drop(path, nodes=types.total())
    canvas.screenshot(tmp_path / "loaded.png")
    assert Counter(node["type"] for node in nodes) == types
    assert [node["type"] for node in nodes if not node["known"] or node["red"]] == []
    assert canvas.said() == []
    assert overlapping(nodes) == []

    cut_down(canvas, set(types))
    status, message = canvas.run()
    canvas.fit()
    canvas.screenshot(tmp_path / "result.png")
    assert status == "execution_success", message
    shown = canvas.shown()
    (saver,) = [node["id"] for node in nodes if node["type"] == "SaveVideo"]
    assert [Path(file).suffix for file in shown["files"][saver]] == [".mp4"]
    assert shown["videos"], "no player"
    assert [video for video in shown["videos"] if video["error"] or not video["width"]] == []
    assert 0 not in shown["pictures"]
    assert overlapping(canvas.nodes()) == []
    assert canvas.complaints == []


def test_templates_show_with_their_thumbnails(canvas, tmp_path):
    canvas.complaints.clear()
    page = canvas.page
    canvas.command("Comfy.BrowseTemplates")
    dialog = page.locator("[role=dialog]").first
    dialog.wait_for()
    entry = dialog.get_by_text(re.compile(rf"^\s*{PACK}\s*$", re.I))
    page.wait_for_timeout(1500)
    if not entry.count():  # newer pages fold packs
        dialog.get_by_text("Extensions", exact=True).first.click()
        page.wait_for_timeout(500)
    entry.first.click()
    for name in NAMES:
        card = page.locator(f"[data-testid='template-workflow-{name}']")
        card.wait_for()
        card.scroll_into_view_if_needed()
        loaded = "card => [...card.querySelectorAll('img')].some(i => i.complete && i.naturalWidth > 0)"
        page.wait_for_function(loaded, arg=card.element_handle(), timeout=10_000)
    canvas.screenshot(tmp_path / "templates.png")
    page.locator(f"[data-testid='template-workflow-{NAMES[0]}']").click()
    page.wait_for_function("kinds => kinds === app.graph.nodes.length", arg=node_count(NAMES[0]), timeout=20_000)
    assert canvas.complaints == []


def test_a_help_page_opens(canvas, tmp_path):
    name = "VividPortraitsAnalyzeFaces"
    canvas.drop(ROOT / "workflows" / "portrait_animation.json", nodes=node_count("portrait_animation"))
    canvas.complaints.clear()
    canvas.page.evaluate(
        "kind => { const node = app.graph.nodes.find(n => n.type === kind); app.canvas.selectNode(node); "
        "app.canvas.setDirty(true, true) }",
        name,
    )
    button = canvas.page.locator(
        "[data-testid='info-button'], .selection-toolbox .help-button, [data-testid='node-info-button']"
    ).first
    button.click(timeout=10_000)
    page = (ROOT / "web" / "docs" / f"{name}.md").read_text("utf-8")
    sentence = re.sub(r"[*`_]", "", page.split("\n\n")[1].splitlines()[0])[:40]
    canvas.page.get_by_text(sentence).first.wait_for(timeout=10_000)
    canvas.screenshot(tmp_path / "help.png")
    assert canvas.complaints == []


def node_count(name: str) -> int:
    return len(json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))["nodes"])
