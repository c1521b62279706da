"""Sample sheets: what a model makes of a few training clips, to look at while it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..backbones.base import AnimationInputs
from ..models import PortraitModel
from ..sampling import CyclicOverlap, SignalFusion, initial_noise, make_scheduler, sample
from ..types import MotionSignal, ReferenceInputs
from .clips import ClipDataset
from .config import TrainConfig

_ROWS = 4


def _picture(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] to one row (H, N * W, 3) uint8."""
    row = torch.cat(list(images), dim=2).permute(1, 2, 0)
    return ((row.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()


@torch.no_grad()
def write_sheet(model: PortraitModel, config: TrainConfig, path: Path) -> None:
    """Rows of reference, motion, result and target; a fixed set of samples, so that sheets compare."""
    kind, sampling = config.model.motion_kind, config.model.sampling
    dataset = ClipDataset(
        config.data, seed=config.seed + 1, length=_ROWS, consecutive=config.stage == 2, motion_kind=kind
    )
    rows = []
    for index in range(_ROWS):
        item = {key: value.to(model.device) for key, value in dataset[index].items()}
        reference = item["reference"][None]
        inputs = ReferenceInputs(
            reference,
            model.autoencoder.encode(reference),
            item["reference_foreground"][None],
            item["reference_motion"][None],
        )
        encoded = model.backbone.encode_reference(inputs)
        motion = MotionSignal(kind, item["motion"])
        conditioning = model.backbone.prepare(AnimationInputs(encoded, motion))
        noise = initial_noise((1, len(motion), *inputs.latents.shape[1:]), seed=index, device=model.device)
        latents = sample(
            model.backbone,
            conditioning,
            noise,
            scheduler=make_scheduler(model.config.schedule, sampling.scheduler),
            steps=sampling.steps,
            windows=CyclicOverlap(len(motion), 0),
            guidance=SignalFusion(),
        )
        made = model.autoencoder.decode(latents[0])
        rows.append(_picture(torch.cat([reference, item["motion"] * 2 - 1, made, item["frames"]])))
    temporary = path.with_suffix(".tmp.png")
    Image.fromarray(np.concatenate(rows)).save(temporary)
    temporary.replace(path)
