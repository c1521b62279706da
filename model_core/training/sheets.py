"""Sample sheets: what a model makes of a few training clips, to look at while it trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..backbones.base import AnimationInputs
from ..models import PortraitModel
from ..sampling import CyclicOverlap, SignalFusion, initial_noise, make_scheduler, sample
from ..types import Baseline, MotionSignal, ReferenceInputs
from .clips import ClipDataset
from .config import TrainConfig

_ROWS = 4


def _picture(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] to one row (H, N * W, 3) uint8."""
    row = torch.cat(list(images), dim=2).permute(1, 2, 0)
    return ((row.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()


@torch.no_grad()
def sample_item(model: PortraitModel, item: dict[str, Tensor], *, seed: int) -> Tensor:
    """What a model makes of one of ``ClipDataset``'s items without history: (F, 3, H, W) in [-1, 1]."""
    sampling, encode = model.config.sampling, model.autoencoder.encode
    reference = item["reference"][None]
    inputs = ReferenceInputs(
        reference, encode(reference), item["reference_foreground"][None], item["reference_motion"][None]
    )
    motion = MotionSignal(model.config.motion_kind, item["motion"])
    baseline = Baseline(encode(item["baseline"]), item["validity"]) if "baseline" in item else None
    encoded = model.backbone.encode_reference(inputs)
    latents = sample(
        model.backbone,
        model.backbone.prepare(AnimationInputs(encoded, motion, baseline=baseline)),
        initial_noise((1, len(motion), *inputs.latents.shape[1:]), seed=seed, device=model.device).to(model.dtype),
        scheduler=make_scheduler(model.config.schedule, sampling.scheduler),
        steps=sampling.steps,
        windows=CyclicOverlap(len(motion), 0),
        guidance=SignalFusion(),
        generator=torch.Generator().manual_seed(seed),
    )
    return model.autoencoder.decode(latents[0])


@torch.no_grad()
def write_sheet(model: PortraitModel, config: TrainConfig, path: Path) -> None:
    """Rows of reference, motion, baseline, result and target; a fixed set of samples, so that sheets compare."""
    dataset = ClipDataset(
        replace(config.data, history=0),
        seed=config.seed + 1,
        length=_ROWS,
        consecutive=config.stage == 2,
        motion_kind=config.model.motion_kind,
        baseline=model.backbone.uses_baseline,
    )
    rows = []
    for index in range(_ROWS):
        item = {key: value.to(model.device) for key, value in dataset[index].items()}
        shown = [item["baseline"]] if "baseline" in item else []
        shown += [sample_item(model, item, seed=index), item["frames"]]
        rows.append(_picture(torch.cat([item["reference"][None], item["motion"] * 2 - 1, *shown])))
    temporary = path.with_suffix(".tmp.png")
    Image.fromarray(np.concatenate(rows)).save(temporary)
    temporary.replace(path)
