"""The shipped workflows: the file to drop and its API twin are one graph, of nodes and values that exist."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

WORKFLOWS = Path(__file__).parent.parent.parent / "workflows"
NAMES = sorted(path.name for path in WORKFLOWS.glob("*.json"))
NOTES = {"Note", "MarkdownNote"}  # exist in the browser only
# tests/live checks them against the real ComfyUI
HOST_NODES = {
    "ImageFromBatch",
    "ImageStitch",
    "KSamplerSelect",
    "MaskToImage",
    "PreviewImage",
    "RandomNoise",
    "SamplerCustomAdvanced",
    "SaveVideo",
}
# its weights have to be fetched: it cannot run on a bare install
NEEDS_FILES = {"full_size.json"}
FILE_LISTS = {"VividPortraitsLoadPortraitModelFiles"}  # their choices are the files that a machine has
SEEDS = ("seed", "noise_seed")
WIDGETS = {"BOOLEAN", "COMBO", "FLOAT", "INT", "STRING"}


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def as_api(workflow: dict[str, Any]) -> dict[str, Any]:
    """What the browser queues for a UI-format workflow: per node its type, and values or links by input name."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        values, inputs = iter(node["widgets_values"]), {}
        for entry in node["inputs"]:
            value = next(values) if "widget" in entry else None
            if entry["name"] in SEEDS:
                next(values)  # what happens to it after a run: the browser's business
            if entry["link"] is not None:
                value = links[entry["link"]]
            if value is not None:
                inputs[entry["name"]] = value
        assert not list(values), f"{node['type']}: more values than widgets"
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


@pytest.fixture(scope="module")
def schemas(comfy) -> dict[str, Any]:
    return {node.define_schema().node_id: node.define_schema() for node in comfy.nodes.NODES}


def test_there_are_workflows():
    assert NAMES == [
        f"{name}.json"
        for name in (
            "driven_portrait",
            "expression_only",
            "extract_masks",
            "full_size",
            "long_video",
            "native_sampler",
            "paste_back",
            "portrait_animation",
            "signal_fusion",
            "two_models",
        )
    ]
    assert sorted(path.name for path in (WORKFLOWS / "api").glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_files_are_the_same_graph(name):
    twin = {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]}
        for key, node in read(WORKFLOWS / "api" / name).items()
    }
    assert as_api(read(WORKFLOWS / name)) == twin


@pytest.mark.parametrize("name", NAMES)
def test_links_fit_both_ends(name):
    workflow = read(WORKFLOWS / name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) <= workflow["last_node_id"]
    for link, source, slot, target, entry, kind in workflow["links"]:
        assert link <= workflow["last_link_id"]
        assert link in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][entry]["link"] == link
        assert nodes[source]["outputs"][slot]["type"] == nodes[target]["inputs"][entry]["type"] == kind
    counts = Counter(link[0] for link in workflow["links"])
    assert set(counts.values()) <= {1}


@pytest.mark.parametrize("name", NAMES)
def test_only_nodes_and_values_that_exist(schemas, name):
    for node in read(WORKFLOWS / "api" / name).values():
        kind, values = node["class_type"], node["inputs"]
        if kind not in schemas:
            assert kind in HOST_NODES
            continue
        known = {socket.id: socket for socket in schemas[kind].inputs}
        assert set(values) <= set(known), kind
        assert {key for key, socket in known.items() if not socket.options.get("optional")} <= set(values), kind
        widgets = {key for key, socket in known.items() if socket.kind in WIDGETS}
        assert widgets <= set(values), f"{kind}: left to a default that may change"
        for key, value in values.items():
            is_file = key == "model" or (kind in FILE_LISTS and "/" in str(value))
            if not isinstance(value, list) and not is_file:
                assert is_allowed(value, known[key]), (kind, key, value)


@pytest.mark.parametrize("name", NAMES)
def test_links_are_of_the_types_that_the_nodes_have(schemas, name):
    for node in read(WORKFLOWS / name)["nodes"]:
        schema = schemas.get(node["type"])
        if schema is None:
            continue
        known = {socket.id: socket.kind for socket in schema.inputs}
        assert {entry["name"]: entry["type"] for entry in node["inputs"]} == known
        assert [(out["name"], out["type"]) for out in node["outputs"]] == [(o.name, o.kind) for o in schema.outputs]


def is_allowed(value: Any, socket: Any) -> bool:
    options = socket.options
    if socket.kind == "COMBO":
        return value in options["options"]
    if socket.kind in ("INT", "FLOAT"):
        return options["min"] <= value <= options["max"]
    return isinstance(value, bool if socket.kind == "BOOLEAN" else str)


@pytest.mark.parametrize("name", sorted(set(NAMES) - NEEDS_FILES))
def test_runs_on_a_bare_install(name):
    """Pictures come from our own node, the model is one that ships."""
    nodes = list(read(WORKFLOWS / "api" / name).values())
    assert not [node for node in nodes if node["class_type"] in ("LoadImage", "LoadVideo")]
    assets = WORKFLOWS.parent / "model_core" / "assets"
    for node in nodes:
        if node["class_type"] == "VividPortraitsLoadPortraitModel":
            assert (assets / f"{node['inputs']['model']}.safetensors").is_file()
        if node["class_type"] == "VividPortraitsExampleMedia":
            assert (assets / "demo_portrait.png").is_file()
            assert (assets / "demo_driving.mp4").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_models_that_have_to_be_fetched_are_named(name):
    """ComfyUI's missing-models dialog reads it; a bundled model has to be named nowhere."""
    assets = WORKFLOWS.parent / "model_core" / "assets"
    for node in read(WORKFLOWS / name)["nodes"]:
        if node["type"] == "VividPortraitsLoadPortraitModel":
            model, named = node["widgets_values"][0], node["properties"]["models"]
            bundled = (assets / f"{model}.safetensors").is_file()
            assert [entry["name"] for entry in named] == ([] if bundled else [model])
            assert all({"url", "directory"} <= set(entry) for entry in named)
        if node["type"] in FILE_LISTS:
            files = [value for value in node["widgets_values"] if "/" in value]
            assert [f"{entry['directory']}/{entry['name']}" for entry in node["properties"]["models"]] == files
            assert all(entry["url"].startswith("https://huggingface.co/") for entry in node["properties"]["models"])


@pytest.mark.parametrize("name", NAMES)
def test_the_video_takes_rate_and_sound_from_the_driving_clip(name):
    nodes = read(WORKFLOWS / "api" / name)
    for node in nodes.values():
        if node["class_type"] == "SaveVideo":
            made = nodes[node["inputs"]["video"][0]]
            assert made["class_type"] == "VividPortraitsCreatePortraitVideo"
            source, output = made["inputs"]["source"]
            assert (nodes[source]["class_type"], output) == ("VividPortraitsExampleMedia", 2)


@pytest.mark.parametrize("name", NAMES)
def test_a_note_says_what_it_is_for(name):
    notes = [node for node in read(WORKFLOWS / name)["nodes"] if node["type"] in NOTES]
    assert notes
    for note in notes:
        assert note["title"]
        assert len(note["widgets_values"][0]) > 100


@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_laid_out_without_overlap_and_inside_a_group(name):
    workflow = read(WORKFLOWS / name)
    boxes = [(*node["pos"], *node["size"]) for node in workflow["nodes"]]
    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[:index]:
            apart = (
                x >= other_x + other_width
                or other_x >= x + width
                or y >= other_y + other_height + 30  # a node's title is above its place
                or other_y >= y + height + 30
            )
            assert apart, (x, y, other_x, other_y)
        groups = [group["bounding"] for group in workflow["groups"]]
        assert any(gx <= x and gy <= y and x + width <= gx + gw and y + height <= gy + gh for gx, gy, gw, gh in groups)


@pytest.mark.parametrize("name", NAMES)
def test_workflows_sample_as_the_model_says(name):
    found = [node["inputs"] for node in read(WORKFLOWS / "api" / name).values()]
    assert {inputs["steps"] for inputs in found if "steps" in inputs} <= {-1}
    assert {inputs["scheduler"] for inputs in found if "scheduler" in inputs} <= {"auto"}
