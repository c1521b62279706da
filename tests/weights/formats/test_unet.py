from __future__ import annotations

import pytest
from diffusers import UNet2DConditionModel

from model_core.backbones.unet.config import UNetConfig
from model_core.backbones.unet.networks import ReferenceNet
from model_core.weights.formats.unet import never_read

LAYOUTS = [
    {"down_attention": (True, True, False), "up_attention": (False, True, True)},
    {"down_attention": (False, True, False), "up_attention": (True, True, False)},
    {"down_attention": (True, False, False), "up_attention": (True, False, False)},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("layers", [1, 2])
def test_drops_are_exactly_what_reference_net_does_not_have(layout, layers):
    config = UNetConfig(
        block_out_channels=(4, 8, 8),
        layers_per_block=layers,
        attention_heads=1,
        cross_attention_dim=4,
        norm_num_groups=2,
        image_encoder={"hidden_size": 4},
        **layout,
    )
    whole = UNet2DConditionModel(in_channels=4, out_channels=4, **config.unet_kwargs()).state_dict()
    names = {f"unet.{key}" for key in whole}
    needed = {key for key in ReferenceNet(config).state_dict() if key.startswith("unet.")}
    assert never_read(names) == names - needed
