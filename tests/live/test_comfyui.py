"""The pack in a real ComfyUI: what its users do, over HTTP. One server serves all of it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
PACK = "ComfyUI-VividPortraits"
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
STABLE = json.loads((ROOT / "tests" / "nodes" / "stable_sockets.json").read_text("utf-8"))
FRAMES, STEPS = 6, 2

pytestmark = pytest.mark.live


class Workflow:
    """A shipped workflow, API format, cut down to a few frames and steps."""

    def __init__(self, name: str = "portrait_animation", *, seed: int = 0) -> None:
        self.prompt = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text("utf-8"))
        self.set("ExampleMedia", frames=FRAMES)
        self.set("AnimatePortrait", steps=STEPS, seed=seed)
        self.set("CyclicOverlapWindows", length=4, overlap=1)

    def ids(self, kind: str) -> list[str]:
        names = (kind, f"VividPortraits{kind}")
        return [key for key, node in self.prompt.items() if node["class_type"] in names]

    def set(self, kind: str, **values: Any) -> None:
        for key in self.ids(kind):
            self.prompt[key]["inputs"].update(values)

    def add(self, kind: str, **inputs: Any) -> list[Any]:
        """A node more; its first output."""
        key = f"added_{len(self.prompt)}"
        self.prompt[key] = {"class_type": kind, "inputs": inputs}
        return [key, 0]

    def replace(self, old: list[Any], new: list[Any], *, but: str = "") -> None:
        """Connect what hangs on one output to another."""
        for key, node in self.prompt.items():
            for name, value in node["inputs"].items():
                if value == old and key not in (new[0], but):
                    node["inputs"][name] = new

    @property
    def reference(self) -> list[Any]:
        return [self.ids("ExampleMedia")[0], 0]

    @property
    def driving(self) -> list[Any]:
        return [self.ids("ExampleMedia")[0], 1]


def saved_video(server: Any, run: Any, workflow: Workflow) -> np.ndarray:
    """(F, H, W, 3) uint8 of the file that Save Video wrote."""
    assert run.status == "execution_success", f"{run.error}\n{server.log[-3000:]}"
    (file,) = run.outputs[workflow.ids("SaveVideo")[0]]["images"]
    data = server.get("/view", **{key: file[key] for key in ("filename", "subfolder", "type")})
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def model_size(server: Any) -> tuple[int, int]:
    (path,) = (ROOT / "model_core" / "assets").glob("vivid-avatars.safetensors")
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    return tuple(json.loads(json.loads(header)["__metadata__"]["vividportraits.config"])["size"])


def test_the_pack_imports(server):
    assert not re.findall(r".*(?:IMPORT FAILED|Cannot import|Error while calling comfy_entrypoint).*", server.log)
    assert re.search(rf"[\d.]+ seconds: .*{PACK}", server.log)


def test_object_info_shows_the_stable_nodes_with_tooltips(server):
    known = json.loads(server.get("/object_info"))
    assert {name for name in known if name.startswith("VividPortraits")} == set(STABLE)
    for name, stable in STABLE.items():
        node = known[name]
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        assert {key: value[0] for key, value in inputs.items()} == stable["inputs"], name
        assert [list(pair) for pair in zip(node["output_name"], node["output"], strict=True)] == stable["outputs"], name
        assert node["category"] == stable["category"]
        assert node["description"]
        assert all(value[1].get("tooltip") for value in inputs.values()), name
        assert all(node["output_tooltips"]), name
    models = known["VividPortraitsLoadPortraitModel"]["input"]["required"]["model"][1]["options"]
    assert models[0] == "vivid-avatars"


def test_workflows_are_offered_as_templates(server):
    assert sorted(json.loads(server.get("/workflow_templates"))[PACK]) == WORKFLOWS
    for name in WORKFLOWS:
        served = server.get(f"/api/workflow_templates/{PACK}/{name}.json")
        assert served == (ROOT / "workflows" / f"{name}.json").read_bytes()


def test_help_pages_are_served(server):
    for name in STABLE:
        assert server.get(f"/extensions/{PACK}/docs/{name}.md").startswith(b"# ")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_gives_a_moving_portrait(server, name):
    workflow = Workflow(name)
    run = server.run(workflow.prompt)
    video = saved_video(server, run, workflow).astype(np.float32)
    assert video.shape == (FRAMES, *model_size(server), 3)
    assert video.std(axis=(1, 2, 3)).min() > 8, "a frame is one flat colour"
    assert np.abs(video[-1] - video[0]).mean() > 0.5, "nothing moves"
    (animate,) = workflow.ids("AnimatePortrait")
    told = [data for data in run.of("progress") if data["node"] == animate]
    values = [data["value"] for data in told]
    assert values == sorted(values)
    assert values[-1] == told[-1]["max"] == STEPS
    assert len(set(values)) > STEPS  # more than one window in a step
    assert len(run.of("preview")) >= STEPS


def test_a_changed_guidance_does_not_encode_the_reference_again(server):
    first = Workflow(seed=1)
    assert server.run(first.prompt).status == "execution_success"
    second = Workflow(seed=1)
    second.set("SignalFusion", identity=1.5)
    run = server.run(second.prompt)
    assert run.status == "execution_success", run.error
    again = {second.prompt[key]["class_type"].removeprefix("VividPortraits") for key in run.executed}
    assert again == {"SignalFusion", "AnimatePortrait", "DecodePortrait", "CreateVideo", "SaveVideo"}


def test_one_frame_and_an_odd_size_work(server):
    workflow = Workflow()
    workflow.set("ExampleMedia", frames=1)
    scaled = workflow.add(
        "ImageScale", image=workflow.reference, upscale_method="bilinear", width=203, height=301, crop="disabled"
    )
    workflow.replace(workflow.reference, scaled)
    video = saved_video(server, server.run(workflow.prompt), workflow)
    assert video.shape == (1, *model_size(server), 3)


def test_cancel_stops_and_the_next_run_works(server):
    endless = Workflow(seed=2)
    endless.set("AnimatePortrait", steps=1000, scheduler="ddim")
    run = server.queue(endless.prompt)
    (animate,) = endless.ids("AnimatePortrait")
    run.events.wait(lambda message: message["type"] == "progress" and message["data"]["node"] == animate)
    server.post("/interrupt", {})
    assert server.finish(run, limit=20).status == "execution_interrupted"
    assert max(data["value"] for data in run.of("progress") if data["node"] == animate) < 900
    workflow = Workflow(seed=3)
    assert saved_video(server, server.run(workflow.prompt), workflow).shape[0] == FRAMES


def test_an_impossible_overlap_is_refused_before_anything_runs(server):
    workflow = Workflow()
    workflow.set("CyclicOverlapWindows", length=4, overlap=4)
    for preview in workflow.ids("PreviewImage"):  # ComfyUI would still run what does not need the windows
        del workflow.prompt[preview]
    status, answer = server.post("/prompt", {"prompt": workflow.prompt})
    assert status == 400
    (node,) = workflow.ids("CyclicOverlapWindows")
    errors = answer["node_errors"][node]["errors"]
    assert all("overlap 4 has to be smaller" in error["details"] for error in errors)


def no_face(workflow: Workflow) -> None:
    blank = workflow.add("EmptyImage", width=128, height=128, batch_size=3, color=8421504)
    workflow.replace(workflow.driving, blank)


def alpha(workflow: Workflow) -> None:
    mask = workflow.add("SolidMask", value=1.0, width=64, height=64)
    joined = workflow.add("JoinImageWithAlpha", image=workflow.reference, alpha=mask)
    workflow.replace(workflow.reference, joined)


def too_small(workflow: Workflow) -> None:
    workflow.set("EncodeReference", framing="full")
    small = workflow.add(
        "ImageScale", image=workflow.reference, upscale_method="area", width=40, height=40, crop="disabled"
    )
    del workflow.prompt[workflow.ids("EncodeReference")[0]]["inputs"]["track"]
    workflow.set("EncodeReference", image=small)


def empty_mask(workflow: Workflow) -> None:
    workflow.set("EncodeReference", mask=workflow.add("SolidMask", value=0.0, width=64, height=64))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_face, r"images.*face"),
        (alpha, r"images: has an alpha channel"),
        (too_small, r"image: 40 x 40 pixels"),
        (empty_mask, r"mask: is empty"),
    ],
)
def test_bad_input_is_named_and_leaves_the_server_healthy(server, spoil, message):
    workflow = Workflow()
    spoil(workflow)
    run = server.run(workflow.prompt)
    assert run.status == "execution_error"
    assert re.search(message, run.error), run.error
    assert server.process.poll() is None
    assert json.loads(server.get("/queue"))["queue_running"] == []
