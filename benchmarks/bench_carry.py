"""Carrying alone: what a frame of 512 x 512 costs on one thread, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from model_core.faces.analyze import analyze_frames
from model_core.faces.foreground import estimate_foreground
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.images import load_image, resize, to_uint8
from model_core.models import ASSETS
from model_core.motion.retarget import retarget
from model_core.portraits import analyze_portrait
from model_core.video.read import read_video
from model_core.warp import PortraitLayers
from model_core.warp.head import moved_rings

_FRAMES = 50


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
        "flow, with its stretch": per_frame(lambda: [layers.flow(mesh) for mesh in meshes]),
        "carry (flow, person, eyes, mouth, validity)": per_frame(lambda: layers.carry(targets)),
    }
    print("| 512 x 512, one thread | ms a frame |")
    print("|---|---|")
    for name, milliseconds in times.items():
        print(f"| {name} | {milliseconds:.1f} |")
    carried = times["retarget"] + times["carry (flow, person, eyes, mouth, validity)"]
    print(f"| retarget and carry: {1000 / carried:.0f} frames a second | {carried:.1f} |")
