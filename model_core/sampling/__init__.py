"""From noise to latents: one loop, its windows, its guidance and its schedule."""

from .guidance import SignalFusion, combine
from .history import Chunk, carry_history, plan_chunks
from .loop import sample, sample_steps
from .noise import frame_noise, initial_noise
from .schedule import add_noise, clean_from_prediction, make_scheduler, prediction_target
from .windows import CyclicOverlap, Window, Windows, WrappedWindows, make_windows, window_picture

__all__ = [
    "Chunk",
    "CyclicOverlap",
    "SignalFusion",
    "Window",
    "Windows",
    "WrappedWindows",
    "add_noise",
    "carry_history",
    "clean_from_prediction",
    "combine",
    "frame_noise",
    "initial_noise",
    "make_scheduler",
    "make_windows",
    "plan_chunks",
    "prediction_target",
    "sample",
    "sample_steps",
    "window_picture",
]
