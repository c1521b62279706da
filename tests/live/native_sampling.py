"""Run by ComfyUI's own Python, in its checkout: our guider in its samplers beside our own loop, as numbers.

Prints one JSON object: per case the difference of the two and the network calls of each, and per sampler of
KSamplerSelect whether it gave finite frames and how many calls it took.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent.parent
PACK = "vividportraits_pack"
FRAMES, STEPS, SEED = 7, 5, 3
CASES = {
    "sample, zero SNR": {"prediction_type": "sample"},
    "v": {"prediction_type": "v_prediction", "rescale_betas_zero_snr": False},
    "v, zero SNR": {"prediction_type": "v_prediction"},
    "epsilon, leading": {
        "prediction_type": "epsilon",
        "rescale_betas_zero_snr": False,
        "timestep_spacing": "leading",
    },
    "epsilon, linspace": {
        "prediction_type": "epsilon",
        "rescale_betas_zero_snr": False,
        "timestep_spacing": "linspace",
    },
    "v, linear betas": {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": False,
        "beta_schedule": "linear",
        "beta_start": 0.0001,
        "beta_end": 0.02,
    },
    "flow": {"prediction_type": "flow"},
    "flow, shifted": {"prediction_type": "flow", "flow_shift": 3.0},
}
FUSION = {"identity": 2.0, "motion": 2.5, "continuity": 1.0, "guidance_start": 0.2, "guidance_end": 0.8}


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import comfy.samplers
    import torch

    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    sys.modules[PACK] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PACK])
    with torch.inference_mode():
        cases = {name: compare(schedule, {}) for name, schedule in CASES.items()}
        cases["sample, fused"] = compare(CASES["sample, zero SNR"], FUSION)
        cases["v, fused"] = compare(CASES["v"], FUSION)
        cases["sample, carried"] = compare(CASES["sample, zero SNR"], {}, carried=True)
        cases["sample, carried and fused"] = compare(CASES["sample, zero SNR"], FUSION, carried=True)
        samplers = {kind: try_samplers(CASES[kind], comfy.samplers.SAMPLER_NAMES) for kind in ("v", "flow")}
    sys.stdout.write(json.dumps({"cases": cases, "samplers": samplers}) + "\n")


def module(part: str) -> Any:
    return importlib.import_module(f"{PACK}.{part}")


class Setting:
    """A tiny random model of a schedule, hosted, with its reference, its motion and finished frames before it."""

    def __init__(self, schedule: dict[str, Any], fusion: dict[str, Any], *, carried: bool = False) -> None:
        import torch

        config, models, types = (module(f"model_core.{part}") for part in ("config", "models", "types"))
        torch.manual_seed(0)
        settings = config.SamplingConfig(
            steps=STEPS, scheduler="euler", seed=SEED, window=4, overlap=2, history=2, chunk=64, **fusion
        )
        model = models.build_model(tiny(config, settings, schedule, carried=carried))
        for parameter in model.backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # layers that begin at zero would hide much
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.safetensors"
            models.save_model(model, path, dtype=torch.float32)
            self.hosted = module("nodes.bridge").load_model(path, "float32")
        self.settings = settings
        self.calls: list[tuple[int, str]] = []
        self._count(self.hosted.model.backbone)
        face = spread_face(types)
        self.reference = module("model_core.pipeline").encode_reference(
            self.hosted.model, torch.rand(1, 3, 32, 32) * 2 - 1, framing="full", track=face if carried else None
        )
        moved = [face.landmarks[0] + number for number in range(FRAMES)] if carried else None
        self.motion = types.MotionSignal("parsing_map", torch.rand(FRAMES, 3, 32, 32), moved and np.stack(moved))
        self.history = types.HistoryFrames(torch.randn(2, 48, 8, 8), torch.rand(2, 3, 32, 32))

    def _count(self, backbone: Any) -> None:
        plain = backbone.predict

        def counted(latents: Any, timestep: Any, conditioning: Any, branches: Any) -> Any:
            self.calls.extend((latents.shape[1], branch.value) for branch in branches)
            return plain(latents, timestep, conditioning, branches)

        backbone.predict = counted

    def noise(self, frames: int) -> Any:
        return module("model_core.sampling.noise").frame_noise((48, 8, 8), range(frames), seed=SEED)[0]

    def loop(self) -> Any:
        self.calls.clear()
        import torch

        pipeline = module("model_core.pipeline")
        events = pipeline.sample_chunks(
            self.hosted.model, self.reference, self.motion, self.settings, history=self.history
        )
        chunks = [event.latents[0] for event in events if isinstance(event, pipeline.SampledChunk)]
        return torch.cat(chunks), list(self.calls)

    def native(self, sampler: str, *, frames: int = FRAMES, steps: int = STEPS) -> Any:
        import comfy.samplers
        import torch

        bridge, sampling = module("nodes.bridge"), module("model_core.sampling")
        names = {"guidance_start": "start", "guidance_end": "end"}
        fusion = {name: getattr(self.settings, name) for name in FUSION}
        guider = bridge.PortraitGuider(
            self.hosted,
            self.reference,
            self.motion.take(range(frames)),
            windows=sampling.CyclicOverlap(self.settings.window, self.settings.overlap),
            guidance=sampling.SignalFusion(**{names.get(key, key): value for key, value in fusion.items()}),
            settings=self.settings,
            history=lambda: self.history,
        )
        self.calls.clear()
        latents = guider.sample(
            self.noise(frames),
            torch.zeros(frames, 48, 8, 8),
            comfy.samplers.sampler_object(sampler),
            bridge.model_sigmas(self.hosted, steps),
            disable_pbar=True,
            seed=SEED,
        )
        assert not {"conds", "inner_model", "loaded_models"} & set(vars(guider)), "the guider holds on to its run"
        return latents, list(self.calls)


def spread_face(types: Any) -> Any:
    """A face that is nothing but landmarks spread over the picture."""
    marks = np.random.default_rng(0).uniform(6, 24, (1, 478, 3)).astype(np.float32)
    box = np.array([[6, 6, 24, 24]], np.float32)
    return types.FaceTrack(box, marks, np.ones(1, np.float32), np.ones(1, bool), (32, 32))


def tiny(config: Any, settings: Any, schedule: dict[str, Any], *, carried: bool) -> Any:
    return config.ModelConfig(
        name="tiny",
        size=(32, 32),
        autoencoder=config.AutoencoderConfig(kind="fold", stride=4),
        schedule=config.ScheduleConfig(**schedule),
        sampling=settings,
        backbone={
            "latent_channels": 48,
            "latent_stride": 4,
            "block_out_channels": [8, 16],
            "layers_per_block": 1,
            "down_attention": [False, True],
            "up_attention": [True, False],
            "attention_heads": 2,
            "cross_attention_dim": 16,
            "norm_num_groups": 4,
            "pose_guider_channels": [8, 8, 8],
            "motion_heads": 2,
            "motion_max_length": 8,
            "prediction_type": schedule["prediction_type"],
            "baseline": carried,
            "image_encoder": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 16,
                "projection_dim": 16,
            },
        },
    )


def compare(schedule: dict[str, Any], fusion: dict[str, Any], *, carried: bool = False) -> dict[str, Any]:
    setting = Setting(schedule, fusion, carried=carried)
    (ours, our_calls), (theirs, their_calls) = setting.loop(), setting.native("euler")
    scale = float(ours.std())
    estimate = module("model_core.sampling.estimate")
    whole = replace(setting.settings, chunk=FRAMES)
    return {
        "difference": float((ours - theirs).abs().max()) / scale,
        "scale": scale,
        "same_calls": our_calls == their_calls,
        "calls": len(our_calls),
        "estimated": estimate.plan_run(FRAMES, whole, history=2).network_calls,
    }


def try_samplers(schedule: dict[str, Any], names: list[str]) -> dict[str, Any]:
    setting = Setting(schedule, {"identity": 1.5})

    def run(name: str) -> dict[str, Any]:
        frames, calls = setting.native(name, frames=4, steps=3)
        return {"finite": bool(frames.isfinite().all()), "calls": len(calls)}

    return {name: run(name) for name in names}


if __name__ == "__main__":
    main()
