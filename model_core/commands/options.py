"""The options of every command, as argparse takes them."""

from __future__ import annotations

import argparse
from typing import Any

from ..bundled import BUNDLED, DEFAULT_MODEL

MODEL = f"name, file or folder (default {DEFAULT_MODEL})"
MODELS_FOLDER = "where else to look for models; may be given again"
DEVICE = "auto (default), cpu, cuda, mps, ..."
HEAD = "a clone of github.com/ICT-VGL/ICT-FaceKit, or the .npz made of it"
SIDE = "width and height of the frames in pixels (default %(default)s)"


def _number_or_auto(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither auto nor a whole number") from error


def add_sampling(parser: argparse.ArgumentParser) -> None:
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


def add_motion(parser: argparse.ArgumentParser, title: str = "motion") -> None:
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


def add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models-folder", action="append", default=[], help=MODELS_FOLDER)
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
    animate.add_argument("--model", default=DEFAULT_MODEL, help=MODEL)
    animate.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="FILE",
        help="weights besides the model's own; may be given again",
    )
    animate.add_argument("--models-folder", action="append", default=[], help=MODELS_FOLDER)
    animate.add_argument("--device", default="auto", help=DEVICE)
    animate.add_argument(
        "--dtype",
        default="auto",
        choices=["auto", "float32", "float16", "bfloat16", "float8"],
        help="number format; auto: float32 on a CPU, elsewhere float16 or the format that the model asks for. "
        "float8: stored in 8 bits, computed in bfloat16",
    )
    add_motion(animate)
    add_analyzer(animate)
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
    add_sampling(animate)
    batch = animate.add_argument_group("many videos")
    batch.add_argument(
        "--batch", metavar="JOBS.jsonl", help="list of videos: one JSON object a line, with these options by name"
    )
    batch.add_argument("--ray", action="store_true", help="run the list on a Ray cluster, one job on each GPU")


def add_compare(commands: Any) -> None:
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
    compare.add_argument("--models-folder", action="append", default=[], help=MODELS_FOLDER)
    compare.add_argument("--device", default="auto", help=DEVICE)
    compare.add_argument("--metrics", action="store_true", help="print how much of the expression arrives, by model")
    compare.add_argument("--size", default="portrait", metavar="model|portrait|N", help="as for animate")
    add_analyzer(compare)
    add_motion(compare)


def add_analyzer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--analyzer",
        default="mediapipe",
        choices=["mediapipe", "facer", "facer_person"],
        help="face analyser; facer's parsing maps drive models that take them",
    )


def add_heads(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="table, demo, clips", required=True)
    table = actions.add_parser("table", help="measure how expressions move the landmarks")
    table.add_argument("--identities", type=int, default=90, help="number of heads to render and analyse")
    demo = actions.add_parser("demo", help="draw the example portrait and driving clip")
    for action in (table, demo):
        action.add_argument("head", help=HEAD)
    table.add_argument("output", help="file to write (.safetensors)")
    demo.add_argument("output", help="folder for the two files")
    clips = actions.add_parser("clips", help="render clips of heads for training; existing clips are kept")
    clips.add_argument("output", help="folder for the prepared clips (.npz)")
    clips.add_argument("--ict", required=True, metavar="HEAD", help=HEAD)
    clips.add_argument("--count", type=int, default=100, help="number of clips")
    clips.add_argument(
        "--seed", type=int, default=0, help="seed of the first clip; seeds from 10000000 on are held out"
    )
    clips.add_argument("--frames", type=int, default=10, help="frames of each clip, after the portrait")
    clips.add_argument("--size", type=int, default=256, help=SIDE)
    clips.add_argument("--photos", metavar="FOLDER", help="photographs whose faces the heads wear")
    clips.add_argument("--photo-share", type=float, default=1.0, help="share of the clips that wear one (default 1)")


def add_measure(commands: Any) -> None:
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


METRICS = """
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


def add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="measure models on held-out avatars, or on clips, portraits, heads and photographs of your own",
        description="Measure models: on held-out avatars, or on the sets given.",
        epilog=METRICS,
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
    add_motion(evaluate, "motion (of --clips; all else moves as the truth does)")
    add_sampling(evaluate)
