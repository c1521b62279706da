"""What is computed once per clip, against computing it on every call as the peers do.

One denoiser call on a window, by the bundled model: the reference's keys and values cached, against
ReferenceNet and projections run again; and one branch (all lambda 1) against all four.
"""

from __future__ import annotations

import torch

from benchmarks.timing import seconds
from model_core.backbones.base import AnimationInputs
from model_core.models import load_model
from model_core.types import Baseline, Branch, MotionSignal, ReferenceInputs

FRAMES = 8


@torch.no_grad()
def main() -> None:
    model = load_model("vivid-avatars")
    height, width = model.config.size
    image = torch.rand(1, 3, height, width) * 2 - 1
    motion = MotionSignal("parsing_map", torch.rand(FRAMES, 3, height, width))
    inputs = ReferenceInputs(image, model.autoencoder.encode(image), None, motion.frames[:1])
    timestep = torch.tensor(999)
    noise = torch.randn(1, FRAMES, *inputs.latents.shape[1:])
    encoded = model.backbone.encode_reference(inputs)
    baseline = Baseline(inputs.latents.repeat(FRAMES, 1, 1, 1), torch.ones(FRAMES, 1, height, width))
    prepared = model.backbone.prepare(AnimationInputs(encoded, motion, None, baseline))

    def cached() -> None:
        model.backbone.predict(noise, timestep, prepared, [Branch.DRIVING])

    def encoded_again() -> None:
        again = model.backbone.prepare(AnimationInputs(model.backbone.encode_reference(inputs), motion, None, baseline))
        model.backbone.predict(noise, timestep, again, [Branch.DRIVING])

    def four_branches() -> None:
        model.backbone.predict(noise, timestep, prepared, list(Branch))

    base = seconds(cached)
    print(f"  cached reference, one branch  {base:.3f} s for {FRAMES} frames")
    for work in (encoded_again, four_branches):
        print(f"  {work.__name__.replace('_', ' '):<28}  {seconds(work) / base:.2f} x")
