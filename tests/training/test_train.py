"""The training loop on tiny networks: resuming, stages, curriculum, and the loss itself."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from model_core.config import SamplingConfig
from model_core.errors import CheckpointError, InputError, PortraitError
from model_core.files import locked_folder
from model_core.models import PortraitModel, build_model, load_model, save_model
from model_core.motion.random_scaling import GROUPS
from model_core.training.clips import ClipDataset, ClipFile, write_clip
from model_core.training.config import ConditionConfig, DataConfig, TrainConfig, load_train_config
from model_core.training.drawing import detector_jitter
from model_core.training.step import plan_step
from model_core.training.train import Log, Run, lr_factor, train
from model_core.types import Branch

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
stage: 1
save_every: 2
log_every: 1
sheet_every: 1000
model:
  name: tiny
  size: [32, 32]
  backbone: {latent_channels: 48, latent_stride: 4, block_out_channels: [8, 8], layers_per_block: 1,
    down_attention: [false, true], up_attention: [true, false], attention_heads: 1, cross_attention_dim: 8,
    norm_num_groups: 4, pose_guider_channels: [4, 4, 4], motion_heads: 1, motion_max_length: 8,
    reference_pose: true, prediction_type: sample,
    image_encoder: {hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1,
      image_size: 16, patch_size: 8, projection_dim: 8}}
  autoencoder: {kind: fold, stride: 4, scaling_factor: 2.0}
  schedule: {prediction_type: sample}
  sampling: {window: 4, overlap: 2, history: 2}
data: {folder: CLIPS, frames: 2}
optim: {steps: 6, batch: 2, warmup: 2, ema: 0.5}
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        np.savez(
            folder / f"{index}.npz",
            images=rng.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8),
            foreground=np.full((6, 32, 32), 255, np.uint8),
            landmarks=rng.uniform(8, 24, (6, 478, 3)).astype(np.float32),
            driving_landmarks=rng.uniform(8, 24, (2, 6, 478, 3)).astype(np.float32),
        )
    return folder


@pytest.fixture
def config(clips: Path, tmp_path: Path) -> TrainConfig:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("CLIPS", str(clips)))
    return load_train_config(path, {"output": str(tmp_path / "run")})


def losses(config: TrainConfig) -> list[float]:
    """Of every step, each of which has exactly one row, in order."""
    rows = [json.loads(line) for line in (Path(config.output) / "log.jsonl").read_text().splitlines()]
    first = rows[0]["step"]
    assert [row["step"] for row in rows] == list(range(first, first + len(rows)))
    return [row["loss"] for row in rows]


def test_resuming_repeats_the_uninterrupted_run(config: TrainConfig, tmp_path: Path) -> None:
    whole = train(config, progress=False)
    halves = dataclasses.replace(config, output=str(tmp_path / "halves"))
    first = Run(halves)
    for batch, _ in zip(first.batches(), range(4), strict=False):
        first.train_step(batch)
    first.save()
    del first
    second = train(halves, progress=False)
    assert losses(halves) == losses(config)[4:]
    assert sorted(path.name for path in Path(halves.output).glob("*-*")) == ["state-4", "state-6"]
    a, b = load_model(whole), load_model(second)
    for left, right in zip(a.backbone.state_dict().values(), b.backbone.state_dict().values(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.slow  # starts Python anew
def test_a_kill_at_any_moment_loses_at_most_the_steps_since_the_checkpoint(
    config: TrainConfig, clips: Path, tmp_path: Path
) -> None:
    straight = dataclasses.replace(config, output=str(tmp_path / "straight"))
    train(straight, progress=False)
    killed = dataclasses.replace(config, output=str(tmp_path / "killed"))
    path = tmp_path / "killed.yaml"
    path.write_text(CONFIG.replace("CLIPS", str(clips)) + f"output: {killed.output}\n")
    command = [sys.executable, "-m", "model_core", "train", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("state-*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it had not ended by itself
    train(killed, progress=False)
    assert losses(killed) == losses(straight)
    assert not list((tmp_path / "killed").glob("partial-*"))


def test_the_log_forgets_steps_that_are_repeated_and_half_a_row(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 2, "loss": 1.0}\n{"step": 4, "loss": 2.0}\n{"step": 6, "lo')
    log = Log(path, after=3)
    log.add(1.0)
    log.add(2.0)
    assert log.write(4) == 1.5
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(2, 1.0), (4, 1.5)]


def test_the_log_says_how_long_a_run_waited_for_data(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", after=0)
    time.sleep(0.1)
    log.add(1.0, waited=0.05)
    log.write(1)
    log.add(1.0)
    log.write(2)
    shares = [json.loads(line)["waiting"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert 0.1 < shares[0] <= 0.5 and shares[1] == 0


def test_lines_that_are_no_rows_are_dropped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log.jsonl"
    rows = [b'{"step": 2, "loss": 1.0}\n', b'{"step": 3, "loss": 2}\n']
    path.write_bytes(rows[0] + b'\xff\xfe\n[3]\n{"loss": 1}\nnull\n{"step": "4"}\n' + rows[1])
    Log(path, after=3)
    assert path.read_bytes() == b"".join(rows)
    assert "log.jsonl: 5 lines are no rows" in caplog.text


def spoil(state: Path, damage: str) -> None:
    """Take a checkpoint away, put something else in its place, or cut one of its files off."""
    if damage in {"missing", "empty", "something else"}:
        shutil.rmtree(state)
    else:
        (path,) = state.glob(damage)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return
    if damage != "missing":
        state.mkdir()
    if damage == "something else":
        (state / "run.pt").write_text("notes")


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "something else", "run.pt", "model.safetensors", "optimizer.bin"]
)
def test_a_damaged_checkpoint_costs_what_came_after_the_one_before(
    config: TrainConfig, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    exported = train(config, progress=False)
    undisturbed, rows = load_file(exported), losses(config)
    output = Path(config.output)
    spoil(output / "state-6", damage)
    others = {"state-old", "state-12-copy", "partial-mine"}
    for name in others:
        (output / name).mkdir()
    train(config, progress=False)
    made = load_file(exported)
    assert all(torch.equal(made[name], undisturbed[name]) for name in undisturbed) and losses(config) == rows
    assert ("state-6: cannot be read" in caplog.text) == (damage != "missing")
    assert {"state-4", "state-6", *others} <= {path.name for path in output.iterdir()}
    assert len(list(output.glob("damaged-state-6-*"))) == (damage != "missing")


@pytest.mark.slow  # starts Python anew
def test_processes_that_train_together_hold_the_folder_once_and_fall_back_alike(clips: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "two.yaml", tmp_path / "two"
    path.write_text(CONFIG.replace("CLIPS", str(clips)) + f"output: {output}\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "model_core", "train"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    for steps in (4, 6):
        words = [*command, str(path), "--set", f"optim.steps={steps}"]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads((output / "run.json").read_text())["processes"] == 2
        if steps == 4:
            spoil(output / "state-4", "optimizer.bin")
    assert {"state-4", "state-6"} <= {path.name for path in output.iterdir()}
    assert len(list(output.glob("damaged-state-4-*"))) == 1 and done.stderr.count("state-4: cannot be read") == 2


def test_where_no_checkpoint_can_be_read_nothing_is_begun_again(config: TrainConfig) -> None:
    train(config, progress=False)
    for state in Path(config.output).glob("state-*"):
        spoil(state, "model.safetensors")
    before = contents(config)
    with pytest.raises(CheckpointError, match=r"none of its checkpoints \(state-6, state-4\) can be read"):
        train(config, progress=False)
    assert contents(config) == before


def contents(config: TrainConfig) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(config.output).rglob("*") if path.is_file()}


def test_two_runs_do_not_share_a_folder(config: TrainConfig) -> None:
    with (
        locked_folder(Path(config.output), holder="training.txt", work="it"),
        pytest.raises(InputError, match=r"run: another process \(\d+\) is at work on a run in this folder"),
    ):
        train(config, progress=False)
    train(config, progress=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"optim": {"lr": 0.5}}, "optim.lr was 0.001, is 0.5"),
        ({"optim": {"batch": 3}}, "optim.batch was 2, is 3"),
        ({"optim": {"steps": 4}}, "optim.steps was 6, is 4"),
        ({"data": {"frames": 3}}, "data.frames was 2, is 3"),
        ({"data": {"limit": 2}}, "data.limit was 0, is 2"),
        ({"seed": 1, "data": {"colour_augment": 0.0}}, "data.colour_augment was 0.7, is 0.0; seed was 0, is 1"),
    ],
)
def test_another_run_does_not_go_on_in_the_folder(config: TrainConfig, changes: dict[str, Any], words: str) -> None:
    train(config, progress=False)
    before = contents(config)
    parts = {
        name: dataclasses.replace(getattr(config, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    with pytest.raises(InputError) as refusal:
        train(dataclasses.replace(config, **parts), progress=False)
    assert all(word in str(refusal.value) for word in words.split("; ")) and "another output" in str(refusal.value)
    assert contents(config) == before


def test_other_clips_make_another_run_and_a_moved_folder_does_not(config: TrainConfig, clips: Path) -> None:
    train(config, progress=False)
    moved = clips.rename(clips.with_name("moved"))
    there = dataclasses.replace(config, data=dataclasses.replace(config.data, folder=str(moved)))
    train(there, progress=False)
    arrays = ClipFile(moved / "0.npz").load()
    arrays["images"][0, 0, 0, 0] ^= 1
    write_clip(moved / "0.npz", arrays)
    with pytest.raises(InputError, match=r"data\.folder was 3 clips \w+, is 3 clips \w+"):
        train(there, progress=False)


def test_steps_may_grow_and_what_leaves_the_weights_may_change(
    config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    train(config, progress=False)
    longer = dataclasses.replace(config, save_every=4, optim=dataclasses.replace(config.optim, steps=8))
    train(longer, progress=False)
    assert len(losses(longer)) == 8
    assert "goes on with other settings" in caplog.text
    assert "save_every was 2, is 4" in caplog.text and "optim.steps was 6, is 8" in caplog.text


def test_a_run_from_before_there_was_a_record_goes_on(config: TrainConfig, caplog: pytest.LogCaptureFixture) -> None:
    train(config, progress=False)
    record = Path(config.output) / "run.json"
    for damage in ("", "{not json"):
        record.write_text(damage)
        train(config, progress=False)
        assert "does not say how its checkpoints were made" in caplog.text
        caplog.clear()
    with pytest.raises(InputError, match="seed was 0, is 1"):
        train(dataclasses.replace(config, seed=1), progress=False)


@pytest.mark.parametrize("name", ["tiny.safetensors", "log.jsonl"])
def test_somebody_elses_files_are_not_written_over(config: TrainConfig, name: str) -> None:
    Path(config.output).mkdir()
    (Path(config.output) / name).write_text("someone's\n")
    with pytest.raises(InputError, match=f"output .*run: {name} is there already, and no checkpoint to go on from"):
        train(config, progress=False)
    assert (Path(config.output) / name).read_text() == "someone's\n"


def test_a_model_is_not_trained_over_itself(config: TrainConfig, tmp_path: Path) -> None:
    exported = train(config, progress=False)
    before = exported.read_bytes()
    (tmp_path / "link.safetensors").symlink_to(exported)
    for start in (exported, tmp_path / "link.safetensors"):
        with pytest.raises(InputError, match=r"the trained model .*tiny\.safetensors: is the same as init_from"):
            train(dataclasses.replace(config, init_from=str(start)), progress=False)
    assert exported.read_bytes() == before


def test_an_output_that_cannot_be_made_is_named(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"output .*file: is a file; name a folder"):
        train(dataclasses.replace(config, output=str(tmp_path / "file")), progress=False)


def test_stage_two_trains_the_temporal_layers_only(config: TrainConfig, tmp_path: Path) -> None:
    exported = train(config, progress=False)
    second = dataclasses.replace(
        config,
        stage=2,
        init_from=str(exported),
        output=str(tmp_path / "two"),
        data=dataclasses.replace(config.data, frames=3, history=2),
        model=dataclasses.replace(config.model, sampling=SamplingConfig(window=3, overlap=1, history=2)),
    )
    after = load_model(train(second, progress=False)).backbone.state_dict()
    before = load_model(exported).backbone.state_dict()
    for name, value in after.items():
        temporal = name.startswith("denoiser.motion.") and not name.endswith(".pe")
        if not temporal:
            assert torch.equal(value, before[name]), name
    assert any(not torch.equal(after[n], before[n]) for n in after if "motion" in n and "proj_out" in n)


@pytest.mark.parametrize(("frames", "history"), [(3, 1), (4, 2), (5, 1)])
def test_stage_two_trains_windows_as_they_are_sampled(config: TrainConfig, frames: int, history: int) -> None:
    model = dataclasses.replace(config.model, sampling=SamplingConfig(window=4, overlap=1, history=1))
    data = dataclasses.replace(config.data, frames=frames, history=history)
    message = f"samples of {history} \\+ {frames} frames, but windows of 1 \\+ 4 are sampled"
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, stage=2, model=model, data=data)
    dataclasses.replace(config, stage=2, model=model, data=dataclasses.replace(data, frames=4, history=1))
    dataclasses.replace(config, stage=1, model=model, data=data)  # frames alone know no window


CONFIGS = sorted((ROOT / "model_core" / "training" / "configs").glob("*_stage?.yaml"))  # those of train


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configs_that_come_with_it_can_be_run(path: Path, tmp_path: Path) -> None:
    """Stage 2 takes its model from stage 1's export: a fresh one stands in for it."""
    overrides = {}
    if path.stem.endswith("stage2"):
        first = load_train_config(path.with_name(path.name.replace("stage2", "stage1")))
        overrides = {"init_from": None, "model": first.model.to_dict()}
    made = load_train_config(path, overrides)
    assert made.stage == int(path.stem[-1])
    with torch.device("meta"):
        assert build_model(made.model).backbone.latent_spec.stride in (4, 8)


def test_a_run_that_starts_from_a_model_keeps_its_own_switches(config: TrainConfig, tmp_path: Path) -> None:
    exported = train(config, progress=False)
    backbone = {**config.model.backbone, "separate_foreground": False}
    switched = dataclasses.replace(
        config,
        init_from=str(exported),
        output=str(tmp_path / "switched"),
        model=dataclasses.replace(config.model, backbone=backbone),
    )
    run = Run(switched)
    assert run.model.backbone.config.separate_foreground is False
    trained = load_model(exported).backbone.state_dict()
    for name, value in run.model.backbone.state_dict().items():
        assert torch.equal(value, trained[name]), name


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps one precision per process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_steps_from_its_own_estimate_train_every_denoiser_weight(config: TrainConfig, precision: str) -> None:
    """Under autocast the weights cast for the estimate, without gradients, must not be used for the step."""
    condition = ConditionConfig(unconditional=0, reference=0, own_estimate=1.0)
    run = Run(
        dataclasses.replace(
            config, condition=condition, optim=dataclasses.replace(config.optim, mixed_precision=precision)
        )
    )
    assert plan_step(condition, seed=0, step=0, steps=6).own_estimate
    before = {name: value.clone() for name, value in run.model.backbone.denoiser.unet.named_parameters()}
    assert np.isfinite(run.train_step(next(run.batches())))
    moved = {n for n, value in run.model.backbone.denoiser.unet.named_parameters() if not torch.equal(value, before[n])}
    assert {"conv_in.weight", "conv_out.weight", "mid_block.resnets.0.conv1.weight"} <= moved


def test_samples_are_a_function_of_seed_and_index(clips: Path) -> None:
    data = DataConfig(folder=str(clips), frames=2, history=1)
    first = ClipDataset(data, seed=1, length=10, consecutive=True)
    again = ClipDataset(data, seed=1, length=10, consecutive=True)[3]
    item = first[3]
    assert all(torch.equal(item[key], again[key]) for key in item)
    assert item["frames"].shape == (3, 3, 32, 32)
    assert item["weights"].shape == (2, 4, 32, 32)
    assert not torch.equal(item["frames"], first[4]["frames"])


def test_without_random_scaling_the_driver_is_drawn_as_it_is(clips: Path) -> None:
    plain = DataConfig(folder=str(clips), frames=1, random_scaling=False, colour_augment=0, cross_identity=0)
    scaled = dataclasses.replace(plain, random_scaling=True)
    a, b = (ClipDataset(d, seed=0, length=1, consecutive=False)[0] for d in (plain, scaled))
    assert torch.equal(a["frames"], b["frames"])
    assert not torch.equal(a["motion"], b["motion"])


def test_detector_jitter_is_alike_in_every_frame_and_leaves_the_input(clips: Path) -> None:
    faces = np.load(next(clips.glob("*.npz")))["landmarks"]
    before = faces.copy()
    made = detector_jitter(np.stack([faces[0], faces[0], faces[1]]), np.random.default_rng(0))
    assert np.array_equal(faces, before)
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], faces[0])
    outline, members = GROUPS[0]
    centres = [face[outline, :2].mean(axis=0) for face in (faces[0], faces[1])]
    shifts = [m[outline, :2].mean(axis=0) - c for m, c in zip((made[0], made[2]), centres, strict=True)]
    np.testing.assert_allclose(shifts[0], shifts[1], atol=1e-3)
    np.testing.assert_array_equal(made[..., 2], np.stack([faces[0], faces[0], faces[1]])[..., 2])


def test_too_short_clips_and_empty_folders_are_named(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too short"):
        ClipDataset(DataConfig(folder=str(clips), frames=7), seed=0, length=1, consecutive=True)[0]
    with pytest.raises(InputError, match="no prepared clips"):
        ClipDataset(DataConfig(folder=str(tmp_path)), seed=0, length=1, consecutive=True)


def test_branches_are_dropped_as_often_as_configured_and_history_comes_late() -> None:
    condition = ConditionConfig(unconditional=0.1, reference=0.2, history_after=0.5)
    plans = [plan_step(condition, seed=3, step=step, steps=4000) for step in range(4000)]
    share = {b: sum(p.branch is b for p in plans) / 4000 for b in Branch}
    assert abs(share[Branch.UNCONDITIONAL] - 0.1) < 0.02
    assert abs(share[Branch.REFERENCE] - 0.2) < 0.02
    assert not any(p.history for p in plans[:2000])
    late = [p.history for p in plans[2000:] if p.branch in (Branch.DRIVING, Branch.FULL)]
    assert abs(sum(late) / len(late) - 0.5) < 0.05


def test_learning_rate_warms_up_and_decays() -> None:
    factors = [lr_factor(step, warmup=10, steps=100, final=0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(1.0)
    assert factors[99] < 0.11 and factors[9] == 1.0


def test_unknown_settings_are_named(config: TrainConfig, clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(CONFIG.replace("CLIPS", str(clips)).replace("warmup", "warmupp"))
    with pytest.raises(InputError, match="warmupp"):
        load_train_config(path)
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_train_config(tmp_path / "none.yaml")


@pytest.fixture
def settings_file(clips: Path, tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(CONFIG.replace("CLIPS", str(clips)))
    return path


def test_overrides_win_over_the_file(settings_file: Path) -> None:
    overrides = {"optim.lr": 1e-4, "optim.weight_decay": 1, "condition.high_noise": 1.5, "model.sampling.steps": 3}
    made = load_train_config(settings_file, {**overrides, "seed": 5})
    assert made.optim.lr == 1e-4
    assert (made.optim.weight_decay, made.condition.high_noise, made.seed) == (1.0, 1.5, 5)
    assert made.model.sampling.steps == 3 and made.model.sampling.window == 4
    assert made.optim.steps == 6 and made.model.size == (32, 32)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optim.steps", "many", "optim: steps 'many': must be a whole number from 1"),
        ("optim.steps", 1.5, "steps"),
        ("stage", 0, "stage 0: choose 1 or 2"),
        ("optim.mixed_precision", "fp8", "no, bf16 or fp16"),
        ("data.random_scaling", "maybe", "random_scaling"),
        ("optim.steps", 0, "optim: steps 0: must be from 1"),
        ("optim.steps", True, "optim: steps True: must be a whole number"),
        ("optim.lr", "1e-4", "optim: lr '1e-4': must be a number from 0 to 1"),
        ("optim.lr", float("inf"), "optim: lr inf"),
        ("optim.ema", 5, "optim: ema 5: must be from 0 to 0.999999"),
        ("optim.warmup", -3, "optim: warmup -3: must be from 0"),
        ("optim.batch", 0, "optim: batch 0"),
        ("condition.unconditional", 1.5, "condition: unconditional 1.5: must be from 0 to 1"),
        ("condition.reference", 0.99, "condition: unconditional 0.05 and reference 0.99: together"),
        ("condition.high_noise", float("nan"), "condition: high_noise nan: must be above 0"),
        ("data.frames", 0, "data: frames 0"),
        ("data.folder", 7, "data: folder 7: must be text"),
        ("data.colour_augment", 2, "data: colour_augment 2: must be from 0 to 1"),
        ("save_every", 0, "save_every 0: must be from 1"),
        ("seed", -1, "seed -1: must be from 0"),
        ("model.sampling", 3, "model.sampling: settings are needed here, not 3"),
        ("model.sampling.window", 7, "window 7 with history 2: 9 frames at a time, of which the networks know 8"),
        ("model.backbone.layers_per_block", 10**7, "layers_per_block 10000000: must be from 1 to 16"),
        ("model.backbone.block_out_channels", 8, "block_out_channels 8: must be a list"),
        ("model.size", 32, "model: size 32: must be a list with 2 entries"),
        ("model.size", [32, 30], "size 32 x 30: both sides must be multiples"),
        ("optim.steps.more", 1, "'steps' is a single setting"),
        ("optim", 3, "optim: settings are needed here, not 3"),
        ("model.colour", 1, "colour"),
        ("model.sampling.colour", 1, "colour"),
        ("init_from", "nowhere.safetensors", "nowhere.safetensors"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings_file: Path, key: str, value: object, message: str) -> None:
    with pytest.raises(PortraitError) as caught:
        load_train_config(settings_file, {key: value})
    assert message in str(caught.value)


def test_a_file_that_holds_no_settings_is_named(settings_file: Path) -> None:
    for text, message in (("", "holds no settings"), ("a: [", "not YAML"), ("stage: 1", "'model' or 'init_from'")):
        settings_file.write_text(text)
        with pytest.raises(InputError, match=rf"settings\.yaml.*{message}"):
            load_train_config(settings_file)
    settings_file.write_text("model: {name: tiny}\noptim: {steps: 1}")
    with pytest.raises(InputError, match="data: give either 'folder' or 'folders'"):
        load_train_config(settings_file)


def test_a_run_that_starts_from_a_model_keeps_its_networks(
    settings_file: Path, tiny_model: PortraitModel, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_model(tiny_model, start)
    overrides = {"init_from": str(start), "model": {"name": "next"}}
    made = load_train_config(settings_file, overrides)
    assert made.model == dataclasses.replace(tiny_model.config, name="next")
    # switches of an ablation may be turned; weights that do not fit are named when they are taken over
    turned = load_train_config(settings_file, {**overrides, "model": {"backbone": {"separate_foreground": False}}})
    assert turned.model.backbone["separate_foreground"] is False
    wider = load_train_config(settings_file, {**overrides, "model": {"backbone": {"cross_attention_dim": 16}}})
    with pytest.raises(CheckpointError, match="attn2.to_k.weight"):
        Run(dataclasses.replace(wider, output=str(tmp_path / "wider")))


def test_a_clip_that_breaks_while_it_is_read_is_told_in_its_own_words(config: TrainConfig, clips: Path) -> None:
    run = Run(config)
    for path in clips.iterdir():  # the headers stay whole, the pixels do not
        content = bytearray(path.read_bytes())
        content[2000:2100] = bytes(100 * [1])
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        next(run.batches())
    assert re.fullmatch(r".*\d\.npz: cannot be read .*prepare the clip again", str(caught.value))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((6, 64, 64, 3), np.uint8)}, "frames of 64 x 64 pixels .*the model's are 32 x 32"),
        ({"images": np.zeros((1, 32, 32, 3), np.uint8)}, "1 frames are too short for samples of 2"),
        ({"landmarks": np.zeros((6, 68, 3), np.float32)}, r"its landmarks are \(6, 68, 3\)"),
    ],
)
def test_clips_that_do_not_fit_are_told_before_the_networks_are_made(
    config: TrainConfig, clips: Path, changes: dict[str, np.ndarray], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_core.training.train.Run", lambda config: pytest.fail("the run has begun"))
    with np.load(clips / "1.npz") as data:
        arrays = dict(data)
    np.savez(clips / "1.npz", **{**arrays, **changes})
    with pytest.raises(InputError, match=rf"1\.npz: {message}"):
        train(config, progress=False)


@pytest.mark.parametrize("most", [100, 400_000])  # the weights do not fit, or the optimiser after them
def test_a_disk_that_fills_up_while_training_is_told_with_the_folder(
    config: TrainConfig, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="FULL DISKS ARE NOT TESTED: no limits on file sizes here")
    save, limits = Run.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def save_on_a_full_disk(run: Run) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            save(run)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(Run, "save", save_on_a_full_disk)
    with pytest.raises(InputError, match=r"run: cannot be written .*free some space or choose another folder"):
        train(config, progress=False)
    assert not list(Path(config.output).glob("state-*"))


def test_damaged_clips_are_named(clips: Path) -> None:
    for path in clips.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"\d\.npz: cannot be read"):
        ClipDataset(DataConfig(folder=str(clips)), seed=0, length=1, consecutive=True)[0]
    np.savez(clips / "0.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"0\.npz: not a prepared clip, \['foreground', 'landmarks'\]"):
        ClipDataset(DataConfig(folder=str(clips), limit=1), seed=0, length=1, consecutive=True)[0]
