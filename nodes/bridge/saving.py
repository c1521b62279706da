"""Places in ComfyUI's output folder, and pictures into it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unicodedata import category

import folder_paths
from comfy.cli_args import args
from torch import Tensor

from ...model_core.errors import InputError

_LONGEST_NAME = 255  # bytes, on all usual file systems
_ROOM = 60  # bytes for a number or a digest, and the endings of unfinished files


def save_place(prefix: str, *, width: int, height: int) -> tuple[Path, str, int, str]:
    """Where a file goes that a node saves; its folder is made.

    Args:
        prefix: ``filename_prefix``, as of Save Image: folders and ComfyUI's placeholders are allowed.
        width, height: what two of the placeholders stand for.
    Returns:
        folder, begin of the file's name, its number, and the folder inside the output folder.
    Raises:
        InputError: no file can have that name, or it lies outside of the output folder.
    """
    output = folder_paths.get_output_directory()
    _check_prefix(prefix, os.path.abspath(output))
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    except OSError as error:
        raise InputError(f"filename_prefix: {prefix[:60]!r} cannot be a file's name here ({error})") from error
    return Path(folder), name, counter, subfolder


def _check_prefix(prefix: str, output: str) -> None:
    if any(character == "\0" or category(character) == "Cs" for character in prefix):  # Cs: half a character
        raise InputError("filename_prefix: holds a character that no file's name can; write it again by hand")
    if any(len(os.fsencode(part)) > _LONGEST_NAME - _ROOM for part in Path(prefix).parts):
        raise InputError(f"filename_prefix: {prefix[:60]}... is too long; at most {_LONGEST_NAME - _ROOM} characters")
    place = Path(os.path.abspath(os.path.join(output, os.path.dirname(os.path.normpath(prefix)))))
    if not place.is_relative_to(output):
        raise InputError(f"filename_prefix: {prefix!r} leads out of ComfyUI's output folder; name a place inside it")


def write_images(images: Tensor, *, prefix: str, hidden: Any, mark: bool) -> list[tuple[str, str]]:
    """Write PNGs into ComfyUI's output folder, with the workflow in them unless ComfyUI was told not to.

    Args:
        images: (F, 3 or 4, H, W) in [0, 1].
        prefix: as of Save Image: folders and ComfyUI's placeholders are allowed.
        hidden: the node's hidden inputs ``prompt`` and ``extra_pnginfo``.
        mark: whether to say that they are synthetic.
    Returns:
        (file name, folder inside the output folder) of each.
    """
    from ...model_core.video.mark import save_png

    height, width = images.shape[-2:]
    folder, name, counter, subfolder = save_place(prefix, width=width, height=height)
    entries = {} if args.disable_metadata else _workflow(hidden)
    saved = []
    for number, image in enumerate(images):
        file = f"{name.replace('%batch_num%', str(number))}_{counter + number:05}_.png"
        save_png(image, folder / file, entries=entries, mark=mark)
        saved.append((file, subfolder))
    return saved


def _workflow(hidden: Any) -> dict[str, str]:
    values = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})} if hidden is not None else {}
    return {key: json.dumps(value) for key, value in values.items() if value is not None}
