"""Floating-point operations of one denoising step at full size, counted by torch: 512 x 512, 24 frames, guided.

The peers' way of the same step (peers_way.py) is counted beside it. Nothing is computed: all tensors are on "meta".
"""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size import CONFIG, full_size_backbone
from benchmarks.peers_way import PeersDenoiser
from model_core.backbones.base import AnimationInputs
from model_core.backbones.unet import UNetBackbone
from model_core.backbones.unet.conditioning import UNetConditioning
from model_core.types import Branch, MotionSignal, ReferenceInputs

SIZE, FRAMES = 512, 24
GUIDED = (Branch.UNCONDITIONAL, Branch.DRIVING)


def count(work: object) -> float:
    """TFLOP of a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()  # type: ignore[operator]
    return counter.get_total_flops() / 1e12


class Step:
    """One window of a clip on "meta", ready to be denoised either way."""

    def __init__(self, frames: int = FRAMES, size: int = SIZE) -> None:
        self.backbone: UNetBackbone = full_size_backbone("meta")
        self.image = torch.empty(1, 3, size, size, device="meta")
        latents = torch.empty(1, frames, 4, size // 8, size // 8, device="meta")
        self.latents, self.timestep = latents, torch.tensor(500.0, device="meta")
        self.motion = MotionSignal("parsing_map", self.image.expand(frames, -1, -1, -1))

    def once(self) -> UNetConditioning:
        reference = self.backbone.encode_reference(ReferenceInputs(self.image, self.latents[:, 0]))
        return self.backbone.prepare(AnimationInputs(reference, self.motion))

    def ours(self, conditioning: UNetConditioning) -> None:
        self.backbone.predict(self.latents, self.timestep, conditioning, GUIDED)

    def peers(self, conditioning: UNetConditioning) -> None:
        prompt = self.backbone.image_prompt(self.image)
        bank = self.backbone.reference_net(self.latents[:, 0], prompt=prompt)
        denoiser = PeersDenoiser(self.backbone.denoiser, bank, prompt, FRAMES)
        self.step = count(lambda: denoiser(self.latents, self.timestep, conditioning.pose))


def measure() -> tuple[float, float, float]:
    """TFLOP of what is run once per clip, of our step, and of the peers'."""
    step = Step()
    with torch.no_grad():
        conditioning = step.once()
        step.peers(conditioning)
    return count(step.once), count(lambda: step.ours(conditioning)), step.step


def main() -> None:
    once, ours, peers = measure()
    parameters = sum(p.numel() for p in full_size_backbone("meta").denoiser.parameters()) / 1e6
    print(
        f"  denoiser of {parameters:.1f} M parameters, widths {CONFIG.block_out_channels}, {FRAMES} frames of {SIZE} px"
    )
    print(f"  once per clip (CLIP, ReferenceNet, its keys and values, PoseGuider)  {once:6.2f} TFLOP")
    print(f"  one guided step                                                      {ours:6.2f} TFLOP")
    print(f"  the same as the peers run it                                         {peers:6.2f} TFLOP")
