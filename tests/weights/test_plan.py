from __future__ import annotations

import json

import pytest
import torch

from model_core.backbones.unet.config import UNetConfig
from model_core.errors import CheckpointError
from model_core.weights.io import read_safetensors, write_safetensors
from model_core.weights.plan import explain, plan, survey
from model_core.weights.presets import PRESETS


def rewrite(path, change):
    """The file again, its tensors changed."""
    tensors = read_safetensors(path)[0]
    change(tensors)
    write_safetensors(path, tensors)


def test_a_complete_folder_is_a_model(public_folder, public_overrides):
    found = plan([public_folder], overrides=public_overrides)
    backbone = UNetConfig(**found.config.backbone)
    assert found.config.name == "moore"
    assert backbone.block_out_channels == (8, 16)
    assert backbone.layers_per_block == 1
    assert (backbone.down_attention, backbone.up_attention) == ((True, False), (False, True))
    assert (backbone.cross_attention_dim, backbone.latent_channels, backbone.latent_stride) == (8, 4, 2)
    assert (backbone.norm_num_groups, backbone.attention_heads) == (4, 2)
    assert (backbone.motion_mid_block, backbone.motion_max_length, backbone.joint_norm) == (True, 32, False)
    assert backbone.pose_guider_channels == (4, 8)
    assert backbone.image_encoder == {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
        "projection_dim": 8,
        "hidden_act": "quick_gelu",
    }
    assert found.config.autoencoder.kl["block_out_channels"] == [4, 8]
    assert found.config.autoencoder.kl["norm_num_groups"] == 4
    assert found.config.autoencoder.scaling_factor == 0.18215
    assert found.config.sampling.identity == found.config.sampling.motion == 3.5


def test_what_is_missing_is_listed_with_where_to_find_it(public_folder, public_overrides):
    for name in ("pose_guider", "image_encoder"):
        (public_folder / f"{name}.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        plan([public_folder], overrides=public_overrides)
    message = str(caught.value)
    assert "nothing was loaded" in message
    assert "missing pose_guider: pose_guider.pth of patrolli/AnimateAnyone" in message
    assert "missing image_encoder: the image_encoder folder of lambdalabs/" in message
    assert "missing denoiser" not in message
    assert "denoiser from denoiser.safetensors" in message


def test_groups_that_cannot_be_right_are_asked_for(public_folder):
    with pytest.raises(CheckpointError, match=r"backbone\.norm_num_groups 32 does not divide the widths 8/16.*config"):
        plan([public_folder])


@pytest.mark.parametrize("count", [0, -1, 3, "many"])
def test_impossible_counts_are_named(public_folder, public_overrides, count):
    told = {**public_overrides, "backbone": {**public_overrides["backbone"], "attention_heads": count}}
    with pytest.raises(CheckpointError, match=rf"backbone\.attention_heads '?{count}'?(: must be| does not divide)"):
        plan([public_folder], overrides=told)


def test_a_config_beside_the_file_tells_what_keys_do_not(public_folder, public_overrides):
    """Each file in a folder of its own, as diffusers saves them."""
    configs = {
        "denoiser": {"_class_name": "UNet2DConditionModel", "attention_head_dim": 2, "norm_num_groups": 4},
        "motion": {"_class_name": "MotionAdapter", "motion_num_attention_heads": 2, "motion_norm_num_groups": 4},
        "vae": {"_class_name": "AutoencoderKL", "norm_num_groups": 4, "scaling_factor": 0.5},
        "image_encoder": {"architectures": ["CLIPVisionModelWithProjection"], "num_attention_heads": 2},
    }
    for name, config in configs.items():
        (public_folder / name).mkdir()
        (public_folder / f"{name}.safetensors").rename(public_folder / name / "model.safetensors")
        (public_folder / name / "config.json").write_text(json.dumps(config))
    found = plan([public_folder])
    assert found.config.backbone["norm_num_groups"] == 4
    assert found.config.backbone["motion_heads"] == 2
    assert found.config.backbone["image_encoder"]["num_attention_heads"] == 2
    assert found.config.autoencoder.scaling_factor == 0.5
    assert "scaling_factor" not in found.config.autoencoder.kl


def test_an_unknown_override_is_named(public_folder):
    with pytest.raises(CheckpointError, match=r"override backbone\.colour: there is no such setting"):
        survey([public_folder], overrides={"backbone": {"colour": 1}})


def test_a_preset_can_be_chosen(public_folder, public_overrides):
    found = survey([public_folder], overrides=public_overrides, preset="moore_reenact")
    assert found.missing == ("pose_guider_2",)
    with pytest.raises(CheckpointError, match="preset 'best'.*moore_pose2vid"):
        survey([public_folder], preset="best")


@pytest.mark.parametrize(
    ("file", "key", "fact"),
    [
        ("pose_guider", "conv_out.weight", "out_channels is 5"),
        ("image_encoder", "visual_projection.weight", "projection_dim is 5"),
        ("vae", "decoder.conv_in.weight", "latent_channels is 5"),
        ("motion", "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight", "block_out_channels is (5, 16)"),
        ("reference", "down_blocks.0.resnets.0.conv1.weight", "block_out_channels is (5, 16)"),
    ],
)
def test_parts_of_other_widths_are_named(public_folder, public_overrides, file, key, fact):
    shape = (4, 5, 3, 3) if file == "vae" else (5, 8, 1, 1)
    rewrite(public_folder / f"{file}.safetensors", lambda tensors: tensors.update({key: torch.zeros(shape)}))
    with pytest.raises(CheckpointError) as caught:
        plan([public_folder], overrides=public_overrides)
    assert f"{file}.safetensors does not fit the other files: its {fact}" in str(caught.value)


def test_keys_that_no_format_knows_are_listed(public_folder, public_overrides):
    rewrite(public_folder / "vae.safetensors", lambda tensors: tensors.update({"extra.weight": torch.zeros(1)}))
    with pytest.raises(
        CheckpointError, match=r"vae\.safetensors holds 1 key\(s\) that its format does not know: extra"
    ):
        plan([public_folder], overrides=public_overrides)


def test_temporal_layers_without_a_table_need_their_length(public_folder, public_overrides):
    def strip(tensors):
        for key in [key for key in tensors if key.endswith(".pe")]:
            del tensors[key]

    rewrite(public_folder / "motion.safetensors", strip)
    with pytest.raises(CheckpointError, match="AnimateLCM"):
        plan([public_folder], overrides=public_overrides)
    told = {**public_overrides, "backbone": {**public_overrides["backbone"], "motion_max_length": 24}}
    assert plan([public_folder], overrides=told).config.backbone["motion_max_length"] == 24


def test_the_autoencoder_of_another_family_is_told_by_its_config(public_folder, public_overrides):
    (public_folder / "vae").mkdir()
    (public_folder / "vae.safetensors").rename(public_folder / "vae" / "vae.safetensors")
    (public_folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKL", "scaling_factor": 0.13025}')
    with pytest.raises(CheckpointError, match="Stable Diffusion XL's autoencoder"):
        plan([public_folder], overrides=public_overrides)


def test_the_explanation_names_every_file_and_part(public_folder, public_overrides):
    lines = "\n".join(explain(survey([public_folder], overrides=public_overrides)))
    assert "motion.safetensors: AnimateDiff temporal layers, v2 (" in lines
    assert "float32)" in lines
    assert "reference_net from reference.safetensors: ReferenceNet" in lines


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_consistent(name):
    preset = PRESETS[name]
    UNetConfig(**preset.backbone)
    assert preset.backbone["prediction_type"] == preset.schedule.prediction_type
    assert set(preset.needs) <= set(preset.files)
    assert preset.sampling.overlap < preset.sampling.window <= preset.sampling.chunk
    assert preset.sampling.history == 0
    assert all(side % 8 == 0 for side in preset.size)
