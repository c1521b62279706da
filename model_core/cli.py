"""The command line: animate, compare, models, train, matting, prepare, avatars, heads, evaluate, measure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .commands import options
from .errors import PortraitError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_core", description="Make a portrait move as a driving video moves."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    options.add_animate(commands.add_parser("animate", help="animate a portrait; the same command resumes"))

    options.add_models(commands.add_parser("models", help="list the models found; inspect and convert public weights"))

    train = commands.add_parser("train", help="train a model; the same command resumes")
    train.add_argument("config", help="YAML file, e.g. model_core/training/configs/avatars_stage1.yaml")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, e.g. optim.steps=100"
    )

    matting = commands.add_parser("matting", help="train the network that tells person from background; resumes")
    matting.add_argument("config", help="YAML file, e.g. model_core/training/configs/matting.yaml")
    matting.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of train")

    prepare = commands.add_parser("prepare", help="prepare a folder of real clips for training")
    prepare.add_argument("folder", help="clips, or folders with source, driving and target")
    prepare.add_argument("output", help="folder for the prepared clips (.npz)")
    prepare.add_argument("--size", type=int, default=128, help=options.SIDE)
    prepare.add_argument("--frames", type=int, default=64, help="most frames of a clip (default 64)")

    avatars = commands.add_parser("avatars", help="render synthetic avatars for training or evaluation")
    avatars.add_argument("output", help="folder for the prepared clips (.npz)")
    avatars.add_argument("--first-seed", type=int, default=0, help="seed of the first avatar (default 0)")
    avatars.add_argument("--count", type=int, default=100, help="number of avatars (default 100)")
    avatars.add_argument("--frames", type=int, default=16, help="frames of each clip (default 16)")
    avatars.add_argument(
        "--pictured",
        type=int,
        default=0,
        help="number of drivers to render as pictures too, which masked frames need; 1 is enough",
    )
    avatars.add_argument("--size", type=int, default=128, help=options.SIDE)

    options.add_heads(
        commands.add_parser(
            "heads", help="render heads: training clips, the example media, the table of expressions (needs moderngl)"
        )
    )

    options.add_compare(commands)

    options.add_measure(commands)

    options.add_evaluate(commands)
    return parser


def _animate(args: argparse.Namespace) -> int:
    from .commands.animate import run  # heavy imports only where they are needed: --help stays quick

    return run(args)


def _compare(args: argparse.Namespace) -> None:
    from .commands.compare import run

    run(args)


def _measure(args: argparse.Namespace) -> None:
    from .commands.measure import run

    run(args)


def _models(args: argparse.Namespace) -> None:
    from .commands.models import run

    run(args)


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of ``--set`` by dotted name."""
    from .commands.settings import pairs_of
    from .plain import from_yaml

    pairs = pairs_of("--set", args.set, "KEY=VALUE, e.g. optim.steps=100")
    return {key: from_yaml(value, name=f"--set {key}") for key, value in pairs}


def _train(args: argparse.Namespace) -> None:
    from .training.config import load_train_config
    from .training.train import train

    print(f"wrote {train(load_train_config(args.config, _overrides(args)))}")


def _matting(args: argparse.Namespace) -> None:
    from .training.matting.run import load_matting_config, train_matting

    print(f"wrote {train_matting(load_matting_config(args.config, _overrides(args)))}")


def _prepare(args: argparse.Namespace) -> None:
    from .bounds import Bounds
    from .commands.settings import check_option
    from .paths import readable_folder, writable_folder
    from .training.prepare import prepare_folder

    check_option(args, "size", Bounds(16, 4096))
    check_option(args, "frames", Bounds(1, 1_000_000))
    readable_folder(args.folder, name="folder")
    writable_folder(args.output, name="output")
    written = prepare_folder(Path(args.folder), Path(args.output), size=args.size, frames=args.frames)
    print(f"prepared {written} clips in {args.output}")


def _avatars(args: argparse.Namespace) -> None:
    from .bounds import Bounds
    from .commands.settings import check_option
    from .paths import writable_folder
    from .training.avatars.dataset import DRIVERS, write_identity

    check_option(args, "first_seed", Bounds(0, 2**62))
    check_option(args, "count", Bounds(1, 10_000_000))
    check_option(args, "frames", Bounds(1, 10_000))
    check_option(args, "pictured", Bounds(0, DRIVERS))
    check_option(args, "size", Bounds(16, 1024))
    writable_folder(args.output, name="output")
    for seed in tqdm(range(args.first_seed, args.first_seed + args.count), desc="avatars"):
        write_identity(Path(args.output), seed, frames=args.frames, pictured=args.pictured, size=args.size)
    print(f"avatars in {args.output}")


def _heads(args: argparse.Namespace) -> None:
    from .commands.heads import run

    run(args)


def _evaluate(args: argparse.Namespace) -> None:
    from .commands.evaluate import run

    run(args)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "animate": _animate,
    "compare": _compare,
    "measure": _measure,
    "models": _models,
    "train": _train,
    "matting": _matting,
    "prepare": _prepare,
    "avatars": _avatars,
    "heads": _heads,
    "evaluate": _evaluate,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; what a user can put right is one line on stderr and exit status 2."""
    args = _parser().parse_args(argv)
    try:
        return _COMMANDS[args.command](args) or 0
    except PortraitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a disk that fills up, a drive that is pulled
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; free some space, or check the drive", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
