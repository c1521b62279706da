"""Pictures into ComfyUI's output folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from torch import Tensor


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
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    entries = {} if args.disable_metadata else _workflow(hidden)
    saved = []
    for number, image in enumerate(images):
        file = f"{name.replace('%batch_num%', str(number))}_{counter + number:05}_.png"
        save_png(image, Path(folder) / file, entries=entries, mark=mark)
        saved.append((file, subfolder))
    return saved


def _workflow(hidden: Any) -> dict[str, str]:
    values = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})} if hidden is not None else {}
    return {key: json.dumps(value) for key, value in values.items() if value is not None}
