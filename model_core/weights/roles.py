"""Which file plays which part: told by what else is there, and refused where it could be either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .detect import Recognised
from .formats.piece import Piece
from .presets import (
    FOLLOW_YOUR_EMOJI,
    MOORE_POSE2VID,
    MOORE_REENACT,
    ROLES,
    STABLE_DIFFUSION,
    Preset,
    Role,
)


@dataclass
class Roles:
    """The parts found so far, and what was noticed on the way."""

    pieces: dict[Role, Piece] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    preset: Preset = STABLE_DIFFUSION

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self.remarks)


def assign(files: Sequence[Recognised], told: Mapping[Path, Role]) -> Roles:
    """Give every network of the files its part.

    Args:
        told: the part of a file as the user names it; it goes before what the files would say.
    """
    found = Roles()
    by_part: dict[str, list[Piece]] = {}
    for file in files:
        for reason in file.ignored:
            found.remarks.append(f"{file.header.path.name}: {reason} is not needed")
        for piece in file.pieces:
            role = told.get(piece.header.path)
            if role is not None and _plays(piece, role):
                _give(found, role, piece)
            elif not (role is not None and piece.part == "unet"):
                by_part.setdefault(piece.part, []).append(piece)
        if file.ours:
            found.remarks.append(
                f"{file.header.path.name}: a whole model; beside other files only its PoseGuider counts"
            )
    _assign_unets(found, by_part.get("unet", []))
    _assign_motion(found, by_part.get("motion", []))
    _assign_pose_guiders(found, by_part.get("pose_guider", []))
    for part in ("image_encoder", "autoencoder"):
        _assign_one(found, part, by_part.get(part, []))
    found.pieces = {role: found.pieces[role] for role in ROLES if role in found.pieces}
    found.preset = _preset(found.pieces)
    return found


def _plays(piece: Piece, role: Role) -> bool:
    parts = {"denoiser": "unet", "reference_net": "unet", "pose_guider_2": "pose_guider"}
    return piece.part == parts.get(role, role)


def _give(found: Roles, role: Role, piece: Piece) -> None:
    if role in found.pieces and found.pieces[role] is not piece:
        first = found.pieces[role].header.path.name
        found.problems.append(f"{first} and {piece.header.path.name} both bring the {role}; give one of them")
    else:
        found.pieces[role] = piece


def _holds(piece: Piece, part: str) -> bool:
    """Whether the UNet's file also holds another part."""
    marks = {"motion": "motion_modules.", "base": "model.diffusion_model."}
    return any(marks[part] in key for key in piece.header.shapes)


def _assign_unets(found: Roles, unets: Sequence[Piece]) -> None:
    """A Stable Diffusion single file is the base of what no other file brings; alone it is the base of both."""
    taken = [role for role in ("denoiser", "reference_net") if role in found.pieces]
    special = [piece for piece in unets if not _holds(piece, "base")]
    base = [piece for piece in unets if _holds(piece, "base")]
    if len(taken) + len(special) >= 2:
        for piece in base:
            found.remarks.append(f"{piece.header.path.name}: its UNet is not used, other files bring both networks")
        base = []
    _pair(found, [*special, *base])


def _pair(found: Roles, unets: Sequence[Piece]) -> None:
    readers = [piece for piece in unets if not piece.facts["has_output"]]
    writers = [piece for piece in unets if piece.facts["has_output"]]
    for piece in readers:
        _give(found, "reference_net", piece)
    moving = [piece for piece in writers if _holds(piece, "motion") or piece.facts["token_width"]]
    plain = [piece for piece in writers if piece not in moving]
    for piece in moving:
        _give(found, "denoiser", piece)
    open_roles = [role for role in ("denoiser", "reference_net") if role not in found.pieces]
    if len(plain) == 1 and len(open_roles) == 2:
        for role in ("denoiser", "reference_net"):
            _give(found, role, plain[0])
    elif len(plain) == 1 and open_roles:
        if open_roles == ["denoiser"] and _holds(plain[0], "base"):
            found.problems.append(
                f"{found.pieces['reference_net'].header.path.name} is one half of a trained pair; the UNet of "
                f"{plain[0].header.path.name} is not its denoiser"
            )
            return
        _give(found, "denoiser" if open_roles == ["denoiser"] else "reference_net", plain[0])
    elif plain:
        names = ", ".join(piece.header.path.name for piece in plain)
        have = ", ".join(found.pieces[role].header.path.name for role in ("denoiser", "reference_net")
                         if role in found.pieces)  # fmt: skip
        beside = f" beside {have}" if have else ""
        found.problems.append(
            f"{names}{beside}: which is the denoiser and which the ReferenceNet? Say it, or leave some out"
        )


def _assign_motion(found: Roles, pieces: Sequence[Piece]) -> None:
    reference = found.pieces.get("reference_net")
    denoiser = found.pieces.get("denoiser")
    for piece in pieces:
        if reference is not None and reference is not denoiser and piece.header is reference.header:
            found.remarks.append(f"{piece.header.path.name}: a ReferenceNet has no use for its temporal layers")
        else:
            _give(found, "motion", piece)


def _assign_pose_guiders(found: Roles, pieces: Sequence[Piece]) -> None:
    open_roles: list[Role] = [role for role in ("pose_guider", "pose_guider_2") if role not in found.pieces]
    for role, piece in zip(open_roles, pieces, strict=False):
        _give(found, role, piece)
    for piece in pieces[len(open_roles) :]:
        found.problems.append(f"{piece.header.path.name}: one PoseGuider more than any model has")


def _assign_one(found: Roles, role: Role, pieces: Sequence[Piece]) -> None:
    """One piece; of several, a file of its own goes before one that came with a checkpoint."""
    if role in found.pieces:
        return
    alone = [piece for piece in pieces if not any(".diffusion_model." in key for key in piece.header.shapes)]
    for piece in alone or pieces:
        _give(found, role, piece)
    for piece in pieces:
        if alone and piece not in alone:
            found.remarks.append(f"{piece.header.path.name}: its {role} is not used, {alone[0].header.path.name} is")


def _preset(pieces: Mapping[Role, Piece]) -> Preset:
    denoiser, reference = pieces.get("denoiser"), pieces.get("reference_net")
    if any(piece is not None and piece.facts["token_width"] for piece in (denoiser, reference)):
        return FOLLOW_YOUR_EMOJI
    if reference is not None and not reference.facts["has_output"]:
        return MOORE_POSE2VID
    if denoiser is not None and _holds(denoiser, "motion"):
        return MOORE_REENACT
    return STABLE_DIFFUSION
