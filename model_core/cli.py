"""The command line: animate, compare, models, train, matting, prepare, avatars, heads, evaluate, measure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .bundled import BUNDLED, DEFAULT_MODEL
from .errors import InputError, PortraitError

_MODEL = f"name, file or folder (default {DEFAULT_MODEL})"
_MODELS_FOLDER = "where else to look for models; may be given again"
_DEVICE = "auto (default), cpu, cuda, mps, ..."
_HEAD = "a clone of github.com/ICT-VGL/ICT-FaceKit, or the .npz made of it"
_SIDE = "width and height of the frames in pixels (default %(default)s)"


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
        help="solver that leads from noise to frames; auto: the model's own (default)",
    )
    group.add_argument("--seed", type=int, help="seed of the noise; the same seed gives the same bits")
    group.add_argument("--window", type=int, help="frames denoised together")
    group.add_argument("--overlap", type=int, help="frames shared by neighbouring windows")
    group.add_argument("--chunk", type=int, help="frames sampled and written at a time")
    group.add_argument("--history", type=int, help="finished frames that the next chunk sees")
    group.add_argument("--identity", type=float, help="signal fusion: scale of the portrait (the paper's lambda_s)")
    group.add_argument("--motion", type=float, help="signal fusion: scale of the driving face (lambda_d)")
    group.add_argument("--continuity", type=float, help="signal fusion: scale of the frames before (lambda_p)")


def _add_motion(parser: argparse.ArgumentParser, title: str = "motion") -> None:
    group = parser.add_argument_group(title)
    group.add_argument(
        "--alignment",
        default="retarget",
        choices=["retarget", "relative", "absolute"],
        help="retarget: apply the driver's motion to the portrait's own face (default). relative, absolute: take the "
        "driving face as a whole, from the portrait's place and size, or where it is in the clip",
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
        "--edit",
        action="append",
        default=[],
        metavar="SLIDER=X",
        help="set part of the face by hand, on top of the driver, such as smile=0.5, eye_left=-1 or yaw=10; a wrong "
        "name lists them all; may be given again",
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
    parser.add_argument("--models-folder", action="append", default=[], help=_MODELS_FOLDER)
    actions = parser.add_subparsers(dest="action", metavar="inspect, convert")
    inspect = actions.add_parser("inspect", help="show what files are, and what is missing to run")
    convert = actions.add_parser("convert", help="write a complete set of files as one of this project's own")
    for action in (inspect, convert):
        action.add_argument("files", nargs="+", help="weights files, or folders of them")
        action.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a setting that no file states, e.g. backbone.norm_num_groups=8",
        )
        action.add_argument("--preset", help="how to use the model, where the files alone would lead to another choice")
    convert.add_argument("--output", required=True, help="file to write (.safetensors)")
    convert.add_argument(
        "--dtype", default="float16", choices=["float32", "float16", "bfloat16"], help="number format (default float16)"
    )


def add_animate(animate: argparse.ArgumentParser) -> None:
    """The options of ``animate``, which the lines of a batch take too."""
    animate.add_argument("--reference", help="portrait image")
    animate.add_argument("--driving", help="driving video")
    animate.add_argument("--output", help="video to write (.mp4, .mov, .mkv)")
    animate.add_argument("--sheet", help="contact sheet to write (.png)")
    animate.add_argument("--model", default=DEFAULT_MODEL, help=_MODEL)
    animate.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="FILE",
        help="weights besides the model's own; may be given again",
    )
    animate.add_argument("--models-folder", action="append", default=[], help=_MODELS_FOLDER)
    animate.add_argument("--device", default="auto", help=_DEVICE)
    animate.add_argument(
        "--dtype",
        default="auto",
        choices=["auto", "float32", "float16", "bfloat16", "float8"],
        help="number format; auto: float32 on a CPU, elsewhere float16 or the format that the model asks for. "
        "float8: stored in 8 bits, computed in bfloat16",
    )
    _add_motion(animate)
    _add_analyzer(animate)
    animate.add_argument(
        "--size",
        default="portrait",
        metavar="model|portrait|N",
        help="size of the video: the model's frame, the whole portrait's own (default), or its long side in pixels",
    )
    animate.add_argument(
        "--framing",
        default="auto",
        choices=["auto", "face", "full"],
        help="full: as much of the portrait as fits the model. face: cropped around the face. auto: cropped where the "
        "face is much smaller or larger than the model knows (default)",
    )
    animate.add_argument(
        "--face", type=int, default=0, help="which face of the driving video to follow, the largest first (default 0)"
    )
    animate.add_argument(
        "--max-gap", type=int, default=8, help="longest gap without the face that is filled in, in frames (default 8)"
    )
    animate.add_argument(
        "--missing",
        default="interpolate",
        choices=["interpolate", "hold", "error"],
        help="fill such gaps in from their neighbours (default), hold the last frame that shows the face, or stop",
    )
    animate.add_argument("--smooth", action="store_true", help="smooth the landmarks (One-Euro filter)")
    animate.add_argument("--frames", type=int, help="number of driving frames to use, from the first one")
    animate.add_argument("--mask", help="image that is white on the person (default: estimated)")
    animate.add_argument(
        "--paste",
        default="none",
        choices=["none", "reference", "driving"],
        help="driving: lay the face over the driving video. reference: the whole portrait, as --size portrait",
    )
    animate.add_argument("--no-colour-match", action="store_true", help="do not match the colours of the pasted face")
    animate.add_argument("--no-audio", action="store_true", help="leave out the driving video's sound")
    animate.add_argument(
        "--job-folder", help="where finished chunks are kept until the video is complete (default OUTPUT.job)"
    )
    _add_sampling(animate)
    batch = animate.add_argument_group("many videos")
    batch.add_argument(
        "--batch", metavar="JOBS.jsonl", help="list of videos: one JSON object a line, with these options by name"
    )
    batch.add_argument("--ray", action="store_true", help="run the list on a Ray cluster, one job on each GPU")


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser("compare", help="several models on one short clip, side by side")
    compare.add_argument("--reference", required=True, help="the portrait, an image file")
    compare.add_argument("--driving", required=True, help="the driving video")
    compare.add_argument(
        "--models",
        nargs="+",
        default=list(BUNDLED),
        metavar="MODEL",
        help="models to compare (default: the bundled ones)",
    )
    compare.add_argument("--output", required=True, help="the video to write")
    compare.add_argument("--sheet", required=True, help="the contact sheet to write")
    compare.add_argument("--frames", type=int, help="number of driving frames to use, from the first one")
    compare.add_argument("--models-folder", action="append", default=[], help=_MODELS_FOLDER)
    compare.add_argument("--device", default="auto", help=_DEVICE)
    compare.add_argument("--metrics", action="store_true", help="print how much of the expression arrives, by model")
    compare.add_argument("--size", default="portrait", metavar="model|portrait|N", help="as for animate")
    _add_analyzer(compare)
    _add_motion(compare)


def _add_analyzer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--analyzer",
        default="mediapipe",
        choices=["mediapipe", "facer", "facer_person"],
        help="face analyser; facer's parsing maps drive models that take them",
    )


def _add_heads(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="table, demo, clips", required=True)
    table = actions.add_parser("table", help="measure how expressions move the landmarks")
    table.add_argument("--identities", type=int, default=90, help="number of heads to render and analyse")
    demo = actions.add_parser("demo", help="draw the example portrait and driving clip")
    for action in (table, demo):
        action.add_argument("head", help=_HEAD)
    table.add_argument("output", help="file to write (.safetensors)")
    demo.add_argument("output", help="folder for the two files")
    clips = actions.add_parser("clips", help="render clips of heads for training; existing clips are kept")
    clips.add_argument("output", help="folder for the prepared clips (.npz)")
    clips.add_argument("--ict", required=True, metavar="HEAD", help=_HEAD)
    clips.add_argument("--count", type=int, default=100, help="number of clips")
    clips.add_argument(
        "--seed", type=int, default=0, help="seed of the first clip; seeds from 10000000 on are held out"
    )
    clips.add_argument("--frames", type=int, default=10, help="frames of each clip, after the portrait")
    clips.add_argument("--size", type=int, default=256, help=_SIDE)
    clips.add_argument("--photos", metavar="FOLDER", help="photographs whose faces the heads wear")
    clips.add_argument("--photo-share", type=float, default=1.0, help="share of the clips that wear one (default 1)")


def _add_measure(commands: Any) -> None:
    measure = commands.add_parser("measure", help="measure how much of the drivers' expression arrives in videos")
    measure.add_argument("--reference", help="the portrait, an image file")
    measure.add_argument("--driving", help="the driving video")
    measure.add_argument("--generated", help="the video made from them, frame for frame")
    measure.add_argument(
        "--pairs", metavar="PAIRS.jsonl", help="list: one JSON object a line, with these three by name"
    )
    measure.add_argument("--every", type=int, default=1, help="read every EVERYth frame (default 1)")
    measure.add_argument("--frames", type=int, help="number of frames to use, from the first one")
    measure.add_argument(
        "--identity", action="store_true", help="also measure whether the face is still the portrait's"
    )
    measure.add_argument("--output", help="folder for table.md and metrics.json")


_METRICS = """
what is measured, and by what (a network that is not installed is named, and its columns are left out):
  PSNR, SSIM               pixels; no network. PSNR in dB; of mouth and eyes: within a mask of the true landmarks;
                           open mouth: between parted lips; closing lids: the eyes where they close
  ST-LPIPS                 AlexNet's features with ST-LPIPS's weights; regions as squares of 64 x 64 pixels
  landmark error, found    MediaPipe's Face Landmarker, in distances of the outer eye corners; share of frames
                           in which it finds a face
  flicker                  change from frame to frame against the truth's; no network
  warping, seam error      what Farneback's optical flow does not explain; seam: from one chunk to the next
  correlation, gain        MediaPipe's blendshapes (jaw, smile, pucker, funnel, blink, brow, gaze) against the driver's
  blink gain               the same of the blink alone
  yaw, pitch, roll         correlations of MediaPipe's facial transformation matrix; pose gain: of all three
  identity                 cosine of dlib's ResNet-34 face embedding to the portrait's; strangers come to 0.84 already
"""


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="measure models on held-out avatars, or on clips, portraits, heads and photographs of your own",
        description="Measure models: on held-out avatars, or on the sets given.",
        epilog=_METRICS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], metavar="MODEL", help="one or more")
    evaluate.add_argument("--models-folder", action="append", default=[])
    evaluate.add_argument("--identities", type=int, default=6, help="avatars to draw, where no set is given")
    evaluate.add_argument("--frames", type=int, default=24, help="of each clip (default 24)")
    evaluate.add_argument("--output", default="output/evaluation", help="folder for tables, figures and sheets")
    evaluate.add_argument("--device", default="auto")
    evaluate.add_argument(
        "--ablation",
        action="append",
        default=[],
        metavar="NAME=MODEL",
        help="another model to measure beside it",
    )
    evaluate.add_argument(
        "--sweep", action="store_true", help="avatars: also try scales of signal fusion and plot them"
    )
    sets = evaluate.add_argument_group("sets (instead of avatars)")
    sets.add_argument("--clips", metavar="FOLDER", help="videos of faces: each drives its own first frame")
    sets.add_argument(
        "--portraits", metavar="FOLDER", help="pictures that the clips drive (default: those among the clips)"
    )
    sets.add_argument("--heads", metavar="FOLDER", help="prepared clips, such as 'heads clips' renders, held out")
    sets.add_argument("--photos", metavar="FOLDER", help="prepared photographs, carried away as --heads move, and back")
    sets.add_argument("--every", type=int, default=1, help="take one frame of so many of the clips (default 1)")
    sets.add_argument("--limit", type=int, default=12, help="clips, portraits, heads, photographs at most (default 12)")
    sets.add_argument("--pairs", type=int, default=12, help="pairs of clip and portrait at most (default 12)")
    sets.add_argument("--size", type=int, default=512, help="long side of larger clips and portraits (default 512)")
    sets.add_argument(
        "--ablate",
        action="store_true",
        help="also each model with other steps and scales, without overlap, history and separation, with factorised "
        "attention, and on heads and photographs with other motion; in short windows and chunks",
    )
    _add_motion(evaluate, "motion (of --clips; all else moves as the truth does)")
    _add_sampling(evaluate)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_core", description="Make a portrait move as a driving video moves."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    add_animate(commands.add_parser("animate", help="animate a portrait; the same command resumes"))

    _add_models(commands.add_parser("models", help="list the models found; inspect and convert public weights"))

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
    prepare.add_argument("--size", type=int, default=128, help=_SIDE)
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
    avatars.add_argument("--size", type=int, default=128, help=_SIDE)

    _add_heads(
        commands.add_parser(
            "heads", help="render heads: training clips, the example media, the table of expressions (needs moderngl)"
        )
    )

    _add_compare(commands)

    _add_measure(commands)

    _add_evaluate(commands)
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
    from .plain import from_yaml

    overrides = {}
    for setting in args.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise InputError(f"--set {setting}: write KEY=VALUE, e.g. optim.steps=100")
        overrides[key] = from_yaml(value, name=f"--set {key}")
    return overrides


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
