"""``heads``: the table of expressions, examples and training clips, from a head that anyone can download."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ..bounds import Bounds
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..files import refuse_overwriting
from ..paths import writable_file, writable_folder
from ..training.heads.casting import Casting
from ..training.heads.correspondence import find_points, see_heads, write_table
from ..training.heads.dataset import write_head
from ..training.heads.demo import DRIVING, PORTRAIT, write_demo
from ..training.heads.ict import Head, load_head
from ..training.heads.photo_pool import PhotoPool
from ..training.heads.render import Renderer
from .settings import check_option


def run(args: argparse.Namespace) -> None:
    """What the words after ``heads`` ask for."""
    if args.action != "clips":  # which leaves what is there as it is
        head, output = Path(args.head), Path(args.output)
        refuse_overwriting(
            [
                ("the output", path)
                for path in ([output] if args.action == "table" else [output / PORTRAIT, output / DRIVING])
            ],
            [("the head", path) for path in (head.rglob("*") if head.is_dir() else [head]) if path.is_file()],
        )
    {"table": _table, "demo": _demo, "clips": _clips}[args.action](args)


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


def _clips(args: argparse.Namespace) -> None:
    for name, most in (("count", 1_000_000), ("frames", 1000), ("size", 4096)):
        check_option(args, name, Bounds(1, most))
    output = writable_folder(args.output, name="output")
    head = load_head(Path(args.ict))
    casting = _casting(args, head)
    with Renderer() as renderer:
        for seed in tqdm(range(args.seed, args.seed + args.count), desc="heads"):
            write_head(output, renderer, head, seed, frames=args.frames, size=args.size, casting=casting)
    print(f"clips in {output}")


def _casting(args: argparse.Namespace, head: Head) -> Casting | None:
    """The photographs that can be worn; the others are named."""
    check_option(args, "photo_share", Bounds(0, 1))
    if args.photos is None:
        return None
    photos = PhotoPool(Path(args.photos), head, MediaPipeAnalyzer())
    for refusal in photos.refused:
        print(f"left out {refusal.name}: {refusal.reason}")
    print(f"{len(photos.usable)} photographs of {len(photos.usable) + len(photos.refused)} are used")
    return Casting(photos, args.photo_share)
