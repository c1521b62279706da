"""The training loop on accelerate: resumable after a kill at any moment, the same on several GPUs."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from ..autoencoders import KLAutoencoder
from ..backbones.dit import DiTBackbone
from ..backbones.dit.denoiser import Denoiser
from ..errors import InputError
from ..files import atomic_path
from ..models import PortraitModel, build_model, load_model, save_model
from ..sampling.schedule import training_scheduler
from ..weights.load import load_strict
from ..weights.sd3 import null_prompt, read_sd3
from .check import check_run, full_disks_named, named_by_the_loader
from .clips import ClipDataset
from .config import TrainConfig
from .sheets import write_sheet
from .step import TrainingStep, plan_step

_log = logging.getLogger(__name__)
_STATE = "state"


def lr_factor(step: int, *, warmup: int, steps: int, final: float) -> float:
    """Linear warm-up to 1, then a cosine to ``final``."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def _initial_model(config: TrainConfig) -> PortraitModel:
    torch.manual_seed(config.seed)
    if config.init_from is None:
        model = build_model(config.model)
        if config.base_from is not None:
            _take_base(model, config.base_from)
        return model
    model, source = build_model(config.model), load_model(config.init_from)
    # the run's own config decides, so that its switches (ablations) count; only the weights are taken over
    for fresh, trained in ((model.backbone, source.backbone), (model.autoencoder, source.autoencoder)):
        load_strict(fresh, trained.state_dict(), name=config.init_from)
    return model


def _take_base(model: PortraitModel, name: str) -> None:
    """Give a fresh DiT the published model's weights, all of them."""
    if not isinstance(model.backbone, DiTBackbone):
        raise InputError(f"base_from {name}: only the dit family starts from Stable Diffusion 3; remove the setting")
    weights = read_sd3(Path(name))
    load_strict(model.backbone.denoiser.transformer, weights.transformer, name=name)
    _take_null_prompt(model.backbone.denoiser, name)
    if isinstance(model.autoencoder, KLAutoencoder):
        if weights.autoencoder is None:
            raise InputError(f"base_from {name}: has no autoencoder; give the whole folder or file of the model")
        load_strict(model.autoencoder.vae, weights.autoencoder, name=name)


def _take_null_prompt(denoiser: Denoiser, name: str) -> None:
    prompt = null_prompt(Path(name), denoiser.transformer)
    if prompt is None:
        _log.warning(
            "%s: holds no text encoders; the null prompt stays zeros. The whole diffusers folder has them", name
        )
        return
    for stored, made in zip((denoiser.null_prompt, denoiser.null_pooled), prompt, strict=True):
        if stored.shape != made.shape:
            raise InputError(
                f"base_from {name}: its null prompt is {tuple(made.shape)}, the model's {tuple(stored.shape)}; set "
                "model.backbone.prompt_tokens and the prompt's widths to the base model's"
            )
        stored.copy_(made)


def _trainable(model: PortraitModel, stage: int) -> list[nn.Parameter]:
    """Stage 1: everything but what is temporal. 2: this alone (VividPortraits)."""
    moving = {id(p) for module in model.backbone.temporal_modules for p in module.parameters()}
    for parameter in model.backbone.parameters():
        parameter.requires_grad_((id(parameter) in moving) == (stage == 2))
    return [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]


class Log:
    """The loss as JSON lines, one row per step at most however often the run is resumed.

    Args:
        path: the file; rows that are there stay.
        after: the step the run resumes from: rows of later steps, which will be repeated, are dropped, and so
            is a last line that a kill cut short.
    """

    def __init__(self, path: Path, *, after: int) -> None:
        self.path = path
        self._losses: list[float] = []
        self._started = time.perf_counter()
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        with atomic_path(path) as partial:
            kept = [line for line in whole if json.loads(line)["step"] <= after]
            partial.write_text("".join(kept), encoding="utf-8")

    def add(self, loss: float) -> None:
        self._losses.append(loss)

    def write(self, step: int) -> float:
        """Write a row for the losses added since the last one; returns their mean."""
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        row = {"step": step, "loss": mean, "seconds": round(time.perf_counter() - self._started, 2)}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return mean


class Run:
    """One training run: networks, optimiser, averaged weights, and where they are kept.

    A checkpoint is a folder ``state-<step>`` that appears whole by one rename; the newest complete one is
    taken up again. Data, noise and dropout are functions of (seed, step), so a resumed run repeats
    exactly what an uninterrupted one would have done.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.output = Path(config.output)
        self.output.mkdir(parents=True, exist_ok=True)
        optim = config.optim
        self.accelerator = Accelerator(
            mixed_precision=optim.mixed_precision,
            # each branch of signal fusion leaves some networks out
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.model = _initial_model(config)
        parameters = _trainable(self.model, config.stage)
        self.optimizer = torch.optim.AdamW(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
        self.ema = EMAModel(parameters, decay=optim.ema, use_ema_warmup=False)
        self.parameters = parameters
        step_module = TrainingStep(
            self.model.backbone,
            self.model.autoencoder,
            training_scheduler(config.model.schedule),
            config.condition,
            stage=config.stage,
            num_history=config.data.history if config.stage == 2 else 0,
        )
        if config.compile:
            step_module.compile()
        self.module, self.optimizer = self.accelerator.prepare(step_module, self.optimizer)
        self.ema.to(self.accelerator.device)
        self.step = 0
        self._resume()

    def _states(self) -> list[Path]:
        """The complete checkpoints, oldest first."""
        return sorted(self.output.glob(f"{_STATE}-*"), key=lambda path: int(path.name.split("-")[1]))

    def _resume(self) -> None:
        states = self._states()
        if not states:
            return
        newest = states[-1]
        self.accelerator.load_state(str(newest))
        saved = torch.load(newest / "run.pt", map_location=self.accelerator.device, weights_only=True)
        self.ema.load_state_dict(saved["ema"])
        self.step = saved["step"]
        _log.info("resumed from %s", newest)

    def save(self) -> None:
        """Write a checkpoint whole, then drop all but the last two; called by every process."""
        main = self.accelerator.is_main_process
        partial = self.output / f"partial-{self.step}"
        if main:
            for left_behind in self.output.glob("partial-*"):  # by a run that was killed while saving
                shutil.rmtree(left_behind)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()  # every process has written its own random state
        if main:
            torch.save({"ema": self.ema.state_dict(), "step": self.step}, partial / "run.pt")
            os.replace(partial, self.output / f"{_STATE}-{self.step}")
            for old in self._states()[:-2]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """The batches still to come, in the order that the seed fixes."""
        config = self.config
        processes = self.accelerator.num_processes
        per_step = config.optim.batch * processes
        dataset = ClipDataset(
            config.data,
            seed=config.seed,
            length=config.optim.steps * per_step,
            consecutive=config.stage == 2,
            motion_kind=config.model.motion_kind,
            baseline=self.model.backbone.uses_baseline,
        )
        rank = self.accelerator.process_index
        indices = [
            step * per_step + rank * config.optim.batch + item
            for step in range(self.step, config.optim.steps)
            for item in range(config.optim.batch)
        ]
        loader = DataLoader(Subset(dataset, indices), batch_size=config.optim.batch, num_workers=1)
        with named_by_the_loader():
            for batch in loader:
                yield {key: value.to(self.accelerator.device) for key, value in batch.items()}

    def train_step(self, batch: dict[str, Tensor]) -> float:
        """One optimiser step; returns the loss."""
        optim = self.config.optim
        plan = plan_step(self.config.condition, seed=self.config.seed, step=self.step, steps=optim.steps)
        factor = lr_factor(self.step, warmup=optim.warmup, steps=optim.steps, final=optim.final)
        for group in self.optimizer.param_groups:
            group["lr"] = optim.lr * factor
        with self.accelerator.autocast():
            loss = self.module(batch, plan)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.parameters, optim.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.parameters)
        self.step += 1
        return float(loss.detach())

    @property
    def exported(self) -> Path:
        """The model file that ``export`` writes."""
        return self.output / f"{self.config.model.name}.safetensors"

    def export(self) -> None:
        """Write the averaged weights as a model file; for one process."""
        with self._averaged():
            save_model(self.model, self.exported)

    def sheet(self) -> None:
        """A sample sheet by the averaged weights; for one process."""
        with self._averaged():
            write_sheet(self.model, self.config, self.output / f"sheet-{self.step:06d}.png")

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The networks hold their averaged weights meanwhile."""
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        try:
            yield
        finally:
            self.ema.restore(self.parameters)


def train(config: TrainConfig, *, progress: bool = True) -> Path:
    """Run or resume a training run to its end.

    Writes ``log.jsonl`` (step, mean loss since the last row, seconds of this process), checkpoints, sample
    sheets and, at every checkpoint, the averaged model as ``<name>.safetensors``.

    Returns:
        the exported model file.
    """
    check_run(config)
    run = Run(config)
    main = run.accelerator.is_main_process
    bar = tqdm(
        total=config.optim.steps,
        initial=run.step,
        disable=not (progress and main),
        desc=f"stage {config.stage}",
    )
    log = Log(run.output / "log.jsonl", after=run.step) if main else None
    for batch in run.batches():
        loss = run.train_step(batch)
        bar.update()
        if log is not None:
            log.add(loss)
            if run.step % config.log_every == 0:
                bar.set_postfix(loss=f"{log.write(run.step):.4f}")
        if run.step % config.save_every == 0 or run.step == config.optim.steps:
            with full_disks_named(run.output):
                run.save()
            if main and run.step < config.optim.steps:
                run.export()
        if main and run.step % config.sheet_every == 0:
            run.sheet()
    bar.close()
    if main:  # also where nothing was left to do: a run may have been killed just before
        run.export()
    run.accelerator.wait_for_everyone()
    return run.exported
