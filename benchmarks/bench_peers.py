"""One guided denoising step at full width, ours against the peers' way (peers_way.py), on the same weights.

4 frames of 256 x 256, the peers' setting for a CPU. Both run in turn, several times, in one thread; what counts is the
processor's time, so that other work on the machine disturbs little. The predictions are compared too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.full_size import full_size_backbone
from benchmarks.peers_way import PeersDenoiser
from model_core.backbones.base import AnimationInputs
from model_core.types import Branch, MotionSignal, ReferenceInputs

SIZE, FRAMES, REPEATS = 256, 4, 3
GUIDED = (Branch.UNCONDITIONAL, Branch.DRIVING)


def processor_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    backbone = full_size_backbone("cpu")
    image = torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    motion = MotionSignal("parsing_map", torch.rand(FRAMES, 3, SIZE, SIZE))
    latents, timestep = torch.randn(1, FRAMES, 4, SIZE // 8, SIZE // 8), torch.tensor(500)
    inputs = ReferenceInputs(image, latents[:, 0])
    conditioning = backbone.prepare(AnimationInputs(backbone.encode_reference(inputs), motion))
    prompt = backbone.image_prompt(image)
    bank = backbone.reference_net(inputs.latents, prompt=prompt)
    peers = PeersDenoiser(backbone.denoiser, bank, prompt, FRAMES)

    made = backbone.predict(latents, timestep, conditioning, GUIDED)  # warms both up too
    theirs = peers(latents, timestep, conditioning.pose)
    difference = max(float((made[b][0] - t).abs().max()) for b, t in zip(GUIDED, theirs, strict=True))
    print(f"  largest difference of the predictions {difference:.1e}, of values up to {float(theirs.abs().max()):.1f}")
    ratios = []
    for _ in range(REPEATS):
        one = processor_seconds(lambda: backbone.predict(latents, timestep, conditioning, GUIDED))
        other = processor_seconds(lambda: peers(latents, timestep, conditioning.pose))
        ratios.append(one / other)
        print(f"  ours {one:6.2f} s   peers' way {other:6.2f} s   ratio {ratios[-1]:.3f}")
    print(f"  median ratio {statistics.median(ratios):.3f}")
