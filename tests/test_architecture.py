"""The rules of ARCHITECTURE.md, asserted on the syntax trees: nothing is imported or run here."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

VOCABULARY = {
    "types",
    "config",
    "bounds",
    "errors",
    "files",
    "paths",
    "plain",
    "images",
    "geometry",
    "plots",
    "bundled",
}
ROOMS = {"faces", "motion", "backbones", "autoencoders", "sampling", "weights", "video", "warp"}
JOINERS = {"families", "models", "pipeline", "portraits", "finish"}

MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "bundled": set(),
    "files": {"errors"},
    "plots": {"errors"},
    "geometry": {"types"},
    "bounds": {"errors"},
    "paths": {"errors"},
    "plain": {"errors", "paths"},
    "config": {"types", "errors", "bounds"},
    "images": {"types", "errors", "files", "paths"},
    **{room: VOCABULARY for room in ROOMS},
    "faces": VOCABULARY | {"weights.catalog", "weights.io", "motion.components", "backbones.u_network"},
    "motion": VOCABULARY | {"warp"},
    "warp": VOCABULARY | {"motion.alignment", "motion.components", "motion.head"},
    "sampling": VOCABULARY | {"backbones.base"},
    "weights": VOCABULARY | {"backbones.unet.config", "backbones.dit.config"},
    "families": VOCABULARY | ROOMS,
    "models": VOCABULARY | ROOMS | {"families"},
    "portraits": VOCABULARY | ROOMS,
    "finish": {"warp"},
    "pipeline": VOCABULARY | ROOMS | {"models", "finish"},
    "jobs": VOCABULARY | ROOMS | JOINERS,
    "training": VOCABULARY | ROOMS | JOINERS | {"assets"},
    "evaluation": VOCABULARY | ROOMS | JOINERS | {"training", "assets"},
    "commands": VOCABULARY | ROOMS | JOINERS | {"jobs", "training", "evaluation", "assets"},
    "cli": VOCABULARY | ROOMS | JOINERS | {"training", "evaluation", "assets", "commands"},
    "__main__": {"cli"},
}
"""Who may import whom inside model_core, by room; a dotted name opens one file of a room only."""

HOST = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "execution",
    "folder_paths",
    "latent_preview",
    "server",
}
OURS = {"model_core", "nodes"}
SPEAKS = {"cli", "__main__", "commands"}

Rule = Callable[[Path, ast.Module], Iterator[str]]


def imports(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name from the root) of everything imported; relative names are resolved, absolute ones
    start with a slash."""
    package = path.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, f"/{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, f"/{node.module}"
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            for alias in node.names:
                yield node.lineno, ".".join(part for part in [*base, alias.name] if part)


def relative_only(path: Path, tree: ast.Module) -> Iterator[str]:
    for line, name in imports(path, tree):
        if name.startswith("/") and name[1:].partition(".")[0] in OURS:
            yield f"{path}:{line} imports {name[1:]} absolutely"


def layers(path: Path, tree: ast.Module) -> Iterator[str]:
    if path.parts[0] != "model_core" or len(path.parts) < 2:
        return
    room = Path(path.parts[1]).stem
    if room == "__init__":
        return
    allowed = MAY_IMPORT.get(room)
    if allowed is None:
        yield f"{path} is a room that ARCHITECTURE.md does not know"
        return
    for line, name in imports(path, tree):
        if name.startswith("/"):
            continue
        top, _, inside = name.partition(".")
        own = inside == room or inside.startswith(f"{room}.")
        opened = any(inside == door or inside.startswith(f"{door}.") for door in allowed)
        if top != "model_core" or not (own or opened):
            yield f"{path}:{line} reaches {name}: {room} may import {sorted(allowed)}"


def no_host(path: Path, tree: ast.Module) -> Iterator[str]:
    if path.parts[0] != "model_core":
        return
    for line, name in imports(path, tree):
        if name.startswith("/") and name[1:].partition(".")[0] in HOST:
            yield f"{path}:{line} imports the host's {name[1:]}"


def host_in_bridge(path: Path, tree: ast.Module) -> Iterator[str]:
    if path.parts[0] != "nodes" or path.parts[1] == "bridge":
        return
    for line, name in imports(path, tree):
        top = name[1:].partition(".")[0]
        # types of the host may be named where nothing is imported at run time
        if name.startswith("/") and top in HOST - {"comfy_api"} and name not in {"/comfy.model_patcher"}:
            yield f"{path}:{line} imports the host's {name[1:]}; only nodes/bridge does"


def safe_pickles(path: Path, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            safe = [word for word in node.keywords if word.arg == "weights_only"]
            if not safe or ast.unparse(safe[0].value) != "True":
                yield f"{path}:{node.lineno} torch.load without weights_only=True"


def no_broad_except(path: Path, tree: ast.Module) -> Iterator[str]:
    if path.parts[0] != "model_core":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = "" if node.type is None else ast.unparse(node.type)
            if not caught or {"Exception", "BaseException"} & set(caught.strip("()").split(", ")):
                yield f"{path}:{node.lineno} catches everything"


def no_print(path: Path, tree: ast.Module) -> Iterator[str]:
    if len(path.parts) > 1 and Path(path.parts[1]).stem in SPEAKS:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield f"{path}:{node.lineno} prints"


def no_globals(path: Path, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{path}:{node.lineno} rebinds the global {', '.join(node.names)}"


def blind_sampling(path: Path, tree: ast.Module) -> Iterator[str]:
    """Nothing in sampling asks which network it drives."""
    if path.parts[:2] != ("model_core", "sampling"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"family", "backbone_config"}:
            yield f"{path}:{node.lineno} asks for the {node.attr}"
        if isinstance(node, ast.Constant) and node.value in {"unet", "dit"}:
            yield f"{path}:{node.lineno} names the family {node.value!r}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance" and "Backbone" in ast.unparse(node):
            yield f"{path}:{node.lineno} tells backbones apart"


RULES: list[Rule] = [
    blind_sampling,
    relative_only,
    layers,
    no_host,
    host_in_bridge,
    safe_pickles,
    no_broad_except,
    no_print,
    no_globals,
]


@pytest.fixture(scope="module")
def sources() -> dict[Path, ast.Module]:
    files = [ROOT / "__init__.py", *(file for room in sorted(OURS) for file in (ROOT / room).rglob("*.py"))]
    assert len(files) > 20
    return {file.relative_to(ROOT): ast.parse(file.read_text("utf-8")) for file in files}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule, sources: dict[Path, ast.Module]) -> None:
    broken = [message for path, tree in sources.items() for message in rule(path, tree)]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "path", "code"),
    [
        (relative_only, "nodes/load.py", "from model_core.types import Branch"),
        (relative_only, "model_core/faces/track.py", "import nodes.bridge"),
        (layers, "model_core/sampling/loop.py", "from ..backbones.unet import backbone"),
        (layers, "model_core/sampling/loop.py", "from ..backbones import unet"),
        (layers, "model_core/faces/track.py", "from ..motion.parsing_map import draw"),
        (layers, "model_core/backbones/unet/config.py", "from ...weights.io import read_metadata"),
        (layers, "model_core/weights/detect.py", "from ..backbones.unet.backbone import UNetBackbone"),
        (layers, "model_core/types.py", "from .config import ModelConfig"),
        (layers, "model_core/pipeline.py", "from .training.stages import Stage"),
        (layers, "model_core/commands/batch.py", "from ..cli import main"),
        (layers, "model_core/pipeline.py", "from ..nodes.bridge import device"),
        (layers, "model_core/attic/old.py", "import torch"),
        (no_host, "model_core/video/write.py", "import comfy.utils"),
        (no_host, "model_core/video/write.py", "from folder_paths import get_output_directory"),
        (host_in_bridge, "nodes/load.py", "import folder_paths"),
        (host_in_bridge, "nodes/guider.py", "from comfy.samplers import CFGGuider"),
        (safe_pickles, "nodes/load.py", "torch.load(path)"),
        (safe_pickles, "model_core/models.py", "torch.load(path, weights_only=False)"),
        (no_broad_except, "model_core/models.py", "try:\n    pass\nexcept:\n    pass"),
        (no_broad_except, "model_core/models.py", "try:\n    pass\nexcept (OSError, Exception):\n    pass"),
        (no_print, "model_core/pipeline.py", "print('done')"),
        (blind_sampling, "model_core/sampling/loop.py", "if model.config.family == kind:\n    pass"),
        (blind_sampling, "model_core/sampling/loop.py", "steps = {'dit': 28}[kind]"),
        (blind_sampling, "model_core/sampling/loop.py", "isinstance(backbone, UNetBackbone)"),
        (no_globals, "nodes/load.py", "def f():\n    global cache\n    cache = 1"),
    ],
)
def test_rule_sees_a_breach(rule: Rule, path: str, code: str) -> None:
    assert list(rule(Path(path), ast.parse(code)))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nodes/animate.py", "from ..model_core.sampling.loop import sample"),
        ("nodes/animate.py", "from comfy_api.latest import io"),
        ("nodes/bridge/memory.py", "import comfy.model_management as management"),
        ("model_core/sampling/loop.py", "from ..backbones.base import Backbone\nfrom .windows import Window"),
        ("model_core/sampling/loop.py", "from ..types import Branch\nimport torch"),
        ("model_core/weights/detect.py", "from ..backbones.unet.config import UNetConfig"),
        ("model_core/weights/io.py", "torch.load(path, weights_only=True)"),
        (
            "model_core/backbones/unet/blocks.py",
            "from ..base import Backbone\nfrom .config import UNetConfig",
        ),
        (
            "model_core/training/train.py",
            "from ..sampling.schedule import make\nfrom ..pipeline import animate",
        ),
        ("model_core/cli.py", "from .training import train\nprint('done')"),
        ("model_core/video/write.py", "try:\n    pass\nexcept (OSError, ValueError):\n    pass"),
    ],
)
def test_rules_leave_good_code_alone(path: str, code: str) -> None:
    tree = ast.parse(code)
    assert [message for rule in RULES for message in rule(Path(path), tree)] == []
