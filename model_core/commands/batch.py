"""``animate --batch``: a list of videos, one JSON a line, done one after another or on a Ray cluster.

    {"reference": "me.png", "driving": "a.mp4", "output": "out/a.mp4", "settings": {"seed": 3, "paste": "reference"}}

The keys are the options of ``animate``; what a line does not say is as on the command line. A finished video is
skipped and an unfinished one goes on, so the same command resumes the list. A failure does not stop it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..errors import InputError, PortraitError
from ..files import NamedPath, refuse_overwriting
from ..plain import from_json, read_text
from .animate import animate_one, read, written
from .options import add_animate

_NOT_OF_A_LINE = ("batch", "ray")


@dataclass(frozen=True)
class Outcome:
    """How one video of a list ended; ``error`` is empty where it is there."""

    line: int
    output: str
    frames: int = 0
    resumed: int = 0
    error: str = ""

    @property
    def state(self) -> str:
        if self.error:
            return "failed"
        if self.resumed == self.frames:
            return "finished before"
        return f"done, resumed at frame {self.resumed}" if self.resumed else "done"


def run_batch(args: argparse.Namespace) -> int:
    """Do the list; returns 0, or 1 where a video failed."""
    jobs = read_list(Path(args.batch), args)
    if args.ray:
        from .cluster import run_on_cluster

        outcomes: Iterator[Outcome] = run_on_cluster(jobs)
    else:
        outcomes = (do_line(line, job) for line, job in jobs)
    failed = []
    for outcome in outcomes:
        if outcome.error:
            failed.append(outcome)
        print(f"line {outcome.line}: {outcome.output}: {outcome.state}", flush=True)
    print(f"{len(jobs) - len(failed)} of {len(jobs)} videos are finished")
    for outcome in sorted(failed, key=lambda outcome: outcome.line):
        print(f"line {outcome.line}: {outcome.output}: {outcome.error}")
    return 1 if failed else 0


def do_line(line: int, args: argparse.Namespace) -> Outcome:
    """One video; what a user can put right, and what the system refuses, becomes part of the outcome."""
    try:
        result = animate_one(args)
    except (PortraitError, OSError, RuntimeError) as error:
        return Outcome(line, str(args.output), error=str(error) or type(error).__name__)
    return Outcome(line, str(args.output), result.frames, result.resumed)


def read_list(path: Path, args: argparse.Namespace) -> list[tuple[int, argparse.Namespace]]:
    """The videos of a list, all checked before the first is begun.

    Args:
        args: the command line, whose settings every line starts from.
    Returns:
        (number of the line, its options), empty lines and lines that begin with # left out.
    Raises:
        InputError: names the line.
    """
    lines = read_text(path, name="--batch").splitlines()
    jobs = [
        (number, _options(line, args, name=f"--batch {path}, line {number}"))
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not jobs:
        raise InputError(
            f"--batch {path}: has no lines; write one JSON object a line, with reference, driving and output"
        )
    refuse_overwriting(
        [_of_line(number, named) for number, job in jobs for named in written(job)],
        [("--batch", path), *(_of_line(number, named) for number, job in jobs for named in read(job))],
    )
    return jobs


def _of_line(number: int, named: NamedPath) -> NamedPath:
    name, path = named
    return f"line {number}: {name}", path


def _options(line: str, args: argparse.Namespace, *, name: str) -> argparse.Namespace:
    values = from_json(line, name=name)
    if not isinstance(values, dict) or not isinstance(values.get("settings", {}), dict):
        raise InputError(f'{name}: write {{"reference": ..., "driving": ..., "output": ..., "settings": {{...}}}}')
    settings = values.pop("settings", {})
    values = {**values, **settings}
    given = {key: value for key, value in vars(args).items() if key not in _NOT_OF_A_LINE}
    parser = _LineParser(name)
    add_animate(parser)
    made = parser.parse_args(list(_words(values, name=name)), argparse.Namespace(**given, batch=None, ray=False))
    for key in ("reference", "driving", "output"):
        if not getattr(made, key):
            raise InputError(f"{name}: {key} is missing")
    return made


def _words(values: dict[str, Any], *, name: str) -> Iterator[str]:
    for key, value in values.items():
        option = "--" + key.replace("_", "-")
        if key in _NOT_OF_A_LINE:
            raise InputError(f"{name}: {key} is not an option of a single video")
        if value is None or value is False:
            continue
        if value is True:
            yield option
            continue
        for part in value if isinstance(value, list) else [value]:
            yield f"{option}={part}"


class _LineParser(argparse.ArgumentParser):
    """Tells by exception what is wrong with a line, instead of ending the process."""

    def __init__(self, name: str) -> None:
        super().__init__(prog=name, add_help=False, allow_abbrev=False)
        self._name = name

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self._name}: {message}")


def numbered(jobs: Sequence[tuple[int, argparse.Namespace]]) -> list[tuple[int, dict[str, Any]]]:
    """The jobs as plain values, for other machines."""
    return [(line, vars(args)) for line, args in jobs]
