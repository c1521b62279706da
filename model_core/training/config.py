"""Everything a training run is, as frozen dataclasses read from one YAML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import yaml

from ..config import ModelConfig
from ..errors import InputError
from ..models import find_model, read_config


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where clips come from and how a training sample is drawn from them.

    Attributes:
        folder: prepared clips (``*.npz``), see clips.py; relative to the working directory.
        folders: instead of it, several folders and how often a sample is of each, as shares of their sum.
        frames: target frames per sample: independent ones in stage 1, consecutive ones in stage 2.
        history: clean frames before them, stage 2 only.
        cross_identity: masked frames only: probability that they show another identity performing the same motion: the
            clip's own driver, or else a person of another clip or photograph, carried to the same landmarks.
        detector_jitter: probability that components are shifted and stretched, alike in portrait and targets, as
            if by another landmark detector.
        random_scaling: VividPortraits' scaling of the components (0.8-1.2) and the face (0.7-1.3).
        colour_augment: probability of a random colour transform of the whole clip.
        driver_colours: masked frames only: probability that the driver's pixels have colours of their own.
        mask_faults: masked frames only: probability of each fault of a mask (mask_faults.py).
        limit: use the first so many clips only; 0 uses all.
        photos: prepared photographs that are restored (photos.py), for stage 1 of models with a baseline; or none.
        photo_share: probability that a sample is of a photograph, where there are any.
        mirror: probability that left and right change places in all pictures of a sample.
        crop: side in pixels of the square around the face that a sample shows, a multiple of what the model halves
            pictures to; 0 shows whole pictures. Convolutions learn mouths and eyes from it at a part of the cost, but
            end a run with whole pictures: norms and positions know their size.
    """

    folder: str | None = None
    folders: dict[str, float] | None = None
    frames: int = 2
    history: int = 0
    cross_identity: float = 0.5
    detector_jitter: float = 0.3
    random_scaling: bool = True
    colour_augment: float = 0.7
    driver_colours: float = 0.5
    mask_faults: float = 0.15
    limit: int = 0
    photos: str | None = None
    photo_share: float = 0.5
    mirror: float = 0.0
    crop: int = 0

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.folders is None):
            raise InputError("data: give either 'folder' or 'folders'")
        if self.folders is not None and (not self.folders or min(self.folders.values()) <= 0):
            raise InputError(f"data.folders {self.folders}: name at least one folder, and give each a share above 0")

    @property
    def shares(self) -> dict[str, float]:
        """The folders of clips, and how often a sample is of each; the shares sum to 1."""
        if self.folders is None:
            assert self.folder is not None
            return {self.folder: 1.0}
        total = sum(self.folders.values())
        return {folder: share / total for folder, share in self.folders.items()}


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimiser, schedule and averaging.

    Attributes:
        steps: optimiser steps of the whole run.
        batch: clips per process and step.
        lr: peak learning rate of AdamW, after ``warmup`` steps, decaying by a cosine to ``lr * final``.
        ema: decay of the averaged weights that are exported.
        mixed_precision: "no", "bf16" or "fp16".
    """

    steps: int
    batch: int = 8
    lr: float = 1e-3
    warmup: int = 100
    final: float = 0.05
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    ema: float = 0.999
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"


@dataclass(frozen=True, kw_only=True)
class ConditionConfig:
    """How often each branch of signal fusion is trained, and what the loss dwells on.

    Attributes:
        unconditional, reference: probability of a step for the branches u and s; the rest trains d and p.
        history_after: fraction of the run with no history at all (the zeroed-history curriculum of Stable
            Video-Driven Portraits); afterwards history is given in half of the steps.
        high_noise: 1 draws timesteps evenly; 2 prefers noisy ones, where motion is decided.
        person_weight, component_weight: added to the loss's weight of 1 on the person, on eyes, brows and mouth.
        mouth_weight, eye_weight: added to these on the lips and what is between them, and on the eyes.
        validity_weight: likewise where the baseline shows nothing of the portrait, for models that use one.
        loss: "squared", of the prediction in latents; or "pixels", the absolute error of the clean picture's values
            and of the differences between neighbours, for latents that are folded pixels. The latter asks for edges.
        clean_loss: the error is that of the clean latents a prediction stands for, not of the prediction itself;
            for networks that predict clean latents and only tell them as velocity.
        own_estimate: probability of a step whose noisy latents are made from the model's own estimate out of pure
            noise instead of the truth, so that it learns to correct itself between sampling steps.
        activation_limit: root mean square that the networks' residual streams may have before it costs anything;
            0 sets no limit. Norms follow them, so nothing else keeps them within the range of float16.
    """

    unconditional: float = 0.05
    reference: float = 0.05
    history_after: float = 0.5
    high_noise: float = 2.0
    person_weight: float = 1.0
    component_weight: float = 4.0
    mouth_weight: float = 0.0
    eye_weight: float = 0.0
    validity_weight: float = 0.0
    loss: Literal["squared", "pixels"] = "squared"
    own_estimate: float = 0.0
    clean_loss: bool = False
    activation_limit: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
        stage: 1 trains everything but the temporal layers, on independent frames; 2 the temporal layers only, on
            windows as they are sampled: what says which frame is which has to have seen as many.
        output: folder of checkpoints, logs and sample sheets.
        init_from: a model file to start from, e.g. stage 1's export.
        base_from: a diffusers folder or file of Stable Diffusion 3 or 3.5, whose transformer (and autoencoder, where
            the model has one) a DiT starts from.
        save_every, log_every, sheet_every: in steps.
        compile: torch.compile the training step.
    """

    model: ModelConfig
    data: DataConfig
    optim: OptimConfig
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    stage: Literal[1, 2] = 1
    output: str = "runs/train"
    init_from: str | None = None
    seed: int = 0
    base_from: str | None = None
    save_every: int = 500
    log_every: int = 10
    sheet_every: int = 500
    compile: bool = False

    def __post_init__(self) -> None:
        sampling, data = self.model.sampling, self.data
        if self.stage == 2 and (data.frames, data.history) != (sampling.window, sampling.history):
            raise InputError(
                f"stage 2: samples of {data.history} + {data.frames} frames, but windows of {sampling.history} + "
                f"{sampling.window} are sampled; make data.history and data.frames equal to model.sampling.history "
                "and model.sampling.window"
            )
        if data.photos is not None and (self.stage == 2 or not self.model.backbone.get("baseline")):
            raise InputError(
                "data.photos: photographs do not move, and what is learnt of them is to restore a baseline; set it in "
                "stage 1 only, for a model with a baseline"
            )


def _build(cls: type[Any], values: Any, where: str) -> Any:
    """A dataclass from a part of the file; what does not belong there is an InputError."""
    if not isinstance(values, dict):
        raise InputError(f"{where}: settings are needed here, not {values!r}")
    types = get_type_hints(cls)
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise InputError(f"{where}: unknown settings {unknown}; known are {sorted(types)}")
    fields = dataclasses.fields(cls)
    needed = {f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING}
    missing = sorted(needed - set(values))
    if missing:
        raise InputError(f"{where}: settings {missing} are missing")
    return cls(**{key: _checked(value, types[key], f"{where}: {key}") for key, value in values.items()})


def _checked(value: Any, wanted: Any, where: str) -> Any:
    """The value if it is of the type of its setting."""
    if wanted is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3, without a dot, for text
        except ValueError:
            pass
    choices = get_args(wanted)
    if dict[str, float] in choices and isinstance(value, dict):
        return {str(key): _checked(share, float, f"{where}: {key}") for key, share in value.items()}
    choices = tuple(get_origin(choice) or choice for choice in choices)
    if get_origin(wanted) is Literal:
        fits = value in choices
    elif wanted is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, choices or wanted)
    if not fits:
        names = [str(getattr(choice, "__name__", choice)) for choice in choices or (wanted,)]
        raise InputError(f"{where}: {value!r} does not fit; choose {' or '.join(names)}")
    return value


def _model_config(values: dict[str, Any], where: str) -> ModelConfig:
    """What the file says of the model, over the model that the run starts from or over the defaults."""
    model, start = values.get("model", {}), values.get("init_from")
    if not model and not start:
        raise InputError(f"{where}: give either 'model' or 'init_from'")
    if not isinstance(model, dict):
        raise InputError(f"{where}: model: settings are needed here, not {model!r}")
    base = read_config(find_model(start)) if start else ModelConfig(name=str(model.get("name", "portrait")))
    settings = base.to_dict()
    unknown = sorted(set(model) - set(settings))
    if unknown:
        raise InputError(f"{where}: model: unknown settings {unknown}; known are {sorted(settings)}")
    for key, value in model.items():
        settings[key] = {**settings[key], **value} if isinstance(value, dict) else value
    try:
        made = ModelConfig.from_dict(settings)
    except TypeError as error:
        raise InputError(f"{where}: model: {error}") from error
    return made


def _read(path: str | Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"training config {path}: {error.strerror}; give an existing YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"training config {path}: not YAML ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"training config {path}: holds no settings; see model_core/training/configs")
    return values


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted setting in place."""
    *parents, last = key.split(".")
    target = values
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise InputError(f"--set {key}: '{parent}' is a single setting, nothing lies below it")
    target[last] = value


def load_train_config(path: str | Path, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """Read a run from YAML; settings that are unknown, missing or of the wrong type are an InputError.

    Args:
        overrides: dotted settings that win over the file, e.g. ``{"optim.steps": 100}``.
    """
    values = _read(path)
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    values["model"] = _model_config(values, str(path))
    parts = {"data": DataConfig, "optim": OptimConfig, "condition": ConditionConfig}
    built = {name: _build(cls, values.get(name, {}), f"{path}: {name}") for name, cls in parts.items()}
    return cast(TrainConfig, _build(TrainConfig, {**values, **built}, str(path)))
