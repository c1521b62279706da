"""``measure``: how much of the drivers' expressions arrives in finished videos, and whether they keep the identity."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..bounds import Bounds
from ..errors import InputError
from ..evaluation.expression import (
    EXPRESSION,
    POSE,
    ExpressionSummary,
    PairScore,
    score_pair,
    summarise_expression,
    summarise_signals,
)
from ..evaluation.expression_reader import ExpressionReader
from ..evaluation.extractors import IdentityExtractor
from ..evaluation.identity import SAMPLED_EVERY, dlib_identity, mean_identity
from ..evaluation.report import markdown_table, write_json
from ..faces.mediapipe_backend import MediaPipeAnalyzer
from ..files import atomic_path, refuse_overwriting
from ..images import read_pixels
from ..paths import readable_file, writable_folder, writing
from ..plain import from_json, read_text
from ..video.read import open_video, read_shots
from .settings import check_option

_SHOWN = (*EXPRESSION, *POSE)
_WRITTEN = _TABLE, _METRICS = "table.md", "metrics.json"


@dataclasses.dataclass(frozen=True)
class Triple:
    """Files of one pair: portrait, driving video and the video made of them."""

    reference: str
    driving: str
    generated: str


def run(args: argparse.Namespace) -> None:
    """Print a table for each pair, and the summary; write both and all figures where a folder is given."""
    check_option(args, "every", Bounds(1, 2**31))
    check_option(args, "frames", Bounds(1, 2**31))
    if args.output:
        writable_folder(args.output, name="--output")
    triples = _triples(args)
    for triple in triples:  # the last one's missing file is not told after an hour
        readable_file(triple.reference, name="image")
        open_video(triple.driving)
        open_video(triple.generated)
    if args.output:
        _refuse_overwriting(args, triples)
    measure = _measurer(args)
    with tqdm(triples, desc="measure", unit="pair", file=sys.stderr) as bar:
        pairs = [measure(triple) for triple in bar]
    summary = summarise_expression("all pairs", pairs)
    text = _report(pairs, summary)
    print(text, end="")
    if args.output:
        _write(Path(args.output), text, pairs, summary, args)


def summary_table(summaries: list[ExpressionSummary]) -> str:
    """One line a method, in Markdown."""
    return markdown_table(summaries, digits={"correlation": 2, "gain": 2, "yaw": 2, "pitch": 2, "roll": 2, "found": 2})


def _triples(args: argparse.Namespace) -> list[Triple]:
    """The triple of the command line and those of the list."""
    given = [args.reference, args.driving, args.generated]
    if any(given) and not all(given):
        raise InputError("measure: --reference, --driving and --generated belong together; give all three")
    triples = [Triple(*given)] if all(given) else []
    if args.pairs:
        triples += _listed(Path(args.pairs))
    if not triples:
        raise InputError("measure: nothing to measure; give --reference, --driving and --generated, or --pairs")
    return triples


def _refuse_overwriting(args: argparse.Namespace, triples: list[Triple]) -> None:
    folder = Path(args.output)
    inputs = [(f"the {name}", path) for triple in triples for name, path in dataclasses.asdict(triple).items()]
    refuse_overwriting([("--output", folder / name) for name in _WRITTEN], [("--pairs", args.pairs), *inputs])


def _listed(path: Path) -> list[Triple]:
    """The lines of a list; blank ones are skipped."""
    lines = read_text(path, name="--pairs").splitlines()
    return [
        _triple(line, name=f"--pairs {path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()
    ]


def _triple(line: str, *, name: str) -> Triple:
    values = from_json(line, name=name)
    keys = {field.name for field in dataclasses.fields(Triple)}
    if (
        not isinstance(values, dict)
        or set(values) != keys
        or not all(isinstance(path, str) for path in values.values())
    ):
        raise InputError(f"{name}: write an object with the keys reference, driving and generated, nothing else")
    return Triple(**values)


def _measurer(args: argparse.Namespace) -> Callable[[Triple], PairScore]:
    """Measures a pair; what several pairs share is read once."""
    reader = ExpressionReader()
    extractor = dlib_identity(MediaPipeAnalyzer()) if args.identity else None
    frames = functools.partial(_frames, every=args.every, limit=args.frames)

    @functools.cache
    def driving(path: str) -> np.ndarray:
        return reader.read(frames(path))

    @functools.cache
    def reference(path: str) -> np.ndarray:
        return reader(read_pixels(path))

    def measure(triple: Triple) -> PairScore:
        return score_pair(
            Path(triple.generated).name,
            driving(triple.driving),
            reader.read(frames(triple.generated)),
            reference=reference(triple.reference),
            identity=_identity(extractor, triple, frames),
        )

    return measure


def _identity(
    extractor: IdentityExtractor | None, triple: Triple, frames: Callable[[str], Iterator[np.ndarray]]
) -> float:
    if extractor is None:
        return math.nan
    return mean_identity(extractor, frames(triple.generated), read_pixels(triple.reference), name=triple.reference)


def _frames(path: str, *, every: int, limit: int | None) -> Iterator[np.ndarray]:
    for shot in itertools.islice(read_shots(path, limit=limit), 0, None, every):
        yield shot.pixels()


def _report(pairs: list[PairScore], summary: ExpressionSummary) -> str:
    headings = {
        "signal": "signal",
        "correlation": "correlation",
        "gain": "gain",
        "driving_sd": "driving sd",
        "generated_sd": "generated sd",
        "driving_mean": "driving mean",
        "generated_mean": "generated mean",
        "reference": "portrait",
        "quiet": "quiet",
    }
    parts = []
    for pair in pairs:
        shown = [score for score in pair.signals if score.signal in _SHOWN]
        found = f"a face in {pair.found_driving:.0%} of driving and {pair.found_generated:.0%} of generated frames"
        identity = f", identity {pair.identity:.3f}" if math.isfinite(pair.identity) else ""
        parts.append(
            f"{pair.name}: {pair.frames} frames, {found}{identity}\n\n{markdown_table(shown, headings=headings)}"
        )
    if len(pairs) > 1:
        rows = [row for row in summarise_signals(pairs) if row.signal in _SHOWN]
        parts.append(f"mean correlation and median gain over the pairs whose driver moves\n\n{markdown_table(rows)}")
    return "\n".join([*parts, summary_table([summary])])


def _write(
    folder: Path, text: str, pairs: list[PairScore], summary: ExpressionSummary, args: argparse.Namespace
) -> None:
    with writing(folder / _TABLE), atomic_path(folder / _TABLE) as partial:
        partial.write_text(text, encoding="utf-8")
    write_json(
        folder / _METRICS,
        pairs,
        summary=dataclasses.asdict(summary),
        signals=[dataclasses.asdict(row) for row in summarise_signals(pairs)],
        every=args.every,
        frames=args.frames,
        identity_every=SAMPLED_EVERY if args.identity else None,
    )
    print(f"wrote {folder}: table.md, metrics.json")
