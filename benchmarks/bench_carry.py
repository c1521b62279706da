"""Carrying alone: what a frame of 512 x 512 costs on one thread, stage by stage.

Then what validity adds to it, what torch's sampling takes of OpenCV's time on the same processor, and, where there is a
GPU, how fast it carries: ratios of turns taken one after the other, so that a busy machine slows both sides alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from benchmarks.timing import seconds
from model_core.faces.analyze import analyze_frames
from model_core.faces.foreground import estimate_foreground
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.images import load_image, resize, to_uint8
from model_core.models import ASSETS
from model_core.motion.retarget import retarget
from model_core.portraits import analyze_portrait
from model_core.video.read import read_video
from model_core.warp import PortraitLayers
from model_core.warp.carrier import Carrier
from model_core.warp.head import moved_rings
from model_core.warp.resampling import TorchResampler

_FRAMES = 50
_TURNS = 7


def per_frame(work: Callable[[], object]) -> float:
    """Processor milliseconds a frame, the best of three rounds."""
    rounds = []
    for _ in range(3):
        begun = time.process_time()
        work()
        rounds.append(1000 * (time.process_time() - begun) / _FRAMES)
    return min(rounds)


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    image = resize(load_image(ASSETS / "demo_portrait.png"), (512, 512))
    pixels, analyzer = to_uint8(image)[0], MediaPipeAnalyzer()
    portrait = analyze_portrait(pixels, analyzer, name="portrait")
    clip = read_video(ASSETS / "demo_driving.mp4", limit=_FRAMES)
    driving = analyze_frames(clip, analyzer, name="driving")
    person = estimate_foreground(image, portrait)[0, 0].numpy()
    layers = PortraitLayers.of(pixels, portrait.landmarks[0], person)
    rest = driving.take([0])
    targets = retarget(driving, portrait, rest=rest).track.landmarks
    meshes = moved_rings(layers.mesh, targets.astype(np.float64))
    times = {
        "detect the face": per_frame(lambda: [analyzer.detect(frame) for frame in clip]),
        "retarget": per_frame(lambda: retarget(driving, portrait, rest=rest)),
        "flow, with its stretch": per_frame(lambda: [layers.on("cpu").flow(mesh[None]) for mesh in meshes]),
        "carry (flow, person, eyes, mouth, validity)": per_frame(lambda: layers.carry(targets)),
    }
    print("| 512 x 512, one thread | ms a frame |")
    print("|---|---|")
    for name, milliseconds in times.items():
        print(f"| {name} | {milliseconds:.1f} |")
    carried = times["retarget"] + times["carry (flow, person, eyes, mouth, validity)"]
    print(f"| retarget and carry: {1000 / carried:.0f} frames a second | {carried:.1f} |")
    compare(layers, targets)


def compare(layers: PortraitLayers, targets: np.ndarray) -> None:
    """The ratios, as a table of their own."""
    carrier, torchs = layers.on("cpu"), Carrier(layers, TorchResampler("cpu"))
    plain, seen, sampled = turns(
        lambda: run(carrier, targets, validity=False),
        lambda: run(carrier, targets),
        lambda: run(torchs, targets),
    )
    added = [100 * (with_it / without - 1) for with_it, without in zip(seen, plain, strict=True)]
    slower = [theirs / ours for theirs, ours in zip(sampled, seen, strict=True)]
    print("\n| compared, median (lowest to highest of the turns) | |")
    print("|---|---|")
    print(f"| validity, of carrying without it | +{spread(added, '.1f')} % |")
    print(f"| sampled by torch on the processor, times OpenCV's time | {spread(slower, '.2f')} |")
    print(f"| sampled by torch on the processor, frames a second | {_FRAMES / statistics.median(sampled):.0f} |")
    if torch.cuda.is_available():
        print(f"| carried on the GPU, frames a second | {on_gpu(layers, targets):.0f} |")


def turns(*works: Callable[[], None]) -> list[list[float]]:
    """Processor seconds of each work, ``_TURNS`` times in turn."""
    for work in works:
        work()
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(_TURNS):
        for work, times in zip(works, taken, strict=True):
            begun = time.process_time()
            work()
            times.append(time.process_time() - begun)
    return taken


def spread(values: list[float], how: str) -> str:
    return f"{statistics.median(values):{how}} ({min(values):{how}} to {max(values):{how}})"


def run(carrier: Carrier, targets: np.ndarray, *, validity: bool = True) -> None:
    for _ in carrier.carry(targets, validity=validity):
        pass


def on_gpu(layers: PortraitLayers, targets: np.ndarray) -> float:
    """Frames a second by the clock, each brought back to the processor."""
    carrier = layers.on("cuda")

    def work() -> None:
        for frames, _ in carrier.carry(targets):
            frames.cpu()

    return _FRAMES / seconds(work)
