"""``evaluate`` on a user's own clips and portraits, on rendered heads and on photographs: a table for each."""

from __future__ import annotations

import argparse
import dataclasses
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..bounds import Bounds
from ..errors import InputError
from ..evaluation.ablations import sampling_ablations, short_windows, signal_ablations
from ..evaluation.cases import Case
from ..evaluation.instruments import LANDMARKS, PERCEPTUAL, SSIM, Instruments, find_instruments
from ..evaluation.methods import WITHOUT, Variant, by_model, exact
from ..evaluation.outcome import Meter, Outcome, measure_all
from ..evaluation.prepared import head_cases, photo_cases, prepared_clips
from ..evaluation.report import write_json
from ..evaluation.scores import Scores
from ..evaluation.sheet import contact_sheet
from ..evaluation.truth import OVER_TIME, PICTURES, TruthMeter
from ..faces.backends import load_analyzer
from ..families import check_sampling
from ..files import atomic_path, refuse_overwriting
from ..images import save_image
from ..models import load_model
from ..paths import writable_folder, writing
from ..training.clips import ClipFile
from .settings import check_option, choose_device, model_files, model_folders, pairs_of, sampling_from

TRUTH = {"pictures": PICTURES, "over time": OVER_TIME}
"""The columns of a table with a ground truth."""


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        name: of its files.
        title: what it measures.
        identities: what the error bars are over.
        measures: names of ``Instruments.missing`` that its columns need.
    """

    name: str
    title: str
    identities: str
    measures: Sequence[str]


MEASURES_OF_TRUTH = (LANDMARKS, PERCEPTUAL, SSIM)
HEADS = Section("heads", "rendered heads, moved as the truth is", "heads", MEASURES_OF_TRUTH)
PHOTOS = Section("photos", "photographs carried away and back", "photographs", MEASURES_OF_TRUTH)


class Bench:
    """What every table of one call needs: models, instruments, and where results go."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.output = Path(args.output)
        self.device = choose_device(args.device)
        self.folders = model_folders(args)
        self.variants = self._variants()

    def _variants(self) -> dict[str, Variant]:
        """The carried portrait alone, and every model with its own settings and what the user changed of them."""
        models: dict[str, Variant] = {}
        for wanted, path in [*(("", path) for path in self.args.model), *named_models(self.args)]:
            model = load_model(path, device=self.device, folders=self.folders)
            sampling = sampling_from(self.args, model.config.sampling)
            check_sampling(model.config, sampling)
            name = wanted or model.config.name
            models[f"{name} ({path})" if name in models else name] = Variant(model, sampling)
        first = next(iter(models.values()))
        return {WITHOUT: _carried(first), **models}

    def ablated(self, frames: int, *, signals: bool) -> dict[str, Variant]:
        """The rows of a table: the models, and with ``--ablate`` each with one thing at a time changed."""
        if not self.args.ablate:
            return self.variants
        made: dict[str, Variant] = {}
        for name, plain in self.variants.items():
            base = dataclasses.replace(plain, sampling=short_windows(plain.sampling, frames))
            made[name] = base
            if name != WITHOUT:
                changes = sampling_ablations(base.model, base.sampling, moving=frames > 1)
                changes |= signal_ablations(base.model, base.sampling) if signals else {}
                made |= {f"{name}, {change}": variant for change, variant in changes.items()}
        return made

    def frame_size(self) -> tuple[int, int]:
        """(H, W) that all models make.

        Raises:
            InputError: they do not agree.
        """
        sizes = {name: variant.model.config.size for name, variant in self.variants.items()}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {w}x{h}" for name, (h, w) in sizes.items() if name != WITHOUT)
            raise InputError(f"--model: frames of different sizes ({said}); give --heads models of one size at a time")
        return next(iter(sizes.values()))

    def instruments(self) -> Instruments:
        return find_instruments(
            lambda: load_analyzer("mediapipe", folders=self.folders, device=self.device), device=self.device
        )

    def report(self, section: Section, outcome: Outcome[Any], instruments: Instruments, **facts: Any) -> None:
        """Print a table, and write it with its figures and its sheet."""
        scores = outcome.scores
        against = scores.against(WITHOUT)
        missing = {name: why for name, why in instruments.missing.items() if name in section.measures}
        text = _text(section, scores, missing, facts.get("left_out", {}))
        with writing(self.output / f"{section.name}.md"), atomic_path(self.output / f"{section.name}.md") as partial:
            partial.write_text(text, encoding="utf-8")
        write_json(
            self.output / f"{section.name}.json",
            scores.rows(),
            title=section.title,
            against=[dataclasses.asdict(row) for row in against],
            measured=[dataclasses.asdict(one) for one in scores.measured],
            missing=missing,
            seconds=outcome.seconds,
            torch=torch.__version__,
            machine=platform.machine(),
            **facts,
        )
        save_image(contact_sheet(outcome.rows()), self.output / f"{section.name}.png")
        print(text, end="")
        print(f"wrote {self.output}: {', '.join(f'{section.name}.{suffix}' for suffix in ('md', 'json', 'png'))}\n")


def run_sets(args: argparse.Namespace) -> None:
    """The tables that the options ask for, one after the other; all that can be wrong is checked before."""
    for name, least in (("frames", 1), ("every", 1), ("limit", 1), ("pairs", 1), ("size", 64)):
        check_option(args, name, Bounds(least, 1_000_000))
    if args.sweep:
        raise InputError("--sweep: is for avatars; give --ablate, which tries some scales of fusion on sets too")
    if args.photos and not args.heads:
        raise InputError("--photos: are moved as heads move; give a folder of rendered heads with --heads too")
    if args.portraits and not args.clips:
        raise InputError("--portraits: need somebody who drives them; give a folder of videos with --clips too")
    output = writable_folder(args.output, name="--output")
    models = [*args.model, *(path for _, path in named_models(args))]
    names = [f"{name}.{suffix}" for name in ("self", "cross", "heads", "photos") for suffix in ("md", "json", "png")]
    refuse_overwriting([("--output", output / name) for name in names], model_files("--model", models))
    from .evaluate_media import listed_media, run_media

    media = listed_media(args) if args.clips else None
    bench = Bench(args)
    heads = _prepared(bench, "heads") if args.heads else []
    photos = _prepared(bench, "photos") if args.photos else []
    instruments = bench.instruments()
    if media is not None:
        run_media(bench, media, instruments)
    if heads:
        _run_prepared(bench, HEADS, head_cases(heads, frames=args.frames), len(heads), instruments)
    if photos:
        views = min(args.frames, _VIEWS)
        cases = photo_cases(photos, heads, views=views)
        _run_prepared(bench, PHOTOS, cases, len(photos) * views, instruments)


_VIEWS = 8
"""Ways at most that a photograph is carried away."""


def named_models(args: argparse.Namespace) -> list[tuple[str, str]]:
    """The pairs of ``--ablation``: a row's name, and its model."""
    return pairs_of("--ablation", args.ablation, "NAME=MODEL")


def _carried(variant: Variant) -> Variant:
    return dataclasses.replace(variant, sampling=dataclasses.replace(variant.sampling, steps=0))


def _prepared(bench: Bench, option: str) -> list[ClipFile]:
    folder = getattr(bench.args, option)
    return prepared_clips(folder, size=bench.frame_size(), limit=bench.args.limit, option=f"--{option}")


def _run_prepared(bench: Bench, section: Section, cases: Iterator[Case], total: int, instruments: Instruments) -> None:
    still = section is PHOTOS
    variants = bench.ablated(1 if still else bench.args.frames, signals=True)
    methods = {name: by_model(v.model, v.sampling, v.signal or exact) for name, v in variants.items()}
    outcome = Outcome(methods, Scores({"pictures": PICTURES} if still else TRUTH))

    def meter(case: Case) -> Meter:
        measure = TruthMeter(case, instruments)
        return lambda name, made: measure(made, seams=variants[name].seams(len(made)))

    with tqdm(total=total * len(methods), desc=section.name, unit="clip", file=sys.stderr) as bar:
        measure_all(outcome, cases, meter, bar.update)
    bench.report(section, outcome, instruments, **settings_of(bench.args, variants))


def settings_of(args: argparse.Namespace, variants: Mapping[str, Variant]) -> dict[str, Any]:
    """What the figures of a table depend on."""
    return {
        "frames": args.frames,
        "every": args.every,
        "limit": args.limit,
        "models": list(args.model),
        "sampling": {name: dataclasses.asdict(variant.sampling) for name, variant in variants.items()},
    }


def _text(section: Section, scores: Scores, missing: Mapping[str, str], left_out: Mapping[str, str]) -> str:
    """The table with all that has to be known of it."""
    rows = scores.rows()
    people = len({one.identity for one in scores.measured})
    cases = max((row.cases for row in rows), default=0)
    counted = f"{cases} case(s), mean ± half the 95 % bootstrap interval over {people} {section.identities}"
    parts = [f"{section.title}: {counted}", scores.table(rows).rstrip()]
    against = scores.against(WITHOUT)
    if against:
        parts += [f'difference to "{WITHOUT}" in the same cases', scores.table(against).rstrip()]
    parts += [f"not measured: {name}; {why}" for name, why in missing.items()]
    parts += [f"left out: {why}" for why in left_out.values()]
    return "\n\n".join(parts) + "\n"
