"""Training of the matting network: resumable as every run of this project is, on one device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from ...bounds import Bounds, check_settings
from ...errors import InputError
from ...faces.matting import MattingNetwork, load_network
from ...files import locked_folder
from ...paths import readable_folder, writable_folder
from ...weights.io import write_safetensors
from ..check import check_clips, full_disks_named, named_by_the_loader
from ..checkpoints import load_checkpoint, save_checkpoint
from ..clips import clips_digest, list_clips
from ..config import OptimConfig, build_settings, read_settings
from ..log import LOG, Log
from ..record import take_up_settings
from ..train import lr_factor
from .samples import MattingSamples

EXPORTED = "matting.safetensors"
"""The averaged network in a run's folder, as float16."""

_HOLDER = "training.txt"
_GRADIENT, _COMPOSITION = 2.0, 0.5
_RENDERED = (256, 256)
_Steps = Annotated[int, Bounds(1, 1_000_000_000)]


@dataclass(frozen=True, kw_only=True)
class MattingConfig:
    """One training run of the matting network.

    Attributes:
        folder: rendered heads as prepared clips of 256 x 256, whose foregrounds are exact.
        photos: prepared photographs of that size, whose backgrounds and clothes are used as textures; or none.
        size: pixels of a sample's sides.
        certainty: weight of the cross entropy, which learns fast from far off but leaves a haze where it doubts.
        init_from: an exported network to start from.
        save_every, log_every: in steps.
    """

    folder: str
    optim: OptimConfig
    output: str = "runs/matting"
    photos: str | None = None
    size: Annotated[int, Bounds(32, 1024)] = 160
    certainty: Annotated[float, Bounds(0, 1000)] = 0.2
    init_from: str | None = None
    seed: Annotated[int, Bounds(0, 2**40)] = 0
    save_every: _Steps = 100
    log_every: _Steps = 20

    def __post_init__(self) -> None:
        check_settings(self)


def load_matting_config(path: str | Path, overrides: dict[str, Any] | None = None) -> MattingConfig:
    """Read a run from YAML; arguments and errors as of ``load_train_config``."""
    values = read_settings(path, overrides)
    try:
        values["optim"] = build_settings(OptimConfig, values.get("optim", {}), "optim")
        return cast(MattingConfig, build_settings(MattingConfig, values, "settings"))
    except InputError as error:
        raise InputError(f"training config {path}: {error}") from error


def matting_loss(logits: Tensor, batch: dict[str, Tensor], *, certainty: float = 0.2) -> Tensor:
    """Errors of alpha, of its differences between neighbours, and of the picture that it makes of its layers.

    Args:
        logits: (N, 1, h, w).
        batch: what ``MattingSamples`` gives.
        certainty: see ``MattingConfig``.
    """
    alpha, wanted = logits.float().sigmoid(), batch["alpha"]
    error = alpha - wanted
    steps = sum(error.diff(dim=axis).abs().mean() for axis in (-1, -2))
    # the layers' mixture is linear in alpha, so its error is that of alpha times how much the layers differ
    mixed = (error * (batch["colours"] - batch["background"])).abs().mean()
    sure = F.binary_cross_entropy_with_logits(logits.float(), wanted)
    return error.abs().mean() + _GRADIENT * steps + _COMPOSITION * mixed + certainty * sure


class MattingRun:
    """Network, optimiser, averaged weights, and the folder where they are kept (see ``train.Run``)."""

    def __init__(self, config: MattingConfig) -> None:
        self.config, self.output = config, Path(config.output)
        self.accelerator = Accelerator(mixed_precision=config.optim.mixed_precision)
        torch.manual_seed(config.seed)
        network = MattingNetwork()
        if config.init_from is not None:
            network.load_state_dict(load_network(Path(config.init_from)).state_dict())
        optim = config.optim
        optimizer = torch.optim.AdamW(network.parameters(), lr=optim.lr, weight_decay=optim.weight_decay)
        self.ema = EMAModel(network.parameters(), decay=optim.ema, use_ema_warmup=True)
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.ema.to(self.accelerator.device)
        self.step = load_checkpoint(self.output, self.accelerator, self.ema)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """The batches still to come, in the order that the seed fixes."""
        config, batch = self.config, self.config.optim.batch
        photos = list_clips(config.photos) if config.photos else []
        length = config.optim.steps * batch
        samples = MattingSamples(list_clips(config.folder), photos, size=config.size, seed=config.seed, length=length)
        loader = DataLoader(Subset(samples, range(self.step * batch, length)), batch_size=batch, num_workers=1)
        with named_by_the_loader():
            for made in loader:
                yield {key: value.to(self.accelerator.device) for key, value in made.items()}

    def train_step(self, batch: dict[str, Tensor]) -> float:
        """One optimiser step; returns the loss."""
        optim = self.config.optim
        factor = lr_factor(self.step, warmup=optim.warmup, steps=optim.steps, final=optim.final)
        for group in self.optimizer.param_groups:
            group["lr"] = optim.lr * factor
        with self.accelerator.autocast():
            logits = self.network(batch["picture"])
        loss = matting_loss(logits, batch, certainty=self.config.certainty)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), optim.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.network.parameters())
        self.step += 1
        return float(loss.detach())

    def save(self) -> None:
        """Write a checkpoint and the averaged network."""
        with full_disks_named(self.output):
            save_checkpoint(self.output, self.accelerator, self.ema, self.step)
            self.export()

    def export(self) -> Path:
        """Write the averaged network as float16; returns the file."""
        parameters = list(self.network.parameters())
        self.ema.store(parameters)
        self.ema.copy_to(parameters)
        tensors = {key: value.detach().half().cpu() for key, value in self.network.state_dict().items()}
        self.ema.restore(parameters)
        write_safetensors(self.output / EXPORTED, tensors, {"network": "matting", "step": str(self.step)})
        return self.output / EXPORTED


def train_matting(config: MattingConfig, *, progress: bool = True) -> Path:
    """Run or resume a training run to its end.

    Returns:
        the exported network.
    Raises:
        InputError: there are no clips, or the folder holds another run or cannot be written.
        CheckpointError: none of its checkpoints can be read.
    """
    folder = writable_folder(config.output, name="output")
    for name, place in (("folder", config.folder), ("photos", config.photos)):
        if place is not None:
            readable_folder(place, name=name)
            check_clips(list_clips(place), size=_RENDERED, frames=1)
    folder.mkdir(parents=True, exist_ok=True)
    with locked_folder(folder, holder=_HOLDER, work="a run in this folder"):
        take_up_settings(folder, _record(config), folder / EXPORTED, given={"init_from": config.init_from})
        run = MattingRun(config)
        log = Log(run.output / LOG, after=run.step)
        bar = tqdm(total=config.optim.steps, initial=run.step, disable=not progress, desc="matting")
        for batch in run.batches():
            log.add(run.train_step(batch))
            bar.update()
            if run.step % config.log_every == 0:
                bar.set_postfix(loss=f"{log.write(run.step):.4f}")
            if run.step % config.save_every == 0 or run.step == config.optim.steps:
                run.save()
        bar.close()
        return run.export()


def _record(config: MattingConfig) -> dict[str, Any]:
    """What makes a run the same run: its settings by dotted name, and its clips by their content."""
    made = asdict(config)
    optim = {f"optim.{name}": value for name, value in made.pop("optim").items()}
    clips = {name: clips_digest(list_clips(place)) for name in ("folder", "photos") if (place := made[name])}
    return dict(json.loads(json.dumps({**made, **optim, **clips})))
