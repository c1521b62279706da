"""The shipped workflows, API format, cut down to a few frames and steps; and what comes out of them."""

from __future__ import annotations

import io
import json
from typing import Any

import av
import numpy as np
from comfyui_server import ROOT, Run, Server
from PIL import Image

OFFERED = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
NAMES = [name for name in OFFERED if name != "full_size"]  # whose weights no test machine has
FRAMES, STEPS = 6, 2
Link = list[Any]


class Workflow:
    """A shipped workflow, API format, cut down to a few frames and steps."""

    def __init__(self, name: str = "portrait_animation", *, seed: int = 0) -> None:
        self.prompt = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text("utf-8"))
        self.set("ExampleMedia", frames=FRAMES)
        self.set("AnimatePortrait", steps=STEPS, seed=seed)
        self.set("PortraitSigmas", steps=STEPS)
        self.set("RandomNoise", noise_seed=seed)
        self.set("CyclicOverlapWindows", length=4, overlap=1)
        self.set("HistoryFrames", frames=1, chunk=64 if name == "portrait_animation" else 4)

    def ids(self, kind: str) -> list[str]:
        names = (kind, f"VividPortraits{kind}")
        return [key for key, node in self.prompt.items() if node["class_type"] in names]

    def id(self, kind: str) -> str:
        (key,) = self.ids(kind)
        return key

    def set(self, kind: str, **values: Any) -> None:
        for key in self.ids(kind):
            self.prompt[key]["inputs"].update(values)

    def add(self, kind: str, **inputs: Any) -> Link:
        """A node more; its first output."""
        key = f"added_{len(self.prompt)}"
        self.prompt[key] = {"class_type": kind, "inputs": inputs}
        return [key, 0]

    def replace(self, old: Link, new: Link) -> None:
        """Connect what hangs on one output to another."""
        for key, node in self.prompt.items():
            for name, value in node["inputs"].items():
                if value == old and key != new[0]:
                    node["inputs"][name] = new

    @property
    def reference(self) -> Link:
        return [self.id("ExampleMedia"), 0]

    @property
    def driving(self) -> Link:
        return [self.id("ExampleMedia"), 1]


def saved_video(server: Server, run: Run, workflow: Workflow) -> np.ndarray:
    """(F, H, W, 3) uint8 of the file that Save Video wrote."""
    assert run.status == "execution_success", f"{run.error}\n{server.log[-3000:]}"
    (file,) = run.outputs[workflow.id("SaveVideo")]["images"]
    data = server.get("/view", **{key: file[key] for key in ("filename", "subfolder", "type")})
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def portrait_size() -> tuple[int, int]:
    """(height, width) of the bundled portrait, and so of the frames made of it."""
    with Image.open(ROOT / "model_core" / "assets" / "demo_portrait.png") as picture:
        return picture.height, picture.width


def driving_size() -> tuple[int, int]:
    """(height, width) of the bundled driving clip."""
    with av.open(str(ROOT / "model_core" / "assets" / "demo_driving.mp4")) as container:
        return container.streams.video[0].height, container.streams.video[0].width


def model_size() -> tuple[int, int]:
    """(height, width) of the bundled model's frames."""
    content = (ROOT / "model_core" / "assets" / "vivid-avatars.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    height, width = json.loads(header["__metadata__"]["vividportraits.config"])["size"]
    return height, width
