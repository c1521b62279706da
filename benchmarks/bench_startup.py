"""A real ComfyUI's start with and without this pack, by turns: seconds until it answers, and resident memory.

The least of several is shown: what else the machine does only adds.

ComfyUI is looked for as the live tests do: $COMFYUI_PATH, then ~/comfy/ComfyUI.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "live"))
from comfyui_server import PACK, running_server  # noqa: E402

REPEATS = 3


def start(*, pack: bool) -> tuple[float, float, float]:
    """Seconds to the first answer, MiB held then, and seconds that ComfyUI says the pack's import took."""
    with tempfile.TemporaryDirectory() as base:
        started = time.perf_counter()
        with running_server(Path(base), pack=pack) as server:
            seconds = time.perf_counter() - started
            status = Path(f"/proc/{server.process.pid}/status")
            held = re.findall(r"VmRSS:\s+(\d+)", status.read_text()) if status.is_file() else []
            told = re.findall(rf"([\d.]+) seconds: .*{PACK}", server.log)
        return seconds, int(held[0]) / 1024 if held else float("nan"), float(told[0]) if told else 0.0


def main() -> None:
    start(pack=True)  # the system's cache of files fills
    taken: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for _ in range(REPEATS):
        for pack in taken:
            taken[pack].append(start(pack=pack))
    best = {pack: [min(values) for values in zip(*runs, strict=True)] for pack, runs in taken.items()}
    for pack, (seconds, held, told) in best.items():
        said = f", of which ComfyUI counts {told:.1f} s for the pack's import" if pack else ""
        print(f"  {'with' if pack else 'without'} the pack  {seconds:6.2f} s, {held:.0f} MiB{said}")
    seconds, held = (best[True][kind] - best[False][kind] for kind in (0, 1))
    print(f"  difference        {seconds:+6.2f} s, {held:+.0f} MiB")


if __name__ == "__main__":
    main()
