"""The command line: animate, compare, models, train, prepare, avatars, heads, evaluate, measure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .bundled import BUNDLED, DEFAULT_MODEL
from .errors import InputError, PortraitError


def _number_or_auto(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither auto nor a whole number") from error


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sampling (defaults are the model's own)")
    group.add_argument(
        "--steps",
        type=_number_or_auto,
        metavar="auto | N",
        help="denoising steps; auto: the model's own (default). 0: the carried portrait without the network",
    )
    group.add_argument(
        "--denoise",
        type=float,
        metavar="PART",
        help="1 starts from noise; lower values start from the carried portrait and keep more of it",
    )
    group.add_argument(
        "--scheduler",
        choices=["auto", "ddim", "euler", "dpmpp_2m", "lcm", "unipc"],
        default="auto",
        help="the solver that walks from noise to frames; auto: the model's own (default)",
    )
    group.add_argument("--seed", type=int, help="of the noise; the same seed gives the same bits")
    group.add_argument("--window", type=int, help="frames denoised together")
    group.add_argument("--overlap", type=int, help="frames shared by neighbouring windows")
    group.add_argument("--chunk", type=int, help="frames sampled and written at a time")
    group.add_argument("--history", type=int, help="finished frames that the next chunk sees")
    group.add_argument("--identity", type=float, help="lambda_s of signal fusion")
    group.add_argument("--motion", type=float, help="lambda_d of signal fusion")
    group.add_argument("--continuity", type=float, help="lambda_p of signal fusion")


def _add_motion(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("motion")
    group.add_argument(
        "--alignment",
        default="retarget",
        choices=["retarget", "relative", "absolute"],
        help="retarget: the driver's motion on the portrait's own face (default). relative, absolute: the driving face "
        "as a whole, from the portrait's place and size, or where it is",
    )
    group.add_argument(
        "--strength",
        action="append",
        default=[],
        metavar="REGION=X",
        help="how much of the motion arrives: head_rotation, head_translation, mouth, eyes, brows or gaze, 0 to 3, "
        "1 by default; may be given again",
    )
    group.add_argument(
        "--only", choices=["expression", "head"], help="leave the head where it is, or move nothing but the head"
    )
    group.add_argument(
        "--turning",
        choices=["relative", "absolute"],
        help="turn the head from where the portrait holds it, or hold it as the driver does "
        "(default relative; absolute with --paste driving)",
    )
    group.add_argument(
        "--rest-frame",
        default="0",
        metavar="N|frontal",
        help="the driving frame in which the driver looks as the portrait does (default 0)",
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models-folder", action="append", default=[])
    actions = parser.add_subparsers(dest="action", metavar="inspect, convert")
    inspect = actions.add_parser("inspect", help="say what files are, and what is missing to run")
    convert = actions.add_parser("convert", help="write a complete set of files as one of this project's own")
    for action in (inspect, convert):
        action.add_argument("files", nargs="+", help="weights files, or folders of them")
        action.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="what no file says: backbone.norm_num_groups=8",
        )
        action.add_argument("--preset", help="how the model is used, where the files would choose otherwise")
    convert.add_argument("--output", required=True, help="file to write (.safetensors)")
    convert.add_argument("--dtype", default="float16", choices=["float32", "float16", "bfloat16"])


def add_animate(animate: argparse.ArgumentParser) -> None:
    """The options of ``animate``, which the lines of a batch take too."""
    animate.add_argument("--reference", help="portrait image")
    animate.add_argument("--driving", help="driving video")
    animate.add_argument("--output", help="video to write (.mp4, .mov, .mkv)")
    animate.add_argument("--sheet", help="contact sheet to write (.png)")
    animate.add_argument("--model", default=DEFAULT_MODEL, help=f"name, file or folder (default {DEFAULT_MODEL})")
    animate.add_argument(
        "--part", action="append", default=[], metavar="FILE", help="weights beside the model's own; may be given again"
    )
    animate.add_argument("--models-folder", action="append", default=[], help="where else to look for models")
    animate.add_argument("--device", default="auto", help="auto, cpu, cuda, mps, ...")
    animate.add_argument("--dtype", default="auto", choices=["auto", "float32", "float16", "bfloat16", "float8"])
    _add_motion(animate)
    _add_analyzer(animate)
    animate.add_argument(
        "--size",
        default="portrait",
        metavar="model|portrait|N",
        help="of the video: the model's frame, the whole portrait's own size (default), or its long side in pixels",
    )
    animate.add_argument("--framing", default="auto", choices=["auto", "face", "full"])
    animate.add_argument("--face", type=int, default=0, help="which driving face, largest first")
    animate.add_argument("--max-gap", type=int, default=8, help="frames without a face that are filled in")
    animate.add_argument("--missing", default="interpolate", choices=["interpolate", "hold", "error"], help="how")
    animate.add_argument("--smooth", action="store_true", help="smooth the landmarks (One-Euro filter)")
    animate.add_argument("--frames", type=int, help="use only the first so many driving frames")
    animate.add_argument("--mask", help="image that is white on the person; else it is estimated")
    animate.add_argument(
        "--paste",
        default="none",
        choices=["none", "reference", "driving"],
        help="lay the face over the driving video; reference: the whole portrait, as --size portrait",
    )
    animate.add_argument("--no-colour-match", action="store_true", help="leave the colours of what is pasted")
    animate.add_argument("--no-audio", action="store_true", help="do not keep the driving video's sound")
    animate.add_argument("--job-folder", help="for what is finished, until all is (default OUTPUT.job)")
    _add_sampling(animate)
    batch = animate.add_argument_group("many videos")
    batch.add_argument("--batch", metavar="JOBS.jsonl", help="a list: one JSON a line with these options by name")
    batch.add_argument("--ray", action="store_true", help="do the list on a Ray cluster, one job on each GPU")


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser("compare", help="several models on one short clip, side by side")
    compare.add_argument("--reference", required=True, help="the portrait, an image file")
    compare.add_argument("--driving", required=True, help="the driving video")
    compare.add_argument("--models", nargs="+", default=list(BUNDLED), metavar="MODEL")
    compare.add_argument("--output", required=True, help="the video to write")
    compare.add_argument("--sheet", required=True, help="the contact sheet to write")
    compare.add_argument("--frames", type=int, help="driving frames to use, from the first one")
    compare.add_argument("--models-folder", action="append", default=[])
    compare.add_argument("--device", default="auto")
    compare.add_argument("--metrics", action="store_true", help="print how much expression arrives, by model")
    compare.add_argument("--size", default="portrait", metavar="model|portrait|N", help="as of animate")
    _add_analyzer(compare)
    _add_motion(compare)


def _add_analyzer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--analyzer",
        default="mediapipe",
        choices=["mediapipe", "facer", "facer_person"],
        help="what finds the faces; facer's parsing maps drive models that take them",
    )


def _add_heads(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="table, demo, clips", required=True)
    table = actions.add_parser("table", help="measure what expressions do to the landmarks")
    table.add_argument("--identities", type=int, default=90, help="heads to draw and look at")
    demo = actions.add_parser("demo", help="draw the example portrait and driving clip")
    for action in (table, demo):
        action.add_argument("head", help="a clone of github.com/ICT-VGL/ICT-FaceKit, or the .npz made of it")
    table.add_argument("output", help="file to write (.safetensors)")
    demo.add_argument("output", help="folder for the two files")
    clips = actions.add_parser("clips", help="render clips of heads for training, where they are not yet")
    clips.add_argument("output", help="folder for the prepared clips (.npz)")
    clips.add_argument("--ict", required=True, metavar="HEAD", help="as head of the others")
    clips.add_argument("--count", type=int, default=100)
    clips.add_argument("--seed", type=int, default=0, help="of the first clip; from 10000000 on they are held out")
    clips.add_argument("--frames", type=int, default=10, help="of each clip, after the portrait")
    clips.add_argument("--size", type=int, default=256)
    clips.add_argument("--photos", metavar="FOLDER", help="photographs whose faces the heads wear")
    clips.add_argument("--photo-share", type=float, default=1.0, help="of the clips that show one (default 1)")


def _add_measure(commands: Any) -> None:
    measure = commands.add_parser("measure", help="measure how much expression of the drivers arrives in videos")
    measure.add_argument("--reference", help="the portrait, an image file")
    measure.add_argument("--driving", help="the driving video")
    measure.add_argument("--generated", help="the video made of them, frame for frame")
    measure.add_argument("--pairs", metavar="PAIRS.jsonl", help="a list: one JSON a line with these three by name")
    measure.add_argument("--every", type=int, default=1, help="read one frame in so many (default 1)")
    measure.add_argument("--frames", type=int, help="use only the first so many frames")
    measure.add_argument("--identity", action="store_true", help="also whether the face is still the portrait's")
    measure.add_argument("--output", help="folder for table.md and metrics.json")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_core", description="Make a portrait move as a driving video moves."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    add_animate(commands.add_parser("animate", help="animate a portrait; the same command resumes"))

    _add_models(commands.add_parser("models", help="list the models found; inspect and convert public weights"))

    train = commands.add_parser("train", help="train a model; the same command resumes")
    train.add_argument("config", help="YAML file, e.g. model_core/training/configs/avatars_stage1.yaml")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. optim.steps=100")

    prepare = commands.add_parser("prepare", help="prepare a folder of real clips for training")
    prepare.add_argument("folder", help="clips, or folders with source, driving and target")
    prepare.add_argument("output", help="folder for the prepared clips (.npz)")
    prepare.add_argument("--size", type=int, default=128)
    prepare.add_argument("--frames", type=int, default=64, help="at most so many frames per clip")

    avatars = commands.add_parser("avatars", help="render synthetic avatars for training or evaluation")
    avatars.add_argument("output", help="folder for the prepared clips (.npz)")
    avatars.add_argument("--first-seed", type=int, default=0)
    avatars.add_argument("--count", type=int, default=100)
    avatars.add_argument("--frames", type=int, default=16)
    avatars.add_argument(
        "--pictured", type=int, default=0, help="drivers rendered too, which masked frames need; 1 is enough"
    )
    avatars.add_argument("--size", type=int, default=128)

    _add_heads(commands.add_parser("heads", help="what this project derives from rendered heads (needs moderngl)"))

    _add_compare(commands)

    _add_measure(commands)

    evaluate = commands.add_parser("evaluate", help="measure a model on held-out avatars")
    evaluate.add_argument("--model", default=DEFAULT_MODEL)
    evaluate.add_argument("--models-folder", action="append", default=[])
    evaluate.add_argument("--identities", type=int, default=6)
    evaluate.add_argument("--frames", type=int, default=24)
    evaluate.add_argument("--output", default="output/evaluation", help="folder for table, plot and sheet")
    evaluate.add_argument("--device", default="auto")
    evaluate.add_argument(
        "--ablation",
        action="append",
        default=[],
        metavar="NAME=MODEL",
        help="another model to measure beside it",
    )
    evaluate.add_argument("--sweep", action="store_true", help="also try scales of signal fusion and plot them")
    _add_sampling(evaluate)
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


def _train(args: argparse.Namespace) -> None:
    from .plain import from_yaml
    from .training.config import load_train_config
    from .training.train import train

    overrides = {}
    for setting in args.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise InputError(f"--set {setting}: write KEY=VALUE, e.g. optim.steps=100")
        overrides[key] = from_yaml(value, name=f"--set {key}")
    print(f"wrote {train(load_train_config(args.config, overrides))}")


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
