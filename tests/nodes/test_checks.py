"""What arrives at a node is looked at before it runs, in every node; what ComfyUI checks itself is left to it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

OBJECTS = {"5": 5, "text": "portrait.png", "list": [1, 2, 3], "dict": {"samples": 5}}
SEES_ITS_INPUTS = 1  # argument of validate_inputs besides cls


@pytest.fixture(scope="module")
def checks(comfy: Any) -> Any:
    return comfy.module("nodes.checks")


@pytest.fixture(scope="module")
def sockets(comfy: Any) -> list[tuple[Any, Any]]:
    return [(node, socket) for node in comfy.nodes.NODES for socket in node.define_schema().inputs]


def run(node: Any, name: str, value: Any) -> Any:
    """The node with nothing but this input, which has to be refused before the others are missed."""
    return node.execute(**{name: value})


def test_no_node_takes_comfyui_s_checks_away_or_repeats_a_message(comfy):
    for node in comfy.nodes.NODES:
        named = inspect.getfullargspec(getattr(node, "validate_inputs", lambda cls: True))
        assert len(named.args) <= 1 + SEES_ITS_INPUTS, node.__name__
        assert named.varkw is None, node.__name__
        assert len(named.defaults or ()) == len(named.args) - 1, f"{node.__name__}: an input may be missing"


@pytest.mark.parametrize("literal", OBJECTS.values(), ids=OBJECTS)
def test_a_literal_in_a_socket_is_refused_by_name(sockets, checks, literal):
    found = [(node, socket) for node, socket in sockets if socket.kind.isupper() and "default" not in socket.options]
    found = [(node, socket) for node, socket in found if socket.kind not in ("COMBO", "STRING", "INT", "FLOAT")]
    assert len({socket.kind for _, socket in found}) == 16
    for node, socket in found:
        with pytest.raises(checks.InputError, match=f"^{socket.id}: .* is no {socket.kind}; connect an output"):
            run(node, socket.id, literal)


def test_nothing_in_a_socket_is_told_from_a_wrong_thing(sockets, checks):
    required = [(n, s) for n, s in sockets if s.kind == "FACE_TRACK" and not s.options.get("optional")]
    assert required
    for node, socket in required:
        with pytest.raises(checks.InputError, match=f"^{socket.id}: nothing arrives; connect"):
            run(node, socket.id, None)


def test_nothing_in_an_optional_socket_is_fine(comfy, checks):
    (mask,) = (s for s in comfy.module("nodes.crop").PasteFaceBack.define_schema().inputs if s.id == "mask")
    checks.check_value(mask, None)
    checks.check_value(mask, torch.zeros(4, 4))


def test_numbers_out_of_range_are_refused_by_name(sockets, checks):
    """ComfyUI does that for a widget's own number, but not for one that arrives over a link."""
    found = [(node, socket) for node, socket in sockets if socket.kind in ("INT", "FLOAT")]
    assert len(found) > 30
    for node, socket in found:
        least, most = socket.options["min"], socket.options["max"]
        for value in (least - 1, most + 1):
            with pytest.raises(checks.InputError, match=f"^{socket.id}: {re.escape(str(value))} is out of range"):
                run(node, socket.id, value)
        for value in (float("nan"), float("inf"), "7", None):
            with pytest.raises(checks.InputError, match=f"^{socket.id}: .* is no (whole|finite) number$"):
                run(node, socket.id, value)


def test_choices_that_are_none_are_refused_by_name(sockets, checks):
    """ComfyUI 0.3.64 does not do that for nodes of its newer kind."""
    found = [(n, s) for n, s in sockets if s.kind == "COMBO" and (n.__name__, s.id) != ("LoadPortraitModel", "model")]
    assert len(found) > 20
    for node, socket in found:
        for value in ("floaty", 5, None, ["auto"]):
            with pytest.raises(checks.InputError, match=f"^{socket.id}: .* is not there; choose one of"):
                run(node, socket.id, value)


def test_a_long_list_of_choices_is_cut_short(checks):
    names = [f"file{number}" for number in range(50)]
    with pytest.raises(checks.InputError, match="file19 and 30 more$"):
        checks._check_choice("vae", "gone", names)


def test_a_long_value_is_cut_short(checks):
    with pytest.raises(checks.InputError, match=r"^scheduler: 'x{59}\.\.\. is not there"):
        checks._check_choice("scheduler", "x" * 9999, ["auto"])


def test_a_missing_package_is_named(comfy, checks):
    class Node(checks.io.ComfyNode):
        @classmethod
        def define_schema(cls) -> Any:
            return comfy.nodes.NODES[0].define_schema()

        @classmethod
        def execute(cls) -> Any:
            import no_such_package

            return no_such_package

    with pytest.raises(checks.DependencyError, match=r"the package no_such_package is not installed; run install\.py"):
        checks.checked(Node).execute()


PREFIXES = {
    "zero byte": ("a\0b", "holds a character"),
    "half a character": ("a\ud800b", "holds a character"),
    "too long": ("x" * 300, "is too long; at most 195"),
    "a folder too long": ("y" * 300 + "/x", "is too long"),
    "out of it": ("../escape", "leads out of"),
    "out of it later": ("a/../../escape", "leads out of"),
    "absolute": ("/etc/portrait", "leads out of"),
}


@pytest.mark.parametrize(("prefix", "words"), PREFIXES.values(), ids=PREFIXES)
def test_a_prefix_that_is_no_file_s_name_is_refused(comfy, checks, prefix, words):
    node = comfy.module("nodes.media").SavePortraitImages
    with pytest.raises(checks.InputError, match=f"^filename_prefix: .*{words}"):
        node.execute(images=torch.zeros(1, 8, 8, 3), filename_prefix=prefix, mark_synthetic=True)


def test_a_prefix_that_the_disk_refuses_is_named(comfy, checks, monkeypatch):
    saving = comfy.module("nodes.bridge.saving")

    def refuse(*_: Any) -> None:
        raise NotADirectoryError(20, "Not a directory")

    monkeypatch.setattr(saving.folder_paths, "get_save_image_path", refuse)
    with pytest.raises(checks.InputError, match=r"^filename_prefix: 'a/b' cannot be .*Not a directory"):
        saving.save_place("a/b", width=1, height=1)
