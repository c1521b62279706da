"""The face analysers by their names."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from ..errors import CheckpointError, DependencyError, InputError
from .analyzer import FaceAnalyzer
from .facer_backend import FacerAnalyzer
from .mediapipe_backend import MediaPipeAnalyzer

Backend = Literal["mediapipe", "facer", "facer_person"]

_log = logging.getLogger(__name__)


def usable_backend(backend: Backend) -> Backend:
    """The analyser itself, but facer, which the log says, where MediaPipe is not installed and facer is."""
    if backend != "mediapipe" or _importable("mediapipe") or not _importable("facer"):
        return backend
    _log.warning("mediapipe is not installed: the analyser facer takes its place")
    return "facer"


def _importable(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def load_analyzer(
    backend: Backend, *, folders: Sequence[str | Path] = (), device: str | torch.device = "cpu"
) -> FaceAnalyzer:
    """Load a face analyser.

    Args:
        backend: "mediapipe", see ``usable_backend``; "facer", the papers' own; or "facer_person", which also labels
            neck, clothes and hat.
        folders: where its files may lie.
        device: for facer; MediaPipe runs on the CPU.
    Raises:
        DependencyError, CheckpointError: a package or a file is missing, or a file is not the published one.
        InputError: no such analyser.
    """
    backend = usable_backend(backend)
    if backend == "mediapipe":
        return MediaPipeAnalyzer(folders=folders)
    if backend not in ("facer", "facer_person"):
        raise InputError(f"face analyzer: '{backend}' is not known; choose mediapipe, facer or facer_person")
    return FacerAnalyzer(folders=folders, device=device, person=backend == "facer_person", mesh=_mesh(folders))


def _mesh(folders: Sequence[str | Path]) -> FaceAnalyzer | None:
    """MediaPipe's landmarker for crops of faces already found; facer does without where it is not installed."""
    try:
        return MediaPipeAnalyzer(folders=folders, max_faces=2, tiles=False)
    except (DependencyError, CheckpointError):
        return None
