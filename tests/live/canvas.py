"""ComfyUI's page in a headless Chromium: drop a workflow, press Run, see what it shows and what it complains about.

Chromium is looked for in $CHROMIUM, then on the path, then among Playwright's own. A second frontend, newer than the
one that ComfyUI pins, is looked for in $COMFYUI_FRONTEND, then in ``frontend-newest`` beside ComfyUI's checkout: the
unpacked ``comfyui-frontend-package``. Where one is missing, its tests are skipped, and the summary says so.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from comfyui_server import Server, installation

# Nothing outside this machine is looked up: online and offline the page is the same.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # a page whose files come from a folder may not speak to a server otherwise
    "--disable-features=LocalNetworkAccessChecks",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
# What a fresh server without this pack, and a page newer than its server, already complain about.
NOISE = re.compile(
    r"/user\.css$|/favicon\.ico|/api/userdata|/api/settings/|comfy\.org|ERR_NAME_NOT_RESOLVED"
    r"|/api/(global_subgraphs|jobs|features|experiment|assets|workflow_templates/index)|/templates/index"
    r"|jobs ?api|failed to fetch (queue|jobs)|^failed to fetch: 404$",
    re.IGNORECASE,
)
# A help page is looked for under its language's name first.
HELP_PROBE = re.compile(r"^/docs/|/extensions/[^/]+/docs/[^/]+/en\.md$")

NODES_2, NODES_2_SINCE = "Comfy.VueNodes.Enabled", (1, 41)  # before, it is unfinished and shows no videos
GRAPH = """() => app.graph.nodes.map(n => ({
  id: String(n.id), type: n.type, box: [n.pos[0], n.pos[1], n.size[0], n.size[1]],
  known: !!LiteGraph.registered_node_types[n.type], red: !!n.has_errors}))"""
LISTEN = """() => {
  window.told = []
  for (const kind of ['execution_success', 'execution_error', 'execution_interrupted', 'b_preview'])
    app.api.addEventListener(kind, e => window.told.push([kind, e.detail?.exception_message ?? null]))
}"""
SET = """([kind, values]) => {
  for (const node of app.graph.nodes.filter(n => n.type === kind))
    for (const [name, value] of Object.entries(values)) {
      const widget = node.widgets.find(w => w.name === name)
      if (!widget) throw new Error(`${kind} has no widget ${name}`)
      widget.value = value
      widget.callback?.(value)
    }
}"""
SHOWN = """() => ({
  files: Object.fromEntries(Object.entries(app.nodeOutputs).map(([id, out]) =>
    [id, (out?.images ?? []).map(f => f.filename)])),
  pictures: app.graph.nodes.flatMap(n => (n.imgs ?? []).map(i => i.naturalWidth ?? i.videoWidth)),
  videos: [...document.querySelectorAll('video')].map(v => ({ready: v.readyState, width: v.videoWidth,
    error: v.error?.message ?? null}))})"""
SAID = """() => [...document.querySelectorAll('[role=dialog], .p-toast-message')]
  .filter(e => e.getBoundingClientRect().width > 0).map(e => e.innerText.slice(0, 500))"""
FREE_SPOT = """() => {
  const canvas = document.querySelector('#graph-canvas'), box = canvas.getBoundingClientRect()
  for (const y of [.5, .7, .3, .8]) for (const x of [.5, .35, .65, .25, .75]) {
    const spot = [box.left + box.width * x, box.top + box.height * y]
    if (document.elementFromPoint(...spot) === canvas) return spot
  }
}"""


@contextmanager
def launch_chromium() -> Iterator[Any]:
    """Playwright's Browser, headless."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="BROWSER TESTS DID NOT RUN: no playwright")
    with sync_api.sync_playwright() as playwright:
        named = os.environ.get("CHROMIUM")
        installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        program = named or installed or playwright.chromium.executable_path
        if not Path(program).is_file():
            if named:
                pytest.fail(f"CHROMIUM={named} is no file")
            pytest.skip("BROWSER TESTS DID NOT RUN: no Chromium; install one or set CHROMIUM")
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        try:
            yield chromium
        finally:
            chromium.close()


def newest_frontend() -> Path:
    """The folder of the second frontend's page; skips where there is none."""
    named = os.environ.get("COMFYUI_FRONTEND")
    folder = Path(named) if named else installation()[0].parent / "frontend-newest"
    page = next(folder.rglob("index.html"), None) if folder.is_dir() else None
    if page is None:
        if named:
            pytest.fail(f"COMFYUI_FRONTEND={named} holds no index.html")
        pytest.skip(f"NEWEST FRONTEND NOT TESTED: unpack comfyui-frontend-package in {folder} or set COMFYUI_FRONTEND")
    return page.parent


class Canvas:
    """One page. ``complaints`` grows with every error on its console, exception, and refused request.

    Args:
        frontend: folder with the page's own files instead of the server's, as ``--front-end-root`` would serve
            them; the server need not be started a second time for it.
    """

    def __init__(self, browser: Any, server: Server, *, frontend: Path | None = None) -> None:
        self.server = server
        self.complaints: list[str] = []
        self._context = browser.new_context(viewport={"width": 1600, "height": 1000}, locale="en-US")
        if frontend is not None:
            self._context.route(f"{server.url}/**", lambda route: _fulfil(route, frontend))
        self.page = self._context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("response", self._on_response)
        self.page.goto(server.url, timeout=60_000)
        ready = "() => window.app?.graph && window.LiteGraph && app.vueAppReady !== false && app.extensionManager"
        self.page.wait_for_function(ready, timeout=120_000)
        # exceptions of the page's own start-up are not ours
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.evaluate(LISTEN)
        self.page.wait_for_timeout(1500)

    def close(self) -> None:
        self._context.close()

    def _on_console(self, message: Any) -> None:
        where = (message.location or {}).get("url", "")
        # requests that failed come as responses too
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._complain(message.text, where)

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self._complain(f"HTTP {response.status}", response.url)

    def _complain(self, text: str, where: str) -> None:
        path = where.removeprefix(self.server.url)
        if not (NOISE.search(text) or NOISE.search(path) or HELP_PROBE.search(path)):
            self.complaints.append(f"{text} ({path})")

    @property
    def version(self) -> str:
        return str(self.page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__"))

    def draw_nodes_as_pages(self, wanted: bool) -> bool:
        """Switch "Nodes 2.0" on or off; False where the frontend is older than its release."""
        if tuple(map(int, self.version.split(".")[:2])) < NODES_2_SINCE:
            return False
        self.page.evaluate("([name, on]) => app.extensionManager.setting.set(name, on)", [NODES_2, wanted])
        self.page.wait_for_timeout(500)
        return True

    def command(self, name: str) -> None:
        self.page.evaluate("name => app.extensionManager.command.execute(name)", name)

    def drop(self, path: Path, *, nodes: int) -> list[dict[str, Any]]:
        """Drop a file on an empty canvas, as from the desktop; its nodes once all ``nodes`` are there."""
        self.command("Comfy.NewBlankWorkflow")
        self.page.wait_for_function("() => app.graph.nodes.length === 0")
        x, y = self.page.evaluate(FREE_SPOT)
        devtools = self.page.context.new_cdp_session(self.page)
        content = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for step in ("dragEnter", "dragOver", "drop"):
            devtools.send("Input.dispatchDragEvent", {"type": step, "x": x, "y": y, "data": content})
        devtools.detach()
        self.page.wait_for_function("count => app.graph.nodes.length === count", arg=nodes, timeout=30_000)
        self.page.wait_for_timeout(800)  # nodes take their final size, dialogs come
        self.fit()
        return self.nodes()

    def nodes(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate(GRAPH))

    def said(self) -> list[str]:
        """Dialogs and toasts in sight."""
        return list(self.page.evaluate(SAID))

    def set(self, kind: str, **values: Any) -> None:
        """Widgets of all nodes of a type."""
        self.page.evaluate(SET, [kind, values])

    def fit(self) -> None:
        self.command("Comfy.Canvas.FitView")
        self.page.wait_for_timeout(500)

    def run(self, *, limit: float = 240.0) -> tuple[str, str | None]:
        """Press Run and wait; how it ended, and an error's message."""
        self.page.evaluate("() => { window.told = [] }")
        self.page.locator("[data-testid='queue-button']").first.click(timeout=10_000)
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            told = self.page.evaluate("() => window.told.find(([kind]) => kind.startsWith('execution_'))")
            if told:
                self.page.wait_for_timeout(1500)  # pictures and videos come after the last message
                return told[0], told[1]
            if said := self.said():
                return "refused", "; ".join(said)
            self.page.wait_for_timeout(100)
        return "endless", None

    def previews(self) -> int:
        """Latent previews that came in the last run."""
        return int(self.page.evaluate("() => window.told.filter(([kind]) => kind === 'b_preview').length"))

    def shown(self) -> dict[str, Any]:
        """``files`` by node id, widths of the ``pictures`` drawn in nodes, and the ``videos`` that play."""
        return dict(self.page.evaluate(SHOWN))

    def screenshot(self, path: Path, **options: Any) -> Path:
        self.page.screenshot(path=path, **options)
        return path


def _fulfil(route: Any, folder: Path) -> None:
    path = urlsplit(route.request.url).path
    file = folder / (path.lstrip("/") or "index.html")
    if route.request.method == "GET" and not path.startswith(("/api", "/docs")) and file.is_file():
        route.fulfill(path=file)
    else:
        route.continue_()
