from __future__ import annotations

from pathlib import Path

import pytest

from model_core.weights.io import write_safetensors
from model_core.weights.plan import survey


@pytest.fixture
def write(tmp_path, public_parts):
    """``write(name=[parts], ...)``: files that hold these parts together."""

    def files(**layout):
        written = []
        for name, parts in layout.items():
            tensors = {key: value for part in parts for key, value in public_parts[part].items()}
            written.append(write_safetensors(tmp_path / f"{name}.safetensors", tensors))
        return written

    return files


@pytest.fixture
def single_file(tmp_path, public_parts):
    """A Stable Diffusion single file: the UNet's and the autoencoder's first names are enough to be known by."""
    unet = {
        "input_blocks.0.0.weight": "conv_in.weight",
        "input_blocks.1.0.in_layers.2.weight": "down_blocks.0.resnets.0.conv1.weight",
        "input_blocks.2.0.op.weight": "down_blocks.0.downsamplers.0.conv.weight",
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        ),
        "output_blocks.0.0.in_layers.2.weight": "up_blocks.0.resnets.0.conv1.weight",
        "out.2.weight": "conv_out.weight",
    }
    vae = {
        "encoder.conv_in.weight": "encoder.conv_in.weight",
        "encoder.down.0.block.0.conv1.weight": "encoder.down_blocks.0.resnets.0.conv1.weight",
        "decoder.conv_in.weight": "decoder.conv_in.weight",
    }
    tensors = {f"model.diffusion_model.{key}": public_parts["denoiser"][name] for key, name in unet.items()}
    tensors |= {f"first_stage_model.{key}": public_parts["vae"][name] for key, name in vae.items()}
    return write_safetensors(tmp_path / "sd15.safetensors", tensors)


def roles(paths, **told):
    found = survey(paths, **told)
    return {role: piece.header.path.stem for role, piece in found.roles.items()}, found


def test_a_unet_without_output_makes_the_other_one_the_denoiser(write):
    found, survey = roles(write(b=["reference"], a=["denoiser"]))
    assert found == {"denoiser": "a", "reference_net": "b"}
    assert survey.preset.title == "Moore-AnimateAnyone, pose2vid"


def test_a_unet_with_temporal_layers_makes_the_other_one_the_reference_net(write):
    found, survey = roles(write(a=["denoiser"], b=["denoiser", "motion"], g1=["pose_guider"], g2=["pose_guider"]))
    assert found == {
        "denoiser": "b",
        "motion": "b",
        "reference_net": "a",
        "pose_guider": "g1",
        "pose_guider_2": "g2",
    }
    assert survey.preset.title == "Moore-AnimateAnyone, face reenactment"
    assert survey.config.backbone["pose_guiders"] == 2
    assert survey.missing == ("image_encoder", "autoencoder")


def test_one_plain_unet_is_the_base_of_both(write):
    found, survey = roles(write(a=["denoiser"], mm=["motion"]))
    assert found == {"denoiser": "a", "reference_net": "a", "motion": "mm"}
    assert survey.config.schedule.prediction_type == survey.config.backbone["prediction_type"] == "epsilon"
    assert survey.missing == ("pose_guider", "image_encoder", "autoencoder")


def test_one_half_of_a_pair_is_not_completed_by_itself(write):
    assert roles(write(b=["reference"]))[1].missing[0] == "denoiser"
    assert roles(write(a=["denoiser", "motion"]))[1].missing[0] == "reference_net"


def test_two_plain_unets_are_ambiguous_until_the_user_says_which_is_which(write, public_overrides):
    paths = write(a=["denoiser"], b=["denoiser"])
    found, survey = roles(paths)
    assert found == {}
    assert "which is the denoiser" in survey.problems[0]
    found, survey = roles(paths, roles={paths[1]: "denoiser"}, overrides=public_overrides)
    assert found == {"denoiser": "b", "reference_net": "a"}
    assert not survey.problems


def test_a_single_file_fills_only_what_no_other_file_brings(write, single_file):
    trained = write(a=["denoiser"], b=["reference"])
    found, survey = roles([single_file, *trained])
    assert found == {"denoiser": "a", "reference_net": "b", "autoencoder": "sd15"}
    assert any("its UNet is not used" in note for note in survey.notes)
    found, survey = roles([single_file, *write(vae=["vae"])])
    assert found == {"denoiser": "sd15", "reference_net": "sd15", "autoencoder": "vae"}
    assert any("its autoencoder is not used" in note for note in survey.notes)


def test_a_single_file_is_no_denoiser_for_half_of_a_trained_pair(write, single_file):
    found, survey = roles([single_file, *write(b=["reference"])])
    assert "denoiser" not in found
    assert "one half of a trained pair" in survey.problems[0]


@pytest.mark.parametrize("part", ["motion", "image_encoder", "vae"])
def test_two_files_for_one_part_are_refused(write, part):
    _, survey = roles(write(one=[part], two=[part]))
    assert "one.safetensors and two.safetensors both bring" in survey.problems[0]


def test_a_third_pose_guider_is_refused(write):
    _, survey = roles(write(**{f"g{i}": ["pose_guider"] for i in range(3)}))
    assert "g2.safetensors: one PoseGuider more" in survey.problems[0]


def test_a_role_that_the_file_cannot_play_changes_nothing(write):
    (path,) = write(vae=["vae"])
    assert roles([path], roles={Path(path): "denoiser"})[0] == {"autoencoder": "vae"}
