"""The checkpoints of a run: each whole or not there, and a damaged one costs no more than what came after the last."""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import uuid
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError

from ..errors import CheckpointError

_log = logging.getLogger(__name__)
_STATE, _PARTIAL, _DAMAGED = "state", "partial", "damaged"
_KEPT = 2
_BROKEN = (EOFError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError, pickle.UnpicklingError)
"""What accelerate and torch raise of files that are missing, cut off or something else."""


def found_checkpoints(folder: Path) -> list[Path]:
    """The folders ``state-<step>`` of a run, oldest first."""
    return _numbered(folder, _STATE)


def load_checkpoint(folder: Path, accelerator: Accelerator, ema: EMAModel) -> int:
    """Load the newest checkpoint that can be read; called by every process.

    Newer ones that cannot are warned of and set aside, under another name.

    Returns:
        the step it was saved at; 0 where there is none at all.
    Raises:
        CheckpointError: there are some, but none can be read.
    """
    damaged: list[Path] = []
    for state in reversed(found_checkpoints(folder)):
        try:
            step = _load(state, accelerator, ema)
        except torch.cuda.OutOfMemoryError:
            raise
        except _BROKEN as error:
            reason = str(error).partition("\n")[0]
            _log.warning("%s: cannot be read (%s: %s); the one before is tried", state, type(error).__name__, reason)
            damaged.append(state)
            continue
        _log.info("resumed from %s", state)
        accelerator.wait_for_everyone()  # every process has seen what is damaged
        if accelerator.is_main_process:
            for other in damaged:
                os.replace(other, other.with_name(f"{_DAMAGED}-{other.name}-{uuid.uuid4().hex[:8]}"))
        accelerator.wait_for_everyone()
        return step
    if damaged:
        names = ", ".join(state.name for state in damaged)
        raise CheckpointError(
            f"{folder}: none of its checkpoints ({names}) can be read by this run; give another output, or remove them "
            "to begin again"
        )
    return 0


def _load(state: Path, accelerator: Accelerator, ema: EMAModel) -> int:
    saved = torch.load(state / "run.pt", map_location="cpu", weights_only=True)
    accelerator.load_state(str(state))
    ema.load_state_dict(saved["ema"])
    ema.to(accelerator.device)
    return int(saved["step"])


def save_checkpoint(folder: Path, accelerator: Accelerator, ema: EMAModel, step: int) -> None:
    """Write a checkpoint whole, then drop all but the last two; called by every process."""
    main = accelerator.is_main_process
    partial = folder / f"{_PARTIAL}-{step}"
    if main:
        for left_behind in _numbered(folder, _PARTIAL):  # by a run that was killed while saving
            shutil.rmtree(left_behind)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()  # every process has written its own random state
    if main:
        torch.save({"ema": ema.state_dict(), "step": step}, partial / "run.pt")
        os.replace(partial, folder / f"{_STATE}-{step}")
        for old in found_checkpoints(folder)[:-_KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def _numbered(folder: Path, kind: str) -> list[Path]:
    """The folders ``<kind>-<number>`` in order of their numbers; what has another name is somebody else's."""
    named = (path for path in folder.iterdir() if re.fullmatch(rf"{kind}-\d+", path.name))
    folders = (path for path in named if path.is_dir() and not path.is_symlink())
    return sorted(folders, key=lambda path: int(path.name.split("-")[1]))
