"""What makes a job the same job: the content of its inputs and every setting that can change a pixel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import VideoError
from ..models import PortraitModel

Identity = Mapping[str, Any]
"""Plain values by dotted name, as JSON knows them."""

_BLOCK = 2**22


def file_digest(path: Path) -> str:
    """Of a file's content; of a folder's, of the names and the content of its files."""
    digest = hashlib.sha256()
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        try:
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise VideoError(f"video {file}: cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()


def tensor_digest(tensor: Tensor) -> str:
    """Of a tensor's shape, type and bits, wherever it lies."""
    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{tuple(plain.shape)} {plain.dtype}".encode())
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def model_digest(model: PortraitModel) -> str:
    """Of a model's config and of the bits of all its weights."""
    config = model.config.to_dict()
    del config["dtypes"]  # what could be chosen; what is, the weights' bits tell
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for part in (model.backbone, model.autoencoder):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(f"{name} {tensor_digest(tensor)}".encode())
    return digest.hexdigest()


def digest_of(identity: Identity) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def changed(before: Identity, now: Identity) -> list[str]:
    """The names whose values differ, in order."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
