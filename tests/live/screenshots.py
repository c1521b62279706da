"""Pictures for the README and the template browser: every shipped workflow, run in full in a real browser.

``make screenshots [ARGS="NAME ..."]`` writes docs/workflow_NAME.jpg (the graph after its run, 1600 pixels wide) and
workflows/NAME.jpg (frames of its result). It needs what the live tests need, and takes minutes.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from canvas import Canvas, launch_chromium
from comfyui_server import ROOT, Server, running_server
from PIL import Image
from shipped import NAMES

WIDTH, MOST_BYTES = 1600, 250_000
SETTINGS = {
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Minimap.Visible": False,
    "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0.1,
}
SET_UP = """settings => Promise.all(Object.entries(settings).map(([k, v]) => app.extensionManager.setting.set(k, v)))"""
# The groups' bounding box at the size that fills the page beside its bars; the picture's place on the page.
FRAME = """width => {
  const boxes = app.graph.groups.map(g => g._bounding ?? g.bounding), [left, top, margin] = [70, 100, 10]
  const ends = [0, 1].map(i => [Math.min(...boxes.map(b => b[i])), Math.max(...boxes.map(b => b[i] + b[i + 2]))])
  const [x, y] = [ends[0][0] - margin, ends[1][0] - margin]
  const size = ends.map(([low, high]) => high - low + 2 * margin)
  const canvas = app.canvas, box = canvas.canvas.getBoundingClientRect()
  canvas.ds.scale = width / size[0]
  canvas.ds.offset[0] = (left - box.left) / canvas.ds.scale - x
  canvas.ds.offset[1] = (top - box.top) / canvas.ds.scale - y
  canvas.deselectAll?.()
  canvas.setDirty(true, true)
  for (const video of document.querySelectorAll('video')) {
    video.controls = false
    video.pause()
    video.currentTime = video.duration / 3
  }
  return {x: left, y: top, width: width, height: size[1] * canvas.ds.scale}
}"""


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server, launch_chromium() as chromium:
        for name in names or NAMES:
            canvas = Canvas(chromium, server)
            canvas.page.evaluate(SET_UP, SETTINGS)
            canvas.page.set_viewport_size({"width": WIDTH + 120, "height": 1700})
            path = ROOT / "workflows" / f"{name}.json"
            canvas.drop(path, nodes=len(json.loads(path.read_text("utf-8"))["nodes"]))
            started = time.monotonic()
            status, message = canvas.run(limit=1800)
            if status != "execution_success":
                raise SystemExit(f"{name}: {status} {message}")
            print(f"{name}: {time.monotonic() - started:.0f} s from click to result, frontend {canvas.version}")
            graph = photograph(canvas)
            save(graph, ROOT / "docs" / f"workflow_{name}.jpg")
            save(thumbnail(result_of(canvas, server)), path.with_suffix(".jpg"))
            canvas.close()


def photograph(canvas: Canvas) -> Image.Image:
    clip = canvas.page.evaluate(FRAME, WIDTH)
    canvas.page.wait_for_timeout(8000)  # newer pages tell for some seconds that the job is done, over the picture
    return Image.open(io.BytesIO(canvas.page.screenshot(clip=clip))).convert("RGB")


def result_of(canvas: Canvas, server: Server) -> np.ndarray:
    """(F, H, W, 3) uint8, the frames of the video that was saved."""
    names = [name for files in canvas.shown()["files"].values() for name in files if name.endswith(".mp4")]
    (file,) = (server.base / "output").rglob(names[-1])
    with av.open(str(file)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def thumbnail(frames: np.ndarray) -> Image.Image:
    """Frames side by side, or above each other where one is wide, about twice as wide as high."""
    _, height, width, _ = frames.shape
    across, down = max(1, round(2 * height / width)), max(1, round(width / height / 2))
    chosen = frames[np.linspace(0, len(frames), across * down, endpoint=False).astype(int)]
    rows = [np.concatenate(list(row), axis=1) for row in chosen.reshape(down, across, *frames.shape[1:])]
    picture = Image.fromarray(np.concatenate(rows, axis=0))
    return picture.resize((768, round(768 * picture.height / picture.width)), Image.Resampling.BICUBIC)


def save(picture: Any, path: Path) -> None:
    """As a JPEG that stays under the limit, at the best quality that does."""
    for quality in range(90, 30, -10):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size < MOST_BYTES:
            break
    print(f"  {path.relative_to(ROOT)}: {picture.width}x{picture.height}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
