"""``heads``: the table of expressions, and the examples, from a head that anyone can download."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ..bounds import Bounds
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..paths import writable_file, writable_folder
from ..training.heads.correspondence import find_points, see_heads, write_table
from ..training.heads.demo import write_demo
from ..training.heads.ict import load_head
from .settings import check_option


def run(args: argparse.Namespace) -> None:
    """What the words after ``heads`` ask for."""
    {"table": _table, "demo": _demo}[args.action](args)


def _table(args: argparse.Namespace) -> None:
    check_option(args, "identities", Bounds(1, 100_000))
    output = writable_file(args.output, name="output", suffixes=[".safetensors"])
    head = load_head(Path(args.head))
    with tqdm(total=args.identities, desc="heads") as bar:
        sightings = see_heads(
            head, MediaPipeAnalyzer(), identities=args.identities, progress=lambda done: bar.update(done - bar.n)
        )
    write_table(output, head, find_points(head, sightings))
    print(f"wrote {args.output}, from {len(sightings)} of {args.identities} heads")


def _demo(args: argparse.Namespace) -> None:
    output = writable_folder(args.output, name="output")
    head = load_head(Path(args.head))
    with tqdm(desc="frames") as bar:
        for path in write_demo(head, output, progress=lambda done: bar.update()):
            print(f"wrote {path}")
