"""A folder full of files that break programs, for test_bad_input.py."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_core.config import ModelConfig
from model_core.images import save_image
from model_core.models import build_model, save_model
from model_core.video.write import VideoWriter
from model_core.weights.detect import CONFIG_KEY
from model_core.weights.io import read_safetensors, write_safetensors

TRAIN = """
stage: 1
output: run
model: MODEL
data: {folder: clips, frames: 2}
optim: {steps: 1, batch: 1}
"""
CONFIGS: dict[str, dict[str, Any]] = {
    "size-huge": {"size": [10**9, 10**9]},
    "size-zero": {"size": [0, 0]},
    "size-negative": {"size": [-32, 32]},
    "size-text": {"size": "large"},
    "size-odd": {"size": [30, 30]},
    "family": {"family": "gan"},
    "nan": {"autoencoder": {"kind": "fold", "stride": 4, "scaling_factor": float("nan")}},
    "windows": {"sampling": {"window": 16, "history": 3, "overlap": 4}},
    "kl": {"autoencoder": {"kind": "kl", "stride": 4, "kl": {"layers_per_block": 10**7}}},
}
"""Configs of model files that no model has, by the name of their file."""
BACKBONES: dict[str, Any] = {
    "channels": {"block_out_channels": [800_000, 800_000]},
    "layers": {"layers_per_block": 10**7},
    "levels": {"down_attention": [True]},
    "groups": {"norm_num_groups": 3},
    "encoder": {"image_encoder": {"hidden_size": 8, "num_hidden_layers": 10**7}},
    "unknown": {"colour": 3},
}


def write_inputs(folder: Path, config: ModelConfig, square_frames: Callable[..., np.ndarray]) -> None:
    """Whole files under plain names, and others named by their fault."""
    _pictures(folder, square_frames)
    _videos(folder, square_frames)
    _models(folder, config)
    _pickles(folder)
    _texts(folder, config)
    _clips(folder)
    (folder / "nothing").mkdir()
    (folder / "folder.mp4").mkdir()


def fingerprint(folder: Path, *, folders: bool = True) -> dict[str, str]:
    """Every file in a folder with what it holds, and, where asked, every folder."""
    paths = [path for path in sorted(folder.rglob("*")) if folders or path.is_file()]
    return {str(path): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths}


def _pictures(folder: Path, square_frames: Callable[..., np.ndarray]) -> None:
    portrait = square_frames(1)[0]
    save_image(portrait, folder / "portrait.png")
    save_image(np.full_like(portrait, 30), folder / "faceless.png")
    save_image(portrait[:40, :40], folder / "small.png")
    save_image(portrait[:1, :1], folder / "pixel.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    whole = (folder / "portrait.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "forbidden.png").write_bytes(whole)
    (folder / "huge.png").write_bytes(_png_of(60_000))


def _png_of(side: int) -> bytes:
    """A few bytes that say they are a picture of side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _videos(folder: Path, square_frames: Callable[..., np.ndarray]) -> None:
    for name, frames in {"driving": square_frames(7), "faceless": np.full((4, 96, 96, 3), 30, np.uint8)}.items():
        with VideoWriter(folder / f"{name}.mp4", fps=25) as writer:
            writer.append(frames)
    whole = (folder / "driving.mp4").read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video")
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "forbidden.mp4").write_bytes(whole)
    (folder / "picture.mp4").write_bytes((folder / "portrait.png").read_bytes()[:300])
    (folder / "video.png").write_bytes(whole)


def _models(folder: Path, config: ModelConfig) -> None:
    path = folder / "tiny.safetensors"
    torch.manual_seed(0)
    save_model(build_model(config), path)
    tensors, metadata = read_safetensors(path)
    plain = json.loads(metadata[CONFIG_KEY])
    configs = {name: {**plain, **change} for name, change in CONFIGS.items()}
    configs["windows"] = {**plain, "sampling": {**plain["sampling"], **CONFIGS["windows"]["sampling"]}}
    configs |= {name: {**plain, "backbone": {**plain["backbone"], **change}} for name, change in BACKBONES.items()}
    texts = {name: json.dumps(changed) for name, changed in configs.items()}
    texts |= {"deep": "[" * 100_000 + "]" * 100_000, "list": "[]", "no-json": "{", "half": '{"name": "half"}'}
    few = dict([next(iter(tensors.items()))])  # what is wrong with the config is told before the weights are missed
    for name, text in texts.items():
        write_safetensors(folder / f"{name}.safetensors", few, {CONFIG_KEY: text})
    key = "backbone.denoiser.unet.conv_in.weight"
    write_safetensors(folder / "missing.safetensors", {k: v for k, v in tensors.items() if k != key}, metadata)
    write_safetensors(folder / "nan-weights.safetensors", {**tensors, key: tensors[key] * torch.nan}, metadata)
    write_safetensors(folder / "foreign.safetensors", {"x": torch.zeros(1)})
    whole = path.read_bytes()
    for name, content in _spoilt(whole).items():
        (folder / f"{name}.safetensors").write_bytes(content)
    (folder / "models").mkdir()
    for name in ("tiny", "deep", "size-huge", "cut", "foreign"):
        (folder / "models" / f"{name}.safetensors").write_bytes((folder / f"{name}.safetensors").read_bytes())
    (folder / "models" / "good.safetensors").write_bytes(whole)


def _spoilt(whole: bytes) -> Mapping[str, bytes]:
    return {
        "cut": whole[:-999],
        "empty": b"",
        "text": b"not a model",
        "page": b"<!DOCTYPE html><html>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "forbidden": whole,
        "header": struct.pack("<Q", 2**62) + whole[8:],
    }


class _Order:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def _pickles(folder: Path) -> None:
    (folder / "text.pth").write_text("not weights")
    (folder / "order.pth").write_bytes(pickle.dumps({"weight": _Order()}))
    torch.save([1, 2], folder / "list.pth")
    with zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("bomb/data.pkl", "w") as file:
            for _ in range(128):
                file.write(bytes(2**20))


def _texts(folder: Path, config: ModelConfig) -> None:
    plain = json.dumps(config.to_dict())
    yamls = {
        "train": TRAIN.replace("MODEL", plain),
        "no-model": TRAIN.replace("model: MODEL", ""),
        "no-yaml": "a: [1",
        "a-list": "[1, 2]",
        "nested": "[" * 50_000,
        "blank": "",
        "orders": "!!python/object/apply:os.mkdir [executed]",
        "endless": "a: &a {b: *a}",
        "laughs": "\n".join(
            ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
        ),
        "typo": TRAIN.replace("MODEL", plain).replace("optim", "optimiser"),
    }
    for name, text in yamls.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "latin.yaml").write_bytes(b"\xff\xfe\x00a")
    line = {"reference": "portrait.png", "driving": "driving.mp4", "output": "out/a.mp4"}
    lists = {
        "deep": "[" * 100_000,
        "words": "portrait.png driving.mp4",
        "array": "[1, 2]",
        "blank": "\n\n# nothing\n",
        "no-output": json.dumps({**line, "output": None}),
        "colour": json.dumps({**line, "colour": 1}),
        "steps-text": json.dumps({**line, "settings": {"steps": "many"}}),
        "nested": json.dumps({**line, "settings": {"settings": {"a": 1}}}),
        "settings-list": json.dumps({**line, "settings": [1]}),
        "batch": json.dumps({**line, "batch": "x"}),
        "same": f"{json.dumps(line)}\n{json.dumps(line)}",
        "steps": json.dumps({**line, "settings": {"steps": -1}}),
        "nul": json.dumps({**line, "reference": "a\0b.png"}),
        "missing": json.dumps({**line, "reference": "none.png"}),
        "digits": '{"reference": ' + "9" * 5000 + "}",
        "nan": json.dumps({**line, "settings": {"identity": float("nan")}}),
    }
    for name, text in lists.items():
        (folder / f"{name}.jsonl").write_text(text)
    (folder / "latin.jsonl").write_bytes(b"\xff\xfe\x00a")
    pairs = {
        "pairs-keys": '{"reference": "portrait.png"}',
        "pairs-numbers": '{"reference": 1, "driving": 2, "generated": 3}',
        "pairs-missing": '{"reference": "portrait.png", "driving": "driving.mp4", "generated": "none.mp4"}',
        "pairs-blank": "\n",
    }
    for name, text in pairs.items():
        (folder / f"{name}.jsonl").write_text(text)


def _clips(folder: Path) -> None:
    def clip(name: str, *, frames: int = 4, size: int = 32, landmarks: int = 478) -> Path:
        path = folder / name / "a.npz"
        path.parent.mkdir()
        np.savez(
            path,
            images=np.zeros((frames, size, size, 3), np.uint8),
            foreground=np.zeros((frames, size, size), np.uint8),
            landmarks=np.zeros((frames, landmarks, 3), np.float32),
        )
        return path

    clip("clips")
    clip("clips-large", size=64)
    clip("clips-short", frames=1)
    clip("clips-points", landmarks=68)
    cut = clip("clips-cut")
    cut.write_bytes(cut.read_bytes()[:500])
    clip("clips-text").write_text("not a clip")
    path = clip("clips-names")
    np.savez(path, pictures=np.zeros(3))
    (folder / "media").mkdir()
    (folder / "media" / "a.mp4").write_bytes((folder / "driving.mp4").read_bytes())
