"""``models``, ``models inspect`` and ``models convert`` on tiny public files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from model_core.cli import main
from model_core.commands.models import overrides_from
from model_core.errors import InputError
from model_core.models import PortraitModel, load_model, save_model
from model_core.weights.io import write_safetensors

SET = [
    f"--set={setting}"
    for setting in (
        "backbone.norm_num_groups=4",
        "backbone.attention_heads=2",
        "backbone.motion_heads=2",
        "backbone.motion_norm_groups=4",
        "backbone.image_encoder.num_attention_heads=2",
        "autoencoder.kl.norm_num_groups=4",
    )
]


def test_a_complete_folder_is_called_complete(public_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "inspect", str(public_folder), *SET]) == 0
    said = capsys.readouterr().out
    assert "motion.safetensors: " in said and "AnimateDiff temporal layers, v2" in said
    assert "block_out_channels 8/16" in said
    assert "together: Moore-AnimateAnyone, pose2vid" in said
    assert "body skeletons, which this project does not draw" in said
    assert said.rstrip().endswith("complete: this runs")


def test_one_file_says_what_would_complete_it(public_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "inspect", str(public_folder / "reference.safetensors"), *SET]) == 0
    said = capsys.readouterr().out
    assert "ReferenceNet (a UNet without output layers)" in said
    assert "float32" in said and "M parameters" in said
    assert "missing denoiser: denoising_unet.pth of patrolli/AnimateAnyone" in said
    assert "missing motion" in said and "missing autoencoder" in said
    assert "not complete" in said


def test_a_file_of_another_family_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_safetensors(tmp_path / "flux.safetensors", {"double_blocks.0.w": torch.zeros(1)})
    assert main(["models", "inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "a Flux model" in said and "none of these files is part of a model" in said


def test_our_own_file_is_complete_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    bundled = Path(__file__).parents[2] / "model_core" / "assets" / "vivid-avatars.safetensors"
    assert main(["models", "inspect", str(bundled)]) == 0
    assert "a model of this project: complete by itself" in capsys.readouterr().out


def test_a_transformer_says_how_much_of_it_is_new(
    tiny_dit: PortraitModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tiny_dit, tmp_path / "dit.safetensors")
    assert main(["models", "inspect", str(tmp_path / "dit.safetensors")]) == 0
    said = capsys.readouterr().out
    base = sum(parameter.numel() for parameter in tiny_dit.backbone.denoiser.transformer.parameters())
    assert "family dit, motion signal masked_frames, size 32x32" in said
    assert f"base transformer {base / 1e6:.2f} M parameters; new 0.00 M" in said
    assert "2 layers of full video attention" in said


def test_a_base_model_says_what_it_would_grow_into(
    tiny_dit: PortraitModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sd3.safetensors"
    write_safetensors(path, tiny_dit.backbone.denoiser.transformer.state_dict())
    assert main(["models", "inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "what the DiT family is trained from" in said
    assert "as the base of the DiT family:\n  base transformer 0.0" in said
    assert "1 layers of full video attention" in said


def test_a_broken_file_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pth").write_bytes(b"junk")
    assert main(["models", "inspect", str(tmp_path / "x.pth")]) == 2
    assert "x.pth is not a torch file of tensors only" in capsys.readouterr().err


def test_converted_files_are_a_model_of_this_project(public_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "one.safetensors"
    assert main(["models", "convert", str(public_folder), "--output", str(output), "--dtype", "float32", *SET]) == 0
    model = load_model(output)
    assert model.config.backbone["norm_num_groups"] == 4
    assert model.config.schedule.beta_schedule == "linear"


@pytest.mark.parametrize("path", ["vae.safetensors", "link.safetensors", "../moore/./vae.safetensors"])
def test_weights_are_not_converted_into_themselves(
    public_folder: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (public_folder.parent / "elsewhere.safetensors").write_bytes((public_folder / "vae.safetensors").read_bytes())
    (public_folder / "vae.safetensors").unlink()
    os.link(public_folder.parent / "elsewhere.safetensors", public_folder / "vae.safetensors")
    (public_folder / "link.safetensors").symlink_to("vae.safetensors")
    before = {file: file.read_bytes() for file in public_folder.iterdir()}
    for read in (public_folder, public_folder.parent / "elsewhere.safetensors"):
        assert main(["models", "convert", str(read), "--output", str(public_folder / path), *SET]) == 2
        assert f"--output {public_folder / path}: is the same as the weights" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in public_folder.iterdir()} == before


def test_a_part_is_not_converted(public_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (public_folder / "vae.safetensors").unlink()
    output = tmp_path / "one.safetensors"
    assert main(["models", "convert", str(public_folder), "--output", str(output), *SET]) == 2
    assert "missing autoencoder" in capsys.readouterr().err
    assert not output.exists()
    assert main(["models", "convert", str(public_folder), "--output", str(tmp_path / "one.ckpt"), *SET]) == 2
    assert "has to end in .safetensors" in capsys.readouterr().err


def test_folders_are_listed(public_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--models-folder", str(public_folder.parent)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vivid-avatars") and lines[0].endswith("bundled")
    assert any(line.startswith("moore ") and line.endswith(str(public_folder)) for line in lines)


def test_settings_are_nested_by_their_dots() -> None:
    made = overrides_from(["backbone.norm_num_groups=8", "backbone.image_encoder.hidden_act=gelu", "name=x"])
    assert json.loads(json.dumps(made)) == {
        "backbone": {"norm_num_groups": 8, "image_encoder": {"hidden_act": "gelu"}},
        "name": "x",
    }
    with pytest.raises(InputError, match="write KEY=VALUE"):
        overrides_from(["backbone"])
    with pytest.raises(InputError, match="backbone was set to a value before"):
        overrides_from(["backbone=1", "backbone.temporal=false"])
