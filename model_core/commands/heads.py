"""``heads``: the table of expressions, and the examples, from a head that anyone can download."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..files import refuse_overwriting
from ..training.heads.correspondence import find_points, see_heads, write_table
from ..training.heads.demo import DRIVING, PORTRAIT, write_demo
from ..training.heads.ict import load_head


def run(args: argparse.Namespace) -> None:
    """What the words after ``heads`` ask for."""
    head, output = Path(args.head), Path(args.output)
    written = [output] if args.action == "table" else [output / PORTRAIT, output / DRIVING]
    refuse_overwriting(
        [("the output", path) for path in written],
        [("the head", path) for path in (head.rglob("*") if head.is_dir() else [head]) if path.is_file()],
    )
    {"table": _table, "demo": _demo}[args.action](args)


def _table(args: argparse.Namespace) -> None:
    head = load_head(Path(args.head))
    with tqdm(total=args.identities, desc="heads") as bar:
        sightings = see_heads(
            head, MediaPipeAnalyzer(), identities=args.identities, progress=lambda done: bar.update(done - bar.n)
        )
    write_table(Path(args.output), head, find_points(head, sightings))
    print(f"wrote {args.output}, from {len(sightings)} of {args.identities} heads")


def _demo(args: argparse.Namespace) -> None:
    with tqdm(desc="frames") as bar:
        for path in write_demo(load_head(Path(args.head)), Path(args.output), progress=lambda done: bar.update()):
            print(f"wrote {path}")
