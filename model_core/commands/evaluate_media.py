"""``evaluate --clips``: every clip drives itself, where the truth is known, and every portrait, where it is not."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor
from tqdm import tqdm

from ..errors import DependencyError, InputError, PortraitError
from ..evaluation.cases import Case, Pair
from ..evaluation.cross import ARRIVES, arrives
from ..evaluation.expression import score_pair
from ..evaluation.identity import mean_identity
from ..evaluation.instruments import EXPRESSION, IDENTITY, Instruments
from ..evaluation.media import (
    Clip,
    Portrait,
    cross_pair,
    find_media,
    own_portrait,
    read_clip,
    read_portrait,
    self_case,
    spread_pairs,
)
from ..evaluation.methods import as_animated
from ..evaluation.outcome import Meter, Outcome, measure_all
from ..evaluation.scores import Scores
from ..evaluation.truth import TruthMeter
from ..faces.backends import load_analyzer
from ..images import to_uint8
from ..jobs import FaceSettings
from .evaluate_sets import MEASURES_OF_TRUTH, TRUTH, Bench, Section, settings_of
from .motion import motion_from

SELF = Section("self", "clips that drive their own first frame", "clips", MEASURES_OF_TRUTH)
CROSS = Section("cross", "portraits driven by clips of others", "portraits", (IDENTITY,))

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Media:
    """Files to read: videos that drive, and pictures that are driven."""

    videos: list[Path]
    pictures: list[Path]


def listed_media(args: argparse.Namespace) -> Media:
    """The files that the options name; ``--portraits`` takes the place of the pictures among the clips.

    Raises:
        InputError: a folder cannot be listed, or does not hold what it should.
    """
    motion_from(args)
    videos, pictures = find_media(args.clips, option="--clips")
    if not videos:
        raise InputError(f"--clips {args.clips}: holds pictures only; give a folder with videos, which drive them")
    if args.portraits:
        pictures = find_media(args.portraits, option="--portraits")[1]
        if not pictures:
            raise InputError(f"--portraits {args.portraits}: holds no pictures; give a folder of portraits")
    return Media(videos[: args.limit], pictures[: args.limit])


def run_media(bench: Bench, media: Media, instruments: Instruments) -> None:
    """Both tables, of the files that show a face."""
    args = bench.args
    left_out: dict[str, str] = {}
    analyzer = load_analyzer("mediapipe", folders=bench.folders, device=bench.device)

    def clip(path: Path) -> tuple[Clip, Portrait]:
        found = read_clip(
            path,
            analyzer,
            frames=args.frames,
            every=args.every,
            longest=args.size,
            max_gap=FaceSettings().max_gap,
        )
        return found, own_portrait(found, analyzer)

    def portrait(path: Path) -> Portrait:
        return read_portrait(path, analyzer, longest=args.size)

    clips = _readable(media.videos, clip, left_out, "clips")
    if not clips:
        raise InputError(f"--clips {args.clips}: no clip shows a face ({'; '.join(left_out.values())}); give others")
    portraits = _readable(media.pictures, portrait, left_out, "portraits")
    _run_self(bench, clips, instruments, left_out)
    if portraits and instruments.expression is None:
        print(f"not measured: portraits driven by clips; {instruments.missing[EXPRESSION]}")
    elif portraits:
        _run_cross(bench, [own for own, _ in clips], portraits, instruments, left_out)


def _readable(paths: Iterable[Path], read: Callable[[Path], _Read], left_out: dict[str, str], what: str) -> list[_Read]:
    """What can be read and shows a face; the rest is said, and left out."""
    found = []
    for path in tqdm(list(paths), desc=what, unit="file", file=sys.stderr):
        try:
            found.append(read(path))
        except DependencyError:
            raise
        except PortraitError as error:
            left_out[path.name] = str(error)
            tqdm.write(f"left out: {error}", file=sys.stderr)
    return found


def _run_self(
    bench: Bench, clips: Sequence[tuple[Clip, Portrait]], instruments: Instruments, left_out: dict[str, str]
) -> None:
    variants = bench.ablated(bench.args.frames, signals=False)
    settings = motion_from(bench.args)
    outcome: Outcome[Case] = Outcome(
        {name: as_animated(variant, settings) for name, variant in variants.items()}, Scores(TRUTH)
    )

    def meter(case: Case) -> Meter:
        measure = TruthMeter(case, instruments)
        # the portrait's own frame is made too, and not measured
        return lambda name, made: measure(made, seams=[seam - 1 for seam in variants[name].seams(len(made) + 1)])

    with tqdm(total=len(clips) * len(variants), desc="self", unit="clip", file=sys.stderr) as bar:
        measure_all(outcome, itertools.starmap(self_case, clips), meter, bar.update)
    bench.report(SELF, outcome, instruments, left_out=left_out, **settings_of(bench.args, variants))


def _run_cross(
    bench: Bench,
    clips: Sequence[Clip],
    portraits: Sequence[Portrait],
    instruments: Instruments,
    left_out: dict[str, str],
) -> None:
    pairs = list(spread_pairs(clips, portraits, bench.args.pairs))
    settings = motion_from(bench.args)
    methods = {name: as_animated(variant, settings) for name, variant in bench.variants.items()}
    outcome: Outcome[Pair] = Outcome(methods, Scores({"what arrives": ARRIVES}))
    meter = cross_meter(instruments)
    with tqdm(total=len(pairs) * len(methods), desc="cross", unit="clip", file=sys.stderr) as bar:
        measure_all(outcome, itertools.starmap(cross_pair, pairs), meter, bar.update)
    named = [[clip.name, portrait.name] for clip, portrait in pairs]
    bench.report(CROSS, outcome, instruments, left_out=left_out, pairs=named, **settings_of(bench.args, bench.variants))


def cross_meter(instruments: Instruments) -> Callable[[Pair], Meter]:
    """Compares readings of the driver and of what was made; the driver of a pair is read once."""
    reader = instruments.expression
    assert reader is not None

    def meter(pair: Pair) -> Meter:
        portrait = to_uint8(pair.reference)[0]
        driven, own = reader.read(to_uint8(pair.frames[1:])), reader(portrait)

        def measure(name: str, made: Tensor) -> dict[str, float]:
            frames = to_uint8(made)
            likeness = math.nan
            if instruments.identity is not None:
                likeness = mean_identity(instruments.identity, frames, portrait, name=pair.name)
            values = arrives(score_pair(name, driven, reader.read(frames), reference=own, identity=likeness))
            if instruments.identity is None:
                del values["identity"]
            return values

        return measure

    return meter
