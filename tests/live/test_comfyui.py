"""The pack in a real ComfyUI: it imports, explains itself, and every shipped workflow gives frames."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from comfyui_server import PACK, ROOT
from shipped import (
    FRAMES,
    NAMES,
    OFFERED,
    STEPS,
    Workflow,
    driving_size,
    model_size,
    portrait_size,
    saved_video,
)

STABLE = json.loads((ROOT / "tests" / "nodes" / "stable_sockets.json").read_text("utf-8"))

pytestmark = pytest.mark.live


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


def test_workflows_are_offered_as_templates_with_thumbnails(server):
    assert sorted(json.loads(server.get("/workflow_templates"))[PACK]) == OFFERED
    for name in OFFERED:
        for file in (f"{name}.json", f"{name}.jpg"):
            served = server.get(f"/api/workflow_templates/{PACK}/{file}")
            assert served == (ROOT / "workflows" / file).read_bytes()


def test_help_pages_are_served(server):
    for name in STABLE:
        assert server.get(f"/extensions/{PACK}/docs/{name}.md").startswith(b"# ")


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_gives_frames(server, name):
    workflow = Workflow(name)
    run = server.run(workflow.prompt)
    video = saved_video(server, run, workflow).astype(np.float32)
    height, width = portrait_size()
    shapes = {
        "extract_masks": driving_size(),
        "paste_back": (height, 2 * width),
        "signal_fusion": (height, 3 * width + 8),
        "two_models": (height, 2 * width + 4),
    }
    assert video.shape == (FRAMES, *shapes.get(name, (height, width)), 3)
    assert video.std(axis=(1, 2, 3)).min() > 8, "a frame is one flat colour"
    assert np.abs(video[-1] - video[0]).mean() > 0.02, "nothing moves"  # the driver begins near rest
    for animate in workflow.ids("AnimatePortrait") + workflow.ids("SamplerCustomAdvanced"):
        told = [data for data in run.of("progress") if data["node"] == animate]
        values = [data["value"] for data in told]
        assert values == sorted(values)
        assert values[-1] == told[-1]["max"]
        assert values[-1] % STEPS == 0
        assert len(run.of("preview")) >= STEPS


def test_only_what_the_model_animates_is_marked_as_synthetic(server):
    """Masks are measured, not generated."""
    for name in NAMES:
        (made,) = [Workflow(name).prompt[key]["inputs"] for key in Workflow(name).ids("CreatePortraitVideo")]
        assert made["mark_synthetic"] == (name != "extract_masks")


def test_the_long_video_is_sampled_in_several_chunks(server):
    workflow = Workflow("long_video", seed=5)
    run = server.run(workflow.prompt)
    assert run.status == "execution_success", run.error
    (animate,) = workflow.ids("AnimatePortrait")
    (most,) = {data["max"] for data in run.of("progress") if data["node"] == animate}
    assert most > STEPS, "one chunk: the history is never used"


def test_fusion_settings_differ_side_by_side(server):
    workflow = Workflow("signal_fusion")
    video = saved_video(server, server.run(workflow.prompt), workflow).astype(np.float32)
    width = portrait_size()[1]
    parts = [video[:, :, start : start + width] for start in range(0, 3 * (width + 4), width + 4)]
    assert all(np.abs(parts[0] - part).mean() > 0.5 for part in parts[1:])


def test_only_the_face_is_pasted_back(server):
    workflow = Workflow("paste_back")
    workflow.add("SaveImage", images=[workflow.id("ImageStitch"), 0], filename_prefix="frame")
    video = saved_video(server, server.run(workflow.prompt), workflow).astype(np.float32)
    moved = np.abs(video - video[:1]).max(axis=(0, 3))
    width = portrait_size()[1]
    sides = [moved[:, :width].mean(), moved[:, width:].mean()]
    assert max(sides) > 5 * min(sides), "both people move, or nobody does"


@pytest.mark.parametrize("name", ["portrait_animation", "native_sampler"])
def test_frames_also_come_at_the_model_s_size_and_at_a_chosen_one(server, name):
    for size, shape in (("model", model_size()), ("512", (512, 512 * portrait_size()[1] // portrait_size()[0]))):
        workflow = Workflow(name)
        for node in ("AnimatePortrait", "DecodePortrait"):
            workflow.set(node, size=size)
        assert saved_video(server, server.run(workflow.prompt), workflow).shape == (FRAMES, *shape, 3)


def test_the_portrait_is_carried_without_a_model_and_given_to_comfyui_s_sampler(server):
    workflow = Workflow("native_sampler")
    reference, motion = [workflow.id("EncodeReference"), 0], [workflow.id("ParsingMapMotion"), 0]
    carry = workflow.add("VividPortraitsCarryPortrait", reference=reference, motion=motion, size="portrait")
    shown = [workflow.add("PreviewImage", images=carry)]
    shown.append(workflow.add("PreviewImage", images=workflow.add("MaskToImage", mask=[carry[0], 1])))
    workflow.set("PortraitGuider", start_images=carry)
    workflow.set("PortraitSigmas", denoise=0.5)
    run = server.run(workflow.prompt)
    video = saved_video(server, run, workflow)
    assert video.shape == (FRAMES, *portrait_size(), 3)
    assert [len(run.outputs[node]["images"]) for node, _ in shown] == [FRAMES, FRAMES]


def test_the_head_stays_where_only_the_expression_arrives(server):
    """The head of the bundled driver turns; above the brows only what they lift moves else."""
    moved = {}
    for name in ("portrait_animation", "expression_only"):
        workflow = Workflow(name)
        workflow.set("ExampleMedia", frames=20)
        workflow.set("AnimatePortrait", steps=0)
        video = saved_video(server, server.run(workflow.prompt), workflow).astype(np.float32)
        moved[name] = np.abs(video[:, : video.shape[1] // 4] - video[0, : video.shape[1] // 4]).mean()
    assert moved["expression_only"] < 0.65 * moved["portrait_animation"], moved
