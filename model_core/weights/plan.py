"""From files to a model: which file gives which part, what config that makes, and what is missing or in doubt.

``survey`` only looks at headers and never fails on files that do not fit; ``plan`` is the survey of a model that runs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backbones.unet.config import UNetConfig
from ..bounds import check_arguments, check_values, listed
from ..config import AutoencoderConfig, ModelConfig
from ..errors import CheckpointError, InputError
from .detect import Recognised, recognise
from .folder import weight_files
from .formats.piece import Piece
from .formats.unet import never_read
from .load import Source
from .presets import PRESETS, Preset, Role
from .roles import assign

Overrides = Mapping[str, Any]
"""Settings by their place in ``ModelConfig``, for what no key tells: ``{"backbone": {"norm_num_groups": 8}}``."""

_PREFIXES: dict[Role, str] = {
    "denoiser": "backbone.denoiser.",
    "reference_net": "backbone.reference_net.",
    "motion": "backbone.denoiser.",
    "pose_guider": "backbone.pose_guider.",
    "pose_guider_2": "backbone.pose_guider_2.",
    "image_encoder": "backbone.image_prompt.encoder.",
    "autoencoder": "autoencoder.",
}
_SCALING_FACTOR = 0.18215
_SDXL_SCALING_FACTOR = 0.13025
_MOTION_GROUPS = 32
_UNET_FACTS = (
    "block_out_channels",
    "layers_per_block",
    "down_attention",
    "up_attention",
    "cross_attention_dim",
    "latent_channels",
    "attention_heads",
    "norm_num_groups",
)
_MOTION_FACTS = ("motion_mid_block", "motion_max_length", "joint_norm", "motion_heads", "motion_norm_groups")
_SHOWN_KEYS = 8


@dataclass(frozen=True)
class Survey:
    """What some files make together.

    Attributes:
        files: what each was recognised as.
        preset: how such models are used.
        roles: the parts that were found.
        missing: the parts without which it does not run.
        problems: what is ambiguous or does not fit.
        notes: what is not used, and why.
        config: of the model; defaults stand in for what is missing.
        sources: where every tensor is found.
    """

    files: tuple[Recognised, ...]
    preset: Preset
    roles: Mapping[Role, Piece]
    missing: tuple[Role, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    config: ModelConfig
    sources: tuple[Source, ...] = field(repr=False)

    @property
    def complete(self) -> bool:
        return not self.missing and not self.problems


def survey(
    paths: Sequence[Path],
    *,
    roles: Mapping[Path, Role] | None = None,
    overrides: Overrides | None = None,
    preset: str | None = None,
) -> Survey:
    """Look at files and folders together, by their headers alone.

    Args:
        paths: weights files, or folders of them.
        roles: what some of these files are, where the files do not say it themselves.
        overrides: settings that the files do not tell, over those of the preset and of a ``config.json``.
        preset: a name of ``PRESETS``, where the files would choose another.
    Raises:
        ModelNotFoundError, CheckpointError: a file is not there or cannot be read; an override is not known.
    """
    files = tuple(recognise(file) for path in paths for file in weight_files(Path(path)))
    found = assign(files, {Path(path): role for path, role in (roles or {}).items()})
    chosen = _preset(preset) if preset else found.preset
    settings = _with_overrides(_settings(chosen, found.pieces, name=_name(paths)), overrides or {})
    missing = tuple(role for role in chosen.needs if role not in found.pieces and _needed(role, settings))
    config = _config(settings)
    problems = [*found.problems, *_file_problems(files), *_misfits(found.pieces, settings)]
    if not missing and not problems:
        problems += _contradictions(config)
    if "pose_guider_2" in found.pieces and settings["backbone"]["pose_guiders"] == 1:
        problems.append(f"{found.pieces['pose_guider_2'].header.path.name}: {chosen.title} has one PoseGuider only")
    return Survey(
        files,
        chosen,
        found.pieces,
        missing,
        tuple(problems),
        found.notes,
        config,
        tuple(_source(role, piece) for role, piece in found.pieces.items()),
    )


def plan(
    paths: Sequence[Path],
    *,
    roles: Mapping[Path, Role] | None = None,
    overrides: Overrides | None = None,
    preset: str | None = None,
) -> Survey:
    """The survey of files that make a whole model; all else is one ``CheckpointError`` that lists what is wrong."""
    found = survey(paths, roles=roles, overrides=overrides, preset=preset)
    if not found.complete:
        raise CheckpointError("\n".join(["These files do not make a model; nothing was loaded.", *explain(found)]))
    return found


def explain(found: Survey) -> list[str]:
    """A survey in lines for people: each file, each part, what is missing and what would complete it."""
    lines = [f"  {_file_line(file)}" for file in found.files]
    lines += [f"  {role} from {piece.header.path.name}: {piece.title}" for role, piece in found.roles.items()]
    lines += [f"  note: {note}" for note in found.notes]
    lines += [f"  problem: {problem}" for problem in found.problems]
    if found.roles:  # where nothing at all was recognised, the problems say enough
        lines += [f"  missing {role}: {found.preset.files[role]}" for role in found.missing]
    return lines


def _file_line(file: Recognised) -> str:
    titles = " and ".join(piece.title for piece in file.pieces)
    what = "a VividPortraits model" if file.ours else file.refusal or titles
    dtype = str(file.dtype).removeprefix("torch.")
    return f"{file.header.path.name}: {what} ({file.header.parameters / 1e6:.1f} M parameters, {dtype})"


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise CheckpointError(f"preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def _name(paths: Sequence[Path]) -> str:
    first = Path(paths[0]) if paths else Path("files")
    return first.name if first.is_dir() or len(paths) == 1 else f"{first.stem} and others"


def _needed(role: Role, settings: Mapping[str, Any]) -> bool:
    backbone = settings["backbone"]
    if role == "motion":
        return bool(backbone["temporal"])
    return role != "pose_guider_2" or backbone["pose_guiders"] == 2


def _settings(preset: Preset, pieces: Mapping[Role, Piece], *, name: str) -> dict[str, Any]:
    """The model's config as nested plain values, so that overrides can reach every one."""
    backbone = {**UNetConfig().to_dict(), "motion_norm_groups": _MOTION_GROUPS, **preset.backbone}
    unet = pieces.get("denoiser") or pieces.get("reference_net")
    for piece, wanted in ((unet, _UNET_FACTS), (pieces.get("motion"), _MOTION_FACTS)):
        if piece is not None:
            backbone |= {key: piece.facts[key] for key in wanted if piece.facts.get(key) is not None}
    if "pose_guider" in pieces:
        backbone["pose_guider_channels"] = pieces["pose_guider"].facts["pose_guider_channels"]
    if "image_encoder" in pieces:
        backbone["image_encoder"] = dict(pieces["image_encoder"].facts)
    autoencoder = AutoencoderConfig(kind="kl", stride=8, scaling_factor=_SCALING_FACTOR)
    if "autoencoder" in pieces:
        kl = dict(pieces["autoencoder"].facts)
        factor = kl.pop("scaling_factor", _SCALING_FACTOR)
        stride = 2 ** (len(kl["block_out_channels"]) - 1)
        autoencoder = dataclasses.replace(autoencoder, kl=kl, scaling_factor=factor, stride=stride)
        backbone["latent_stride"] = stride
    config = ModelConfig(
        name=name,
        size=preset.size,
        motion_kind=preset.motion_kind,
        backbone=backbone,
        autoencoder=autoencoder,
        schedule=preset.schedule,
        sampling=preset.sampling,
    )
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return plain  # lists for tuples: what a saved model's config reads as


def _with_overrides(settings: dict[str, Any], overrides: Overrides, place: str = "") -> dict[str, Any]:
    merged = dict(settings)
    open_ended = place in ("autoencoder.kl.", "backbone.image_encoder.")  # another library's keyword arguments
    for key, value in overrides.items():
        if key not in settings and not open_ended:
            raise CheckpointError(f"override {place}{key}: there is no such setting; known: {', '.join(settings)}")
        nested = isinstance(settings.get(key), dict) and isinstance(value, Mapping)
        merged[key] = _with_overrides(settings[key], value, f"{place}{key}.") if nested else value
    return merged


def _config(settings: dict[str, Any]) -> ModelConfig:
    """The config; a CheckpointError where a setting is none that a network can have."""
    backbone = {name: listed(value) for name, value in settings["backbone"].items()}
    try:
        config = ModelConfig.from_dict(settings)
        check_values(UNetConfig, backbone, what="backbone.")
        check_arguments(backbone["image_encoder"], what="backbone.image_encoder.")
    except (InputError, TypeError) as error:
        raise CheckpointError(f"these files with these overrides: {error}") from error
    return config


def _contradictions(config: ModelConfig) -> list[str]:
    """What of a config whose parts are all there does not go together."""
    try:
        networks = UNetConfig(**config.backbone)
    except CheckpointError as error:
        return [str(error)]
    most, frames = networks.frames_at_most, config.sampling.window + config.sampling.history
    if most is None or frames <= most:
        return []
    return [f"windows of {frames} frames are sampled, of which the motion modules know {most}"]


def _file_problems(files: Iterable[Recognised]) -> list[str]:
    problems = []
    for file in files:
        name = file.header.path.name
        if file.refusal:
            problems.append(f"{name} is {file.refusal}")
        if file.unknown:
            more = f", and {len(file.unknown) - _SHOWN_KEYS} more" if len(file.unknown) > _SHOWN_KEYS else ""
            problems.append(
                f"{name} holds {len(file.unknown)} key(s) that its format does not know: "
                f"{', '.join(file.unknown[:_SHOWN_KEYS])}{more}"
            )
    return problems


def _misfits(pieces: Mapping[Role, Piece], settings: Mapping[str, Any]) -> list[str]:
    """Parts that were made for other parts: their widths disagree."""
    backbone = settings["backbone"]
    checks: list[tuple[Role, str, Any]] = [
        ("reference_net", "block_out_channels", tuple(backbone["block_out_channels"])),
        ("reference_net", "cross_attention_dim", backbone["cross_attention_dim"]),
        ("reference_net", "layers_per_block", backbone["layers_per_block"]),
        ("motion", "block_out_channels", tuple(backbone["block_out_channels"])),
        ("pose_guider", "out_channels", backbone["block_out_channels"][0]),
        ("pose_guider", "in_channels", 3),
        ("pose_guider_2", "out_channels", backbone["block_out_channels"][0]),
        ("pose_guider_2", "pose_guider_channels", tuple(backbone["pose_guider_channels"])),
        ("autoencoder", "latent_channels", backbone["latent_channels"]),
    ]
    if backbone["prompt_kind"] == "embedding":
        checks.append(("image_encoder", "projection_dim", backbone["cross_attention_dim"]))
    elif "denoiser" in pieces:
        checks.append(("image_encoder", "hidden_size", pieces["denoiser"].facts["token_width"]))
    unet = "denoiser" in pieces or "reference_net" in pieces
    problems = [
        f"{pieces[role].header.path.name} does not fit the other files: its {fact} is {pieces[role].facts[fact]}, "
        f"theirs takes {wanted}"
        for role, fact, wanted in checks
        if unet and role in pieces and pieces[role].facts[fact] != wanted
    ]
    return [*problems, *_group_problems(backbone, settings["autoencoder"]["kl"]), *_special(pieces, settings)]


def _group_problems(backbone: Mapping[str, Any], kl: Mapping[str, Any]) -> list[str]:
    """Groups that do not divide the widths: no shape tells them, and the usual ones cannot be right then."""
    clip = backbone["image_encoder"]
    found = [
        (backbone["block_out_channels"], "backbone.norm_num_groups", backbone["norm_num_groups"]),
        (backbone["block_out_channels"], "backbone.attention_heads", backbone["attention_heads"]),
        (backbone["block_out_channels"], "backbone.motion_norm_groups", backbone["motion_norm_groups"] or 1),
        (kl.get("block_out_channels", ()), "autoencoder.kl.norm_num_groups", kl.get("norm_num_groups", 1)),
        ((clip["hidden_size"],), "backbone.image_encoder.num_attention_heads", clip["num_attention_heads"]),
    ]
    return [
        f"{setting} {count} does not divide the widths {'/'.join(map(str, widths))}; say what it is, in a config.json "
        f"beside the file or as an override of {setting}"
        for widths, setting, count in found
        if not isinstance(count, int) or count < 1 or any(width % count for width in widths)
    ]


def _special(pieces: Mapping[Role, Piece], settings: Mapping[str, Any]) -> list[str]:
    problems = []
    motion, autoencoder = pieces.get("motion"), pieces.get("autoencoder")
    told = settings["backbone"]["motion_max_length"] != UNetConfig().motion_max_length
    if motion is not None and motion.facts["alone"] and not motion.facts["has_table"] and not told:
        problems.append(
            f"{motion.header.path.name} has no position table, as AnimateLCM's motion modules, which are not known "
            "here. If it is an AnimateDiff file saved without it, say its length: backbone.motion_max_length"
        )
    if autoencoder is not None and abs(settings["autoencoder"]["scaling_factor"] - _SDXL_SCALING_FACTOR) < 1e-6:
        problems.append(f"{autoencoder.header.path.name} is Stable Diffusion XL's autoencoder, by its config.json")
    return problems


def _source(role: Role, piece: Piece) -> Source:
    dropped = never_read(piece.names) if role == "reference_net" else set()
    names = {f"{_PREFIXES[role]}{name}": key for name, key in piece.names.items() if name not in dropped}
    return Source(piece.header, names, piece.tables)
