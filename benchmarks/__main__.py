"""python -m benchmarks [NAME ...]: runs benchmarks/bench_NAME.py, all of them without a name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.timing import machine


def main(names: list[str]) -> int:
    found = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = sorted(set(names) - set(found))
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(found)}", file=sys.stderr)
        return 2
    print(machine())
    for name in names or found:
        print(f"\n{name}")
        importlib.import_module(f"benchmarks.bench_{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
