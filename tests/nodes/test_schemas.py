"""What a saved workflow relies on: node ids, sockets and their types. They grow; they do not change."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

HELP = Path(__file__).parent.parent.parent / "web" / "docs"
STABLE = json.loads(Path(__file__).with_name("stable_sockets.json").read_text("utf-8"))
HOST_SOCKETS = {"missing_frame_fallback", "num_faces"}
"""Of ComfyUI's own nodes, which help pages name too."""


def sockets(schema: Any) -> dict[str, Any]:
    return {
        "category": schema.category,
        "inputs": {socket.id: socket.kind for socket in schema.inputs},
        "outputs": [[socket.name, socket.kind] for socket in schema.outputs],
    }


@pytest.fixture(scope="module")
def schemas(comfy) -> dict[str, Any]:
    async def get_nodes() -> list[Any]:
        return await (await comfy.nodes.comfy_entrypoint()).get_node_list()

    # browser tests earlier in the same process leave an event loop running in this thread
    with ThreadPoolExecutor(1) as own_thread:
        nodes = own_thread.submit(asyncio.run, get_nodes()).result()
    return {node.define_schema().node_id: node.define_schema() for node in nodes}


def test_ids_and_sockets_are_the_stable_ones(schemas):
    assert {name: sockets(schema) for name, schema in schemas.items()} == STABLE


@pytest.mark.parametrize("node_id", STABLE)
def test_everything_explains_itself(schemas, node_id):
    schema = schemas[node_id]
    assert node_id.startswith("VividPortraits")
    assert schema.display_name
    assert schema.category.startswith("VividPortraits/")
    assert schema.description.endswith(".")
    assert all(socket.options.get("tooltip") for socket in schema.inputs)
    assert all(socket.tooltip for socket in schema.outputs)
    assert len({socket.id for socket in schema.inputs}) == len(schema.inputs)


@pytest.mark.parametrize("node_id", STABLE)
def test_numbers_have_ranges_that_hold_their_defaults(schemas, node_id):
    for socket in schemas[node_id].inputs:
        if socket.kind in ("INT", "FLOAT"):
            options = socket.options
            assert options["min"] <= options["default"] <= options["max"], socket.id
        if socket.kind == "COMBO" and "default" in socket.options:
            assert socket.options["default"] in socket.options["options"], socket.id


def test_execute_takes_what_the_schema_names(comfy):
    for node in comfy.nodes.NODES:
        code = node.execute.__func__.__code__
        if code.co_flags & 0x08:  # takes any keyword
            continue
        taken = set(code.co_varnames[1 : code.co_argcount])
        schema = node.define_schema()
        assert taken == {socket.id for socket in schema.inputs}, schema.node_id
        optional = {socket.id for socket in schema.inputs if socket.options.get("optional")}
        defaults = len(node.execute.__func__.__defaults__ or ())
        assert optional == set(code.co_varnames[code.co_argcount - defaults : code.co_argcount]), schema.node_id


def test_every_node_has_a_help_page_and_no_page_is_left_over():
    assert {page.stem for page in HELP.glob("*.md")} == set(STABLE)


@pytest.mark.parametrize("node_id", STABLE)
def test_help_page_begins_with_the_node_s_name(schemas, node_id):
    assert (HELP / f"{node_id}.md").read_text("utf-8").startswith(f"# {schemas[node_id].display_name}\n")


def documented(page: str) -> set[str]:
    """The names that list items of a help page begin with: the inputs and outputs that they explain."""
    items = re.findall(r"^ *- ((?:\*\*[^*]+\*\*(?:, )?)+)", page, re.MULTILINE)
    return {name for item in items for name in re.findall(r"\*\*([^*]+)\*\*", item)}


def names_of(schema: Any) -> set[str]:
    return {socket.id for socket in schema.inputs} | {socket.name for socket in schema.outputs}


@pytest.mark.parametrize("node_id", STABLE)
def test_help_page_explains_only_inputs_and_outputs_of_its_node(schemas, node_id):
    page = (HELP / f"{node_id}.md").read_text("utf-8")
    assert documented(page) - names_of(schemas[node_id]) == set()


def test_help_pages_name_only_things_that_exist(schemas):
    """What stands in bold or italics as one word_like_this is an input, an output or a choice of some node."""
    inputs = [socket for schema in schemas.values() for socket in schema.inputs]
    choices = {str(choice) for socket in inputs for choice in socket.options.get("options") or ()}
    known = choices.union(*map(names_of, schemas.values())) | HOST_SOCKETS
    for node_id in STABLE:
        marked = re.findall(r"\*+([a-z]+(?:_[a-z0-9]+)+)\*+", (HELP / f"{node_id}.md").read_text("utf-8"))
        assert set(marked) - known == set(), node_id


def test_a_help_page_that_names_a_missing_input_is_seen():
    page = "- **steps**, **colour**: ...\n  - **inner**: ...\nIn bold: **other**.\n"
    assert documented(page) == {"steps", "colour", "inner"}


def test_search_words_are_given_where_comfyui_knows_them_only(comfy, monkeypatch):
    aliases = comfy.module("nodes.aliases")
    assert aliases.search_aliases("face") == {}  # the double is as old as ComfyUI 0.3.64
    newer = make_dataclass("Schema", ["node_id", "search_aliases"])
    monkeypatch.setattr(aliases.io, "Schema", newer)
    assert aliases.search_aliases("face", "head") == {"search_aliases": ["face", "head"]}


def test_steps_and_scheduler_are_the_model_s_own_unless_said_otherwise(schemas):
    found = [(node, socket) for node, schema in schemas.items() for socket in schema.inputs]
    steps = {node: socket.options for node, socket in found if socket.id == "steps"}
    schedulers = {node: socket.options for node, socket in found if socket.id == "scheduler"}
    assert len(steps) == 3 and len(schedulers) == 2
    for node, options in steps.items():
        assert options["default"] == options["min"] == -1, node
        assert "-1 is auto: the model's own" in options["tooltip"], node
        assert "auto" in (HELP / f"{node}.md").read_text("utf-8")
    for options in schedulers.values():
        assert options["default"] == options["options"][0] == "auto"
