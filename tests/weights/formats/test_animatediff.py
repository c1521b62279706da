from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import MotionAdapter

from model_core.weights.formats.animatediff import is_position_table, pieces, position_table
from model_core.weights.header import Header


def header(tensors):
    return Header(
        Path("mm.ckpt"),
        {key: tuple(tensor.shape) for key, tensor in tensors.items()},
        {key: tensor.dtype for key, tensor in tensors.items()},
        {},
    )


def version(motion, *, middle, length):
    """The same layers as v1, v2 or v3 carries them."""
    return {
        key: position_table(length, value.shape[-1]) if key.endswith(".pe") else value
        for key, value in motion.items()
        if middle or not key.startswith("mid_block.")
    }


@pytest.mark.parametrize(
    ("middle", "length", "title", "joint"),
    [(True, 32, "v2", False), (False, 32, "v3", False), (False, 24, "v1", True)],
)
def test_versions_are_told_by_the_middle_layer_and_the_table(public_parts, middle, length, title, joint):
    (piece,) = pieces(header(version(public_parts["motion"], middle=middle, length=length)))
    assert piece.title.endswith(title)
    assert piece.facts["motion_mid_block"] is middle
    assert piece.facts["motion_max_length"] == length
    assert piece.facts["joint_norm"] is joint
    assert piece.facts["block_out_channels"] == (8, 16)


@pytest.mark.parametrize("middle", [True, False])
def test_names_become_those_of_diffusers_adapter(public_parts, middle):
    (piece,) = pieces(header(version(public_parts["motion"], middle=middle, length=32)))
    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        use_motion_mid_block=middle,
    )
    wanted = {f"motion.{key}" for key in adapter.state_dict() if not key.endswith("pos_embed.pe")}
    assert piece.names.keys() == wanted
    assert len(piece.tables) == 2 * sum(key.endswith("attn1.to_q.weight") for key in wanted)


def test_diffusers_own_file_is_known(public_parts):
    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        motion_max_seq_length=16,
    ).state_dict()
    (piece,) = pieces(header(adapter))
    assert piece.title == "diffusers MotionAdapter"
    assert piece.facts["motion_max_length"] == 16
    assert all(name == f"motion.{key}" for name, key in piece.names.items())
    assert all(is_position_table(adapter[key]) for key in piece.tables)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("length", "width"), [(24, 320), (32, 1280), (5, 6)])
def test_a_table_survives_rounding_and_any_other_one_is_seen(dtype, length, width):
    table = position_table(length, width)
    assert is_position_table(table.to(dtype))
    for wrong in (table.flip(1), table.flip(2), table * 0.9, table.roll(1, 1), table[0], torch.zeros_like(table)):
        assert not is_position_table(wrong.to(dtype))


def test_the_table_is_that_of_diffusers():
    from diffusers.models.embeddings import SinusoidalPositionalEmbedding

    torch.testing.assert_close(position_table(32, 64), SinusoidalPositionalEmbedding(64, max_seq_length=32).pe)
