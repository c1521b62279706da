"""The training loop on accelerate: resumable after a kill at any moment, the same on several GPUs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from ..files import locked_folder
from ..models import PortraitModel, build_model, load_model, save_model
from ..sampling.schedule import training_scheduler
from ..weights.load import load_strict
from ..weights.sd3 import null_prompt, read_sd3
from .check import check_run, full_disks_named, named_by_the_loader
from .checkpoints import load_checkpoint, save_checkpoint
from .clips import ClipDataset
from .config import TrainConfig
from .log import LOG, Log
from .record import take_up
from .sheets import write_sheet
from .step import TrainingStep, plan_step

_log = logging.getLogger(__name__)
_HOLDER = "training.txt"


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


def _accelerator(config: TrainConfig) -> Accelerator:
    return Accelerator(
        mixed_precision=config.optim.mixed_precision,
        # each branch of signal fusion leaves some networks out
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


class Run:
    """One training run: networks, optimiser, averaged weights, and where they are kept.

    A checkpoint is a folder ``state-<step>`` that appears whole by one rename; the newest one that can be read is
    taken up again. Data, noise and dropout are functions of (seed, step), so a resumed run repeats
    exactly what an uninterrupted one would have done.
    """

    def __init__(self, config: TrainConfig, accelerator: Accelerator | None = None) -> None:
        self.config = config
        self.output = Path(config.output)
        self.output.mkdir(parents=True, exist_ok=True)
        optim = config.optim
        self.accelerator = accelerator or _accelerator(config)
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
        self.step = load_checkpoint(self.output, self.accelerator, self.ema)

    def save(self) -> None:
        """Write a checkpoint whole, then drop all but the last two; called by every process."""
        save_checkpoint(self.output, self.accelerator, self.ema, self.step)

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
        return exported_file(self.config)

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


def _timed(batches: Iterator[dict[str, Tensor]]) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Every batch, and the seconds until it was there."""
    while True:
        started = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        yield batch, time.perf_counter() - started


def train(config: TrainConfig, *, progress: bool = True) -> Path:
    """Run or resume a training run to its end.

    Writes ``log.jsonl`` (step, mean loss since the last row, seconds of this process, share of the time since the last
    row in which it waited for data), checkpoints, sample sheets and, at every checkpoint, the averaged model as
    ``<name>.safetensors``.

    Returns:
        the exported model file.
    Raises:
        InputError: the output folder holds another run, or another process is at work in it.
        CheckpointError: none of its checkpoints can be read.
    """
    check_run(config)
    accelerator = _accelerator(config)
    with _held(config, accelerator):
        return _train(Run(config, accelerator), config, progress=progress)


@contextmanager
def _held(config: TrainConfig, accelerator: Accelerator) -> Iterator[None]:
    """The run's folder, for this run alone; one process holds it for all that train together."""
    if not accelerator.is_main_process:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(locked_folder(Path(config.output), holder=_HOLDER, work="a run in this folder"))
        except OSError as error:
            raise InputError(
                f"output {config.output}: cannot be made or written ({error.strerror}); choose another"
            ) from error
        take_up(config, exported_file(config), processes=accelerator.num_processes)
        yield


def exported_file(config: TrainConfig) -> Path:
    """The model file that a run writes."""
    return Path(config.output) / f"{config.model.name}.safetensors"


def _train(run: Run, config: TrainConfig, *, progress: bool) -> Path:
    main = run.accelerator.is_main_process
    bar = tqdm(
        total=config.optim.steps,
        initial=run.step,
        disable=not (progress and main),
        desc=f"stage {config.stage}",
    )
    log = Log(run.output / LOG, after=run.step) if main else None
    for batch, waited in _timed(run.batches()):
        loss = run.train_step(batch)
        bar.update()
        if log is not None:
            log.add(loss, waited=waited)
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
