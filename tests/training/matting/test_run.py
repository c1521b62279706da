"""Training of the matting network: it learns, resumes to the same bits, and refuses what it cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from model_core.cli import main
from model_core.errors import InputError
from model_core.faces.matting import MattingNetwork, load_network, network_input
from model_core.training.clips import write_clip
from model_core.training.matting.run import EXPORTED, load_matting_config, matting_loss, train_matting

CONFIG = """
output: {output}
folder: {folder}
size: 48
save_every: 2
log_every: 1
optim: {{steps: 4, batch: 2, lr: 0.01, warmup: 1, ema: 0.5}}
"""
ROOT = Path(__file__).resolve().parents[3]


def disc_batch(seed: int) -> dict[str, torch.Tensor]:
    """Heads like discs of any size over noise, with a guess that is half as large again."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(4):
        rows, columns = np.mgrid[:48, :48]
        middle, radius = rng.uniform(18, 30, 2), rng.uniform(8, 13)
        away = np.hypot(columns - middle[0], rows - middle[1])
        disc, guess = (away < radius).astype(np.float32), (away < 1.5 * radius).astype(np.float32)
        background = rng.integers(0, 90, (48, 48, 3)).astype(np.float32)
        colours = np.zeros((48, 48, 3), np.float32) + (210, 170, 150)
        picture = (background + (colours - background) * disc[..., None]).astype(np.uint8)
        turns = np.arange(478) * (2 * np.pi / 478)
        points = middle + np.stack([np.cos(turns), np.sin(turns)], axis=1) * 0.6 * radius
        made.append((network_input(picture, points, guess), torch.from_numpy(disc)[None], colours, background))
    layers = (torch.from_numpy(np.stack([sample[place] for sample in made]) / 127.5 - 1) for place in (2, 3))
    colours, background = (layer.permute(0, 3, 1, 2) for layer in layers)
    return {
        "picture": torch.stack([sample[0] for sample in made]),
        "alpha": torch.stack([sample[1] for sample in made]),
        "colours": colours,
        "background": background,
    }


def test_a_few_steps_teach_where_a_disc_ends() -> None:
    torch.manual_seed(0)
    network = MattingNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    held = disc_batch(1000)

    def error() -> float:
        with torch.no_grad():
            return float((network(held["picture"]).sigmoid() - held["alpha"]).abs().mean())

    before = error()
    for step in range(25):
        batch = disc_batch(step)
        optimizer.zero_grad()
        matting_loss(network(batch["picture"]), batch).backward()
        optimizer.step()
    assert error() < 0.5 * before


def test_the_loss_knows_the_truth() -> None:
    batch = disc_batch(0)
    right = (batch["alpha"] - 0.5) * 40
    assert float(matting_loss(right, batch)) < 1e-3 < float(matting_loss(-right, batch))
    assert float(matting_loss(right, batch)) < float(matting_loss(torch.zeros_like(right), batch))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    turns = np.arange(478) * (2 * np.pi / 478)
    marks = np.stack([128 + 48 * np.cos(turns), 128 + 60 * np.sin(turns), 0 * turns], axis=1).astype(np.float32)
    person = np.zeros((256, 256), np.uint8)
    person[40:220, 60:200] = 255
    write_clip(
        tmp_path / "heads" / "0.npz",
        {
            "images": rng.integers(0, 256, (1, 256, 256, 3)).astype(np.uint8),
            "foreground": person[None],
            "landmarks": marks[None],
        },
    )
    path = tmp_path / "matting.yaml"
    path.write_text(CONFIG.format(output=tmp_path / "run", folder=tmp_path / "heads"), encoding="utf-8")
    return path


def _weights(path: Path) -> dict[str, torch.Tensor]:
    AcceleratorState._reset_state(True)
    return dict(load_network(path).state_dict())


def test_a_resumed_run_gives_the_same_bits(config: Path, tmp_path: Path) -> None:
    whole = train_matting(load_matting_config(config, {"output": str(tmp_path / "whole")}), progress=False)
    train_matting(load_matting_config(config, {"optim.final": 1.0, "optim.steps": 2}), progress=False)
    straight = load_matting_config(config, {"output": str(tmp_path / "straight"), "optim.final": 1.0})
    resumed = train_matting(load_matting_config(config, {"optim.final": 1.0}), progress=False)
    wanted = _weights(train_matting(straight, progress=False))
    assert (tmp_path / "run" / "state-4").is_dir() and resumed.name == EXPORTED
    found = _weights(resumed)
    assert all(torch.equal(found[key], value) for key, value in wanted.items())
    assert any(not torch.equal(found[key], value) for key, value in _weights(whole).items())


def test_another_run_in_the_folder_is_refused(config: Path) -> None:
    train_matting(load_matting_config(config, {"optim.steps": 2}), progress=False)
    with pytest.raises(InputError, match="size was 48, is 64"):
        train_matting(load_matting_config(config, {"optim.steps": 2, "size": 64}), progress=False)


def test_settings_that_are_none_are_named(config: Path) -> None:
    with pytest.raises(InputError, match="unknown settings"):
        load_matting_config(config, {"stage": 2})
    with pytest.raises(InputError, match="size"):
        load_matting_config(config, {"size": 3})


def test_a_folder_without_clips_ends_the_command(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["matting", str(config), "--set", f"folder={tmp_path / 'empty'}"]) != 0
    assert "no prepared clips" in capsys.readouterr().err


def test_the_shipped_config_is_one() -> None:
    made = load_matting_config(ROOT / "model_core" / "training" / "configs" / "matting.yaml")
    assert made.size == 160 and made.photos is not None
