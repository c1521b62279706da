"""What a user can get wrong on the command line: one line that names the input and the remedy, before any work.

A table: the command, what its error says, and the exit status. Every case runs in a folder of inputs that it must leave
as they are, within a time limit, and without a traceback. Whatever would begin the work (faces, clips, training) fails
the test, so that a fault is found before it; ``begins`` lifts that where only the work can find it.
"""

from __future__ import annotations

import io
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.cli import main
from model_core.config import ModelConfig
from tests.bad_inputs import fingerprint, write_inputs

LIMIT = 20.0
"""Seconds that a case may take on a busy machine; most take a hundredth of one."""
LONG = "x" * 300


@dataclass(frozen=True)
class Case:
    """One command line.

    Attributes:
        words: of it; LONG stands for a name of 300 characters.
        says: what its output has to contain.
        exit: the status.
        begins: whether the work has to begin for the fault to be found.
    """

    words: str
    says: str
    exit: int = 2
    begins: bool = False


def cases(command: str, *table: tuple[str, str]) -> list[Case]:
    """A case for each pair of further words, which win over the command's, and what they make it say."""
    return [Case(f"{command} {words}", says) for words, says in table]


INPUTS = "--reference portrait.png --driving driving.mp4 --device cpu"
ANIMATE = f"animate {INPUTS} --output out/a.mp4 --model tiny.safetensors"
COMPARE = f"compare {INPUTS} --output out/a.mp4 --sheet out/a.png --models tiny.safetensors"
MEASURE = "measure --reference portrait.png --driving driving.mp4 --generated driving.mp4"
EVALUATE = "evaluate --model tiny.safetensors --identities 1 --frames 2 --device cpu --output out"
TRAIN = "train train.yaml"
CONVERT = "models convert tiny.safetensors --output out/a.safetensors"
CONFIG = "its config cannot be read"

MEDIA = cases(
    ANIMATE,
    ("--reference none.png", "image none.png: no such file; check the path"),
    ("--reference empty.png", "image empty.png: not an image that can be read"),
    ("--reference text.png", "image text.png: not an image that can be read"),
    ("--reference cut.png", "image cut.png: damaged or unreadable"),
    ("--reference nothing", "image nothing: is a folder; name a file in it"),
    ("--reference forbidden.png", "image forbidden.png: cannot be opened (Permission denied); it may be whole"),
    ("--reference huge.png", "image huge.png: far too large"),
    ("--reference pixel.png", "pixel.png: 1 x 1 pixels (width x height) is too small"),
    ("--reference small.png", "small.png: 40 x 40 pixels (width x height) is too small"),
    ("--reference driving.mp4", "image driving.mp4: not an image that can be read"),
    ("--reference video.png", "image video.png: not an image that can be read"),
    ("--reference LONG", "image xxx"),
    ("--reference ''", "--reference: is missing"),
    ("--driving none.mp4", "video none.mp4: no such file or folder; check the path"),
    ("--driving empty.mp4", "video empty.mp4: the file is empty"),
    ("--driving text.mp4", "video text.mp4: not a video that can be read"),
    ("--driving cut.mp4", "video cut.mp4: its last"),
    ("--driving nothing", "video nothing: a folder without images"),
    ("--driving folder.mp4", "video folder.mp4: a folder without images"),
    ("--driving forbidden.mp4", "video forbidden.mp4: cannot be opened (Permission denied)"),
    ("--driving picture.mp4", "picture.mp4"),
    ("--driving text.png", "video text.png: not an image that can be read"),
    ("--driving LONG", "video xxx"),
    ("--mask none.png", "image none.png: no such file"),
    ("--mask small.png", "small.png: 40x40 pixels, the portrait has 96x96"),
    ("--mask text.mp4", "image text.mp4: not an image"),
)
NUMBERS = cases(
    ANIMATE,
    ("--steps -1", "--steps -1: must be from 0 to 1000"),
    ("--steps 99999999999999999999", "--steps 99999999999999999999: must be from 0 to 1000"),
    ("--steps 1.5", "argument --steps: '1.5' is neither auto nor a whole number"),
    ("--steps many", "argument --steps: 'many' is neither auto nor a whole number"),
    ("--steps ''", "argument --steps: '' is neither auto nor a whole number"),
    ("--denoise 0", "--denoise 0.0: must be above 0 and at most 1"),
    ("--denoise 1.01", "--denoise 1.01: must be above 0 and at most 1"),
    ("--denoise nan", "--denoise nan: must be above 0"),
    ("--denoise inf", "--denoise inf: must be above 0"),
    ("--scheduler heun", "argument --scheduler: invalid choice: 'heun'"),
    ("--scheduler lcm --steps 51", "51"),
    ("--seed -1", "--seed -1: must be from 0 to 18446744073709551615"),
    ("--seed 18446744073709551616", "--seed 18446744073709551616: must be from 0"),
    ("--window 0", "--window 0: must be from 1 to 1024"),
    ("--window 99999", "--window 99999: must be from 1 to 1024"),
    ("--window 7", "window 7 with history 2: 9 frames at a time, of which the networks know 8"),
    ("--history 5", "window 4 with history 5: 9 frames at a time"),
    ("--history -1", "--history -1: must be from 0"),
    ("--overlap 4", "--overlap 4 with window 4"),
    ("--overlap -1", "--overlap -1: must be from 0"),
    ("--chunk 0", "--chunk 0: must be from 1"),
    ("--identity nan", "--identity nan: must be from -100 to 100"),
    ("--motion inf", "--motion inf: must be from -100 to 100"),
    ("--continuity=-inf", "--continuity -inf: must be from -100 to 100"),
    ("--continuity 1e9", "--continuity 1000000000.0: must be from -100 to 100"),
    ("--face -1", "--face -1: must be from 0"),
    ("--max-gap -1", "--max-gap -1: must be from 0"),
    ("--frames 0", "--frames 0: must be from 1"),
    ("--frames -3", "--frames -3: must be from 1"),
    ("--strength mouth=9", "strength: mouth 9.0: must be from 0 to 3"),
    ("--strength mouth=nan", "strength: mouth nan: must be from 0 to 3"),
    ("--strength mouth=-1", "strength: mouth -1.0: must be from 0 to 3"),
    ("--strength mouth", "--strength mouth: write REGION=X"),
    ("--strength nose=1", "--strength nose=1: write REGION=X with one of head_rotation"),
    ("--strength mouth=", "--strength mouth=: '' is not a number"),
    ("--rest-frame -1", "rest_frame -1: must be from 0"),
    ("--rest-frame first", "--rest-frame first: give a frame's number, or frontal"),
    ("--size 7", "size 7: choose model or portrait, or must be from 64 to 4096"),
    ("--size 99999999", "size 99999999: choose model or portrait"),
    ("--size huge", "--size huge: choose model, portrait"),
    ("--framing none", "argument --framing: invalid choice"),
    ("--missing skip", "argument --missing: invalid choice"),
    ("--analyzer eyes", "argument --analyzer: invalid choice"),
    ("--paste everywhere", "argument --paste: invalid choice"),
    ("--device abacus", "--device abacus: not usable here"),
    ("--device ''", "--device : not usable here"),
    ("--dtype int4", "argument --dtype: invalid choice"),
    ("--ray", "--ray: runs a list of videos; give the list with --batch"),
    ("--colour red", "unrecognized arguments: --colour red"),
)
OUTPUTS = [
    *cases(
        ANIMATE,
        ("--output a.gif", "--output a.gif: unknown type '.gif'; use .m4v"),
        ("--output a", "--output a: unknown type ''"),
        ("--output folder.mp4", "--output folder.mp4: is a folder; name a file"),
        ("--output driving.mp4/a.mp4", "--output driving.mp4/a.mp4: lies in --driving driving.mp4"),
        ("--output LONG.mp4", "too long); choose another folder or name"),
        ("--output LONG/a.mp4", "choose another folder or name"),
        ("--output ''", "--output: is missing"),
        ("--sheet s.xyz", "--sheet s.xyz: unknown type '.xyz'; use .bmp"),
        ("--sheet driving.mp4/s.png", "--sheet driving.mp4/s.png: lies in --driving driving.mp4"),
        ("--sheet nothing", "--sheet nothing: unknown type ''"),
        ("--sheet LONG.png", "too long"),
        ("--job-folder portrait.png", "--job-folder portrait.png: is the same as --reference portrait.png"),
    ),
    *cases(
        COMPARE,
        ("--output a.gif", "--output a.gif: unknown type"),
        ("--output portrait.png/a.mp4", "--output portrait.png/a.mp4: lies in --reference portrait.png"),
        ("--sheet s.xyz", "--sheet s.xyz: unknown type"),
        ("--sheet portrait.png/s.png", "--sheet portrait.png/s.png: lies in --reference portrait.png"),
    ),
    *cases(
        EVALUATE,
        ("--output portrait.png", "--output portrait.png: is a file; name a folder"),
        ("--output portrait.png/out", "--output portrait.png/out: cannot be written there"),
        ("--output LONG", "choose another folder or name"),
    ),
    *cases(
        MEASURE,
        ("--output portrait.png", "--output portrait.png: is a file; name a folder"),
        ("--output LONG", "choose another folder or name"),
    ),
    *cases(
        CONVERT,
        ("--output out/a.pth", "--output out/a.pth: the file's name has to end in .safetensors"),
        ("--output portrait.png/a.safetensors", "--output portrait.png/a.safetensors: cannot be written there"),
        ("--output LONG.safetensors", "too long"),
    ),
    *cases(
        TRAIN,
        ("--set output=portrait.png", "output portrait.png: is a file; name a folder"),
        ("--set output=LONG", "choose another folder or name"),
    ),
    *cases("prepare media", ("portrait.png", "output portrait.png: is a file"), ("LONG", "choose another folder")),
    *cases("avatars", ("portrait.png", "output portrait.png: is a file"), ("LONG", "choose another folder")),
    *cases(
        "heads",
        ("table nothing a.txt", "output a.txt: unknown type '.txt'; use .safetensors"),
        ("table nothing portrait.png/a.safetensors", "output portrait.png/a.safetensors: cannot be written there"),
        ("demo nothing portrait.png", "output portrait.png: is a file; name a folder"),
    ),
    # further outputs (overwritten inputs, job folders, names that collide) belong here
]
MODELS = [
    *cases(
        ANIMATE,
        ("--model none", "model 'none' is neither a .safetensors file, nor a folder of weights"),
        ("--model none.safetensors", "model 'none.safetensors' is neither"),
        ("--model LONG", "is neither a .safetensors file"),
        ("--model nothing", "model 'nothing' is neither"),
        ("--model ''", "model '' is neither"),
        ("--model cut.safetensors", "cut.safetensors is not a whole safetensors file"),
        ("--model empty.safetensors", "empty.safetensors is not a whole safetensors file"),
        ("--model text.safetensors", "text.safetensors is not a whole safetensors file"),
        ("--model header.safetensors", "header.safetensors is not a whole safetensors file"),
        ("--model page.safetensors", "It is a web page, not weights"),
        ("--model pointer.safetensors", "It is a git-lfs pointer"),
        ("--model forbidden.safetensors", "forbidden.safetensors: cannot be opened (Permission denied)"),
        ("--model foreign.safetensors", "foreign.safetensors is of a kind that is not known here"),
        ("--model missing.safetensors", "missing (1): backbone.denoiser.unet.conv_in.weight"),
        ("--model nan-weights.safetensors", "nan-weights.safetensors holds NaN or infinite weights"),
        ("--model size-huge.safetensors", f"size-huge.safetensors: {CONFIG} (model: size (1000000000, 1000000000)"),
        ("--model size-zero.safetensors", f"{CONFIG} (model: size (0, 0): every entry must be from 8 to 4096)"),
        ("--model size-negative.safetensors", f"{CONFIG} (model: size (-32, 32)"),
        ("--model size-text.safetensors", f"{CONFIG} (model: size 'large': must be a list with 2 entries)"),
        ("--model size-odd.safetensors", "both sides must be multiples of the autoencoder's stride, 4"),
        ("--model family.safetensors", f"{CONFIG} (model: family 'gan': choose unet or dit)"),
        ("--model nan.safetensors", f"{CONFIG} (autoencoder: scaling_factor nan: must be above 0"),
        ("--model windows.safetensors", "window 16 with history 3: 19 frames at a time, of which the networks know 8"),
        ("--model kl.safetensors", f"{CONFIG} (autoencoder.kl: layers_per_block 10000000: must be from 0 to 256"),
        ("--model channels.safetensors", "block_out_channels (800000, 800000): every entry must be from 1 to 16384"),
        ("--model layers.safetensors", "layers_per_block 10000000: must be from 1 to 16"),
        ("--model levels.safetensors", "2 levels need 2 entries in down_attention"),
        ("--model groups.safetensors", "no network can be built from its config"),
        ("--model encoder.safetensors", "image_encoder.num_hidden_layers 10000000: must be from 0 to 256"),
        ("--model unknown.safetensors", "its backbone has settings that are not known here"),
        ("--model deep.safetensors", f"deep.safetensors: {CONFIG} (config: is no JSON (nested too deeply)"),
        ("--model list.safetensors", f"list.safetensors: {CONFIG}"),
        ("--model no-json.safetensors", f"no-json.safetensors: {CONFIG} (config: is no JSON"),
        ("--model half.safetensors", f"half.safetensors: {CONFIG}"),
        ("--models-folder nowhere", "--models-folder nowhere: no such folder; give a folder that is there"),
        ("--models-folder portrait.png", "--models-folder portrait.png: is no folder"),
        ("--model deep --models-folder models", f"deep.safetensors: {CONFIG}"),
        (
            "--model other --models-folder models",
            "nor one of the models found: vivid-avatars, driven-avatars, good, tiny",
        ),
        ("--part none.safetensors", "none.safetensors"),
        ("--part text.pth", "text.pth is not a torch file of tensors only"),
    ),
    *cases(
        "models",
        ("--models-folder nowhere", "--models-folder nowhere: no such folder"),
        ("inspect none.safetensors", "none.safetensors: no such weights file"),
        ("inspect nothing", "nothing: no weights in this folder"),
        ("inspect portrait.png", "portrait.png: a weights file ends in one of"),
        ("inspect cut.safetensors", "cut.safetensors is not a whole safetensors file"),
        ("inspect deep.safetensors", f"deep.safetensors: {CONFIG}"),
        ("inspect size-huge.safetensors", f"size-huge.safetensors: {CONFIG}"),
        ("inspect forbidden.safetensors", "forbidden.safetensors: cannot be opened (Permission denied)"),
        ("inspect bomb.pth", "MB when it is unpacked, which no weights do; it was not opened"),
        ("inspect text.pth", "text.pth is not a torch file of tensors only"),
        ("inspect order.pth", "order.pth is not a torch file of tensors only (UnpicklingError); it was not executed"),
        ("inspect list.pth", "list.pth holds no state dict"),
        ("inspect LONG.safetensors", "no such weights file"),
        ("inspect foreign.safetensors --set x", "--set x: write KEY=VALUE"),
        ("inspect foreign.safetensors --set x=[1", "--set x: not YAML"),
        ("inspect foreign.safetensors --set colour=1", "override colour: there is no such setting"),
        ("inspect foreign.safetensors --set backbone.block_out_channels=8", "block_out_channels 8: must be a list"),
        ("inspect foreign.safetensors --set backbone.layers_per_block=99999", "layers_per_block 99999: must be"),
        ("inspect foreign.safetensors --set size=.nan", "size"),
        ("inspect foreign.safetensors --preset sd9", "preset 'sd9': choose one of"),
        ("convert none.safetensors --output out/a.safetensors", "none.safetensors: no such weights file"),
        ("convert foreign.safetensors --output out/a.safetensors", "is of a kind that is not known here"),
        ("convert bomb.pth --output out/a.safetensors", "which no weights do"),
        ("convert tiny.safetensors", "the following arguments are required: --output"),
        ("convert tiny.safetensors --output out/a.safetensors --dtype int4", "argument --dtype: invalid choice"),
    ),
    Case("models --models-folder models", f"models/size-huge.safetensors: {CONFIG}", exit=0),
    Case("models --models-folder models", "good                         unet   models/good.safetensors", exit=0),
]
YAML = [
    *cases(
        "train",
        ("none.yaml", "training config none.yaml: no such file; check the path"),
        ("nothing", "training config nothing: is a folder"),
        ("LONG", "training config xxx"),
        ("no-yaml.yaml", "training config no-yaml.yaml: not YAML"),
        ("nested.yaml", "training config nested.yaml: not YAML (nested too deeply)"),
        ("latin.yaml", "training config latin.yaml: is no text in UTF-8"),
        ("a-list.yaml", "training config a-list.yaml: holds no settings"),
        ("blank.yaml", "training config blank.yaml: holds no settings"),
        ("orders.yaml", "training config orders.yaml: not YAML"),
        ("endless.yaml", "training config endless.yaml: nested more than 32 deep"),
        ("laughs.yaml", "training config laughs.yaml: holds more than 100000 values"),
        ("no-model.yaml", "give either 'model' or 'init_from'"),
        ("typo.yaml", "settings ['steps'] are missing"),
    ),
    *cases(
        TRAIN,
        ("--set optim.steps", "--set optim.steps: write KEY=VALUE"),
        ("--set x=[1", "--set x: not YAML"),
        ("--set optim.steps=0", "optim: steps 0: must be from 1"),
        ("--set optim.steps=many", "optim: steps 'many': must be a whole number from 1"),
        ("--set optim.steps=true", "optim: steps True: must be a whole number"),
        ("--set optim.steps=.inf", "optim: steps inf: must be a whole number"),
        ("--set optim.lr=.nan", "optim: lr nan: must be from 0 to 1"),
        ("--set optim.ema=5", "optim: ema 5: must be from 0"),
        ("--set optim.warmup=-3", "optim: warmup -3: must be from 0"),
        ("--set optim.batch=0", "optim: batch 0: must be from 1"),
        ("--set optim.steps=[]", "optim: steps []: must be a whole number"),
        ("--set optim=3", "optim: settings are needed here, not 3"),
        ("--set optim.steps.more=1", "'steps' is a single setting"),
        ("--set condition.unconditional=2", "condition: unconditional 2: must be from 0 to 1"),
        ("--set data.frames=0", "data: frames 0: must be from 1"),
        ("--set data.cross_identity=1.5", "data: cross_identity 1.5: must be from 0 to 1"),
        ("--set data.folder=nowhere", "data.folder nowhere: no such folder"),
        ("--set data.folder=nothing", "nothing: no prepared clips (*.npz)"),
        ("--set data.folder=clips-large", "a.npz: frames of 64 x 64 pixels (height x width), the model's are 32 x 32"),
        ("--set data.folder=clips-short", "a.npz: 1 frames are too short for samples of 2"),
        ("--set data.folder=clips-points", "a.npz: its landmarks are (4, 68, 3), not (4, 478, 3)"),
        ("--set data.folder=clips-cut", "a.npz: cannot be read"),
        ("--set data.folder=clips-text", "a.npz: cannot be read"),
        ("--set data.folder=clips-names", "not a prepared clip, ['foreground', 'images', 'landmarks'] are missing"),
        ("--set data.photos=clips", "data.photos: photographs do not move"),
        ("--set save_every=0", "save_every 0: must be from 1"),
        ("--set seed=-1", "seed -1: must be from 0"),
        ("--set stage=3", "stage 3: choose 1 or 2"),
        ("--set stage=2", "stage 2: samples of 0 + 2 frames, but windows of 2 + 4 are sampled"),
        ("--set init_from=none.safetensors", "model 'none.safetensors' is neither"),
        ("--set init_from=deep.safetensors", f"deep.safetensors: {CONFIG}"),
        ("--set init_from=3", "init_from 3: must be text"),
        ("--set colour=1", "unknown settings ['colour']"),
        ("--set model.colour=1", "unknown settings ['colour']"),
        ("--set model.size=[0,0]", "model: size (0, 0)"),
        ("--set model.backbone.layers_per_block=10000000", "layers_per_block 10000000: must be from 1 to 16"),
        ("--set model.backbone.norm_num_groups=0", "norm_num_groups 0: must be from 1"),
        ("--set model.sampling.window=64", "window 64 with history 2: 66 frames at a time"),
        ("--set model.schedule.beta_end=-1", "schedule: beta_end -1: must be above 0"),
        ("--set model.autoencoder.stride=0", "autoencoder: stride 0: must be from 1"),
    ),
]
BATCH = [
    *cases(
        "animate --model tiny.safetensors --device cpu --batch",
        ("none.jsonl", "--batch none.jsonl: no such file"),
        ("nothing", "--batch nothing: is a folder"),
        ("latin.jsonl", "--batch latin.jsonl: is no text in UTF-8"),
        ("blank.jsonl", "--batch blank.jsonl: has no lines"),
        ("deep.jsonl", "--batch deep.jsonl, line 1: is no JSON (nested too deeply)"),
        ("digits.jsonl", "--batch digits.jsonl, line 1: is no JSON"),
        ("words.jsonl", "--batch words.jsonl, line 1: is no JSON"),
        ("array.jsonl", "--batch array.jsonl, line 1: write"),
        ("settings-list.jsonl", "--batch settings-list.jsonl, line 1: write"),
        ("no-output.jsonl", "--batch no-output.jsonl, line 1: output is missing"),
        ("colour.jsonl", "--batch colour.jsonl, line 1: unrecognized arguments: --colour=1"),
        ("steps-text.jsonl", "line 1: argument --steps: 'many' is neither auto nor a whole number"),
        ("nested.jsonl", "--batch nested.jsonl, line 1: unrecognized arguments"),
        ("batch.jsonl", "line 1: batch is not an option of a single video"),
        ("same.jsonl", "line 2: --output out/a.mp4: is the same as line 1: --output out/a.mp4"),
    ),
    Case("animate --model tiny.safetensors --device cpu --batch steps.jsonl", "--steps -1: must be from 0", exit=1),
    Case("animate --model tiny.safetensors --device cpu --batch nan.jsonl", "--identity nan: must be from", exit=1),
    Case("animate --model tiny.safetensors --device cpu --batch nul.jsonl", "image a\\0b.png", exit=1),
    Case("animate --model tiny.safetensors --device cpu --batch missing.jsonl", "none.png: no such file", exit=1),
    Case("animate --model deep.safetensors --device cpu --batch missing.jsonl", CONFIG, exit=1),
    # further lines (outputs that are inputs, job folders that collide) belong here
]
OTHERS = [
    *cases(
        COMPARE,
        ("--frames 0", "--frames 0: must be from 1"),
        ("--reference cut.png", "image cut.png: damaged"),
        ("--driving text.mp4", "video text.mp4: not a video"),
        ("--models none", "model 'none' is neither"),
        ("--models deep.safetensors", CONFIG),
        ("--models-folder nowhere", "--models-folder nowhere: no such folder"),
        ("--size 7", "size: is 7; choose model, portrait, or a long side"),
        ("--strength mouth=nan", "strength: mouth nan"),
        ("--device abacus", "--device abacus: not usable here"),
    ),
    *cases(
        EVALUATE,
        ("--identities 0", "--identities 0: must be from 1"),
        ("--identities -2", "--identities -2: must be from 1"),
        ("--frames 0", "--frames 0: must be from 1"),
        ("--frames 1e3", "argument --frames: invalid int value"),
        ("--model none", "model 'none' is neither"),
        ("--models-folder nowhere", "--models-folder nowhere: no such folder"),
        ("--ablation tiny", "--ablation tiny: write NAME=MODEL"),
        ("--ablation a=none", "model 'none' is neither"),
        ("--ablation a=vivid-avatars", "its frames are 256x256, the model's 32x32; choose models of one size"),
        ("--steps -1", "--steps -1: must be from 0"),
        ("--identity nan", "--identity nan"),
        ("--window 8", "window 8 with history 2: 10 frames at a time"),
    ),
    *cases(
        "measure",
        ("", "measure: nothing to measure"),
        ("--reference portrait.png", "--reference, --driving and --generated belong together"),
        ("--pairs none.jsonl", "--pairs none.jsonl: no such file"),
        ("--pairs latin.jsonl", "--pairs latin.jsonl: is no text in UTF-8"),
        ("--pairs deep.jsonl", "--pairs deep.jsonl: line 1: is no JSON (nested too deeply)"),
        ("--pairs pairs-keys.jsonl", "--pairs pairs-keys.jsonl: line 1: write an object with the keys"),
        ("--pairs pairs-numbers.jsonl", "--pairs pairs-numbers.jsonl: line 1: write an object"),
        ("--pairs pairs-blank.jsonl", "measure: nothing to measure"),
        ("--pairs pairs-missing.jsonl", "video none.mp4: no such file or folder"),
    ),
    *cases(
        MEASURE,
        ("--every 0", "--every 0: must be from 1"),
        ("--frames -1", "--frames -1: must be from 1"),
        ("--reference none.png", "image none.png: no such file"),
        ("--generated text.mp4", "video text.mp4: not a video"),
        ("--driving nothing", "video nothing: a folder without images"),
    ),
    *cases(
        "prepare",
        ("none out", "folder none: no such folder"),
        ("portrait.png out", "folder portrait.png: is no folder"),
        ("nothing out", "nothing: no video clips, no photographs"),
        ("media out --size 0", "--size 0: must be from 16"),
        ("media out --size -128", "--size -128: must be from 16"),
        ("media out --size 999999999", "--size 999999999: must be from 16"),
        ("media out --size nan", "argument --size: invalid int value: 'nan'"),
        ("media out --frames 0", "--frames 0: must be from 1"),
    ),
    *cases(
        "avatars out",
        ("--count 0", "--count 0: must be from 1"),
        ("--count -1", "--count -1: must be from 1"),
        ("--frames 0", "--frames 0: must be from 1"),
        ("--size 0", "--size 0: must be from 16"),
        ("--size 99999999", "--size 99999999: must be from 16"),
        ("--size nan", "argument --size: invalid int value: 'nan'"),
        ("--first-seed -1", "--first-seed -1: must be from 0"),
        ("--pictured -1", "--pictured -1: must be from 0 to 3"),
        ("--pictured 9", "--pictured 9: must be from 0 to 3"),
    ),
    *cases(
        "heads",
        ("", "the following arguments are required"),
        ("table none out/a.safetensors", "head none: no such file or folder"),
        ("table nothing out/a.safetensors", "head nothing: has no generic_neutral_mesh.obj"),
        ("table portrait.png out/a.safetensors", "head portrait.png: cannot be read"),
        ("table clips/a.npz out/a.safetensors", "head clips/a.npz: cannot be read"),
        ("table nothing out/a.safetensors --identities 0", "--identities 0: must be from 1"),
        ("demo none out", "head none: no such file or folder"),
    ),
    *cases("", ("", "the following arguments are required: command"), ("sing", "invalid choice: 'sing'")),
]
WORK = [
    Case(f"{ANIMATE} --reference faceless.png", "faceless.png", begins=True),
    Case(f"{ANIMATE} --driving faceless.mp4", "faceless.mp4", begins=True),
    Case(f"{ANIMATE} --face 9", "there is none with index 9", begins=True),
    Case(f"{ANIMATE} --rest-frame 99", "rest frame 99 of a clip of 7 frames", begins=True),
]
ALL = [*MEDIA, *NUMBERS, *OUTPUTS, *MODELS, *YAML, *BATCH, *OTHERS, *WORK]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: ModelConfig, square_frames: Callable[..., np.ndarray]
) -> Path:
    made = tmp_path_factory.mktemp("inputs")
    write_inputs(made, tiny_config, square_frames)
    return made


@pytest.fixture
def desk(folder: Path, square_analyzer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """In the folder of inputs, where nothing may take long."""

    def ring(*_: Any) -> None:
        raise AssertionError(f"took longer than {LIMIT} seconds")

    monkeypatch.chdir(folder)
    monkeypatch.setattr("model_core.commands.animate.load_analyzer", lambda name, **settings: square_analyzer)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    yield monkeypatch
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


WORKERS = (
    "model_core.jobs.run.find_faces",
    "model_core.jobs.run.analyze_portrait",
    "model_core.commands.compare.analyze_portrait",
    "model_core.commands.compare.load_analyzer",
    "model_core.commands.evaluate.MediaPipeAnalyzer",
    "model_core.commands.measure.ExpressionReader",
    "model_core.training.prepare.MediaPipeAnalyzer",
    "model_core.training.avatars.dataset.make_clip",
    "model_core.training.train.Run",
)


def refuse_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's administrator may open everything; here, no file that is called forbidden."""
    real = io.open

    def guarded(file: Any, *args: Any, **settings: Any) -> Any:
        if "forbidden" in str(file):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *args, **settings)

    monkeypatch.setattr(io, "open", guarded)


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*_: Any, **__: Any) -> None:
        raise AssertionError("the work has begun")

    for name in WORKERS:
        monkeypatch.setattr(name, begun)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="TIME LIMITS NEED SIGALRM: bad inputs are NOT tested here")
@pytest.mark.parametrize("case", ALL, ids=[f"{case.words[:70]}" for case in ALL])
def test_bad_input_is_told_before_work(
    case: Case, folder: Path, desk: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fingerprint(folder, folders=not case.begins)
    started = time.perf_counter()
    with desk.context() as patch:
        refuse_forbidden(patch)
        if not case.begins:
            forbid_work(patch)
        try:
            status = main(shlex.split(case.words.replace("LONG", LONG)))
        except SystemExit as end:  # argparse's own way to refuse
            status = end.code
    taken = time.perf_counter() - started
    said = "".join(capsys.readouterr())
    assert case.says in said
    assert status == case.exit
    assert "Traceback" not in said and said.count("error: ") <= 1
    assert fingerprint(folder, folders=not case.begins) == before
    assert taken < LIMIT


def test_the_table_is_large_and_covers_every_command() -> None:
    assert len(ALL) >= 150
    commands = {case.words.split()[0] for case in ALL if case.words.strip()}
    assert commands >= {"animate", "compare", "measure", "models", "train", "prepare", "avatars", "heads", "evaluate"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("avatars made --count 1 --frames 1 --size 32", "made/00000000.npz: cannot be written (File too large)"),
        ("models convert tiny.safetensors --output made/a.safetensors", "made/a.safetensors could not be written"),
        (f"{ANIMATE} --output made/a.mp4 --steps 0", "cannot be written (File too large)"),
        (f"{COMPARE} --output made/a.mp4 --sheet made/a.png --frames 1", "made/a.mp4: cannot be written"),
    ],
    ids=["avatars", "convert", "animate", "compare"],
)
def test_a_disk_that_fills_up_is_told_and_nothing_is_left(
    words: str,
    says: str,
    folder: Path,
    desk: pytest.MonkeyPatch,
    square_analyzer: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    resource = pytest.importorskip("resource", reason="FULL DISKS ARE NOT TESTED: no limits on file sizes here")
    desk.setattr("model_core.commands.compare.load_analyzer", lambda name, **settings: square_analyzer)
    before = fingerprint(folder, folders=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        status = main(shlex.split(words))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = "".join(capsys.readouterr())
    assert status == 2 and says in said and "Traceback" not in said
    assert fingerprint(folder, folders=False) == before
