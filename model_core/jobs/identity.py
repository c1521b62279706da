"""What makes a job the same job: the content of its inputs and every setting that can change a pixel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..models import PortraitModel

Identity = Mapping[str, Any]
"""Plain values by dotted name, as JSON knows them."""


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
