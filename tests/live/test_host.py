"""The host's services in a real ComfyUI: native sampling, progress, previews, Cancel, cache, memory."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_server import Run, Server, installation, running_server
from PIL import Image
from shipped import portrait_size

from model_core.config import ModelConfig
from model_core.models import ASSETS, build_model, read_config, save_model

FRAMES, STEPS = 6, 4
GROWTH_OF_20_RUNS = 60 * 2**20  # bytes; torch's and glibc's caches settle within this

pytestmark = pytest.mark.live


class Graph:
    """A portrait that moves, by our own loop or by ComfyUI's sampler; nodes by readable names."""

    def __init__(self, sampler: str = "", *, frames: int = FRAMES, steps: int = STEPS, seed: int = 0) -> None:
        self.prompt: dict[str, Any] = {}
        self.add("media", "VividPortraitsExampleMedia", which="demo", frames=frames)
        self.add("model", "VividPortraitsLoadPortraitModel", model="vivid-avatars", dtype="auto")
        self.add("analyzer", "VividPortraitsLoadFaceAnalyzer", backend="mediapipe")
        for name, output in (("face", 0), ("driving", 1)):
            self.add(
                name,
                "VividPortraitsAnalyzeFaces",
                analyzer=["analyzer", 0],
                images=["media", output],
                face_index=0,
                missing="hold",
                max_gap=5,
                smoothing=False,
            )
        self.add(
            "reference",
            "VividPortraitsEncodeReference",
            model=["model", 0],
            image=["media", 0],
            track=["face", 0],
            framing="auto",
        )
        self.add(
            "motion",
            "VividPortraitsParsingMapMotion",
            driving=["driving", 0],
            reference=["reference", 1],
            alignment="retarget",
            width=0,
            height=0,
        )
        self.add("fusion", "VividPortraitsSignalFusion", identity=1.0, motion=1.0, continuity=1.0, start=0.0, end=1.0)
        self.add(
            "windows",
            "VividPortraitsCyclicOverlapWindows",
            length=4,
            overlap=1,
            cyclic=True,
            preview_frames=4,
            preview_steps=4,
        )
        clip = {
            "model": ["model", 0],
            "reference": ["reference", 0],
            "motion": ["motion", 0],
            "guidance": ["fusion", 0],
            "windows": ["windows", 0],
        }
        if sampler:
            self._native(clip, sampler, steps, seed)
        else:
            self.add("animate", "VividPortraitsAnimatePortrait", **clip, seed=seed, steps=steps, scheduler="euler")
            self.add("preview", "PreviewImage", images=["animate", 1])

    def _native(self, clip: dict[str, Any], sampler: str, steps: int, seed: int) -> None:
        self.add("guider", "VividPortraitsPortraitGuider", **clip)
        self.add("sigmas", "VividPortraitsPortraitSigmas", model=["model", 0], steps=steps, denoise=1.0)
        self.add("sampler", "KSamplerSelect", sampler_name=sampler)
        self.add("noise", "RandomNoise", noise_seed=seed)
        self.add(
            "animate",
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["sampler", 0],
            sigmas=["sigmas", 0],
            latent_image=["guider", 1],
        )
        made_of = {"reference": ["reference", 0], "motion": ["motion", 0]}
        self.add("decode", "VividPortraitsDecodePortrait", model=["model", 0], latents=["animate", 0], **made_of)
        self.add("preview", "PreviewImage", images=["decode", 0])

    def add(self, name: str, kind: str, **inputs: Any) -> None:
        self.prompt[name] = {"class_type": kind, "inputs": inputs}

    def set(self, name: str, **inputs: Any) -> Graph:
        self.prompt[name]["inputs"].update(inputs)
        return self


def frames_of(server: Server, run: Run) -> np.ndarray:
    """(F, H, W, 3) float32 in 0 to 255 of the preview at the graph's end."""
    assert run.status == "execution_success", f"{run.error}\n{server.log[-3000:]}"
    files = run.outputs["preview"]["images"]
    data = [server.get("/view", **{key: file[key] for key in ("filename", "subfolder", "type")}) for file in files]
    return np.stack([np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), np.float32) for picture in data])


def resident(server: Server) -> int:
    """Bytes of memory that the server holds."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.is_file():
        pytest.skip("this system has no /proc to measure the server's memory by")
    (kibibytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())
    return int(kibibytes) * 1024


def progress(run: Run) -> list[tuple[float, float]]:
    """(value, max) that the sampling node told, in order."""
    return [(data["value"], data["max"]) for data in run.of("progress") if data["node"] == "animate"]


@pytest.fixture(scope="module")
def agreement() -> dict[str, Any]:
    checkout, python = installation()
    script = Path(__file__).with_name("native_sampling.py")
    done = subprocess.run(
        [str(python), str(script)],
        cwd=checkout,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_models_named_in_extra_model_paths_are_offered(server: Server) -> None:
    node = json.loads(server.get("/object_info/VividPortraitsLoadPortraitModel"))["VividPortraitsLoadPortraitModel"]
    options = node["input"]["required"]["model"][1]["options"]
    assert options[0] == "vivid-avatars" and "from_the_shelf.safetensors" in options


def test_euler_of_comfyui_gives_what_our_own_loop_gives(agreement):
    """Same sigmas, same noise; every prediction type, fused or not, with windows and history."""
    for name, case in agreement["cases"].items():
        assert case["difference"] < 2e-5, (name, case)
        assert case["scale"] > 0.1, (name, case)


def test_native_sampling_makes_the_same_network_calls_and_the_estimate_knows_them(agreement):
    for name, case in agreement["cases"].items():
        assert case["same_calls"], (name, case)
        assert case["calls"] == case["estimated"], (name, case)


@pytest.mark.parametrize("kind", ["v", "flow"])
def test_other_prediction_types_sample_with_every_sampler(agreement, kind):
    samplers = agreement["samplers"][kind]
    assert len(samplers) > 30
    assert not [name for name, result in samplers.items() if not result["finite"]]
    # three steps, one window, two branches of weight; no sampler asks less than once a step
    assert min(result["calls"] for result in samplers.values()) == 9, samplers


# Solvers of second order take their first step from zero SNR, sigma 4096, badly: with so few steps they are far off.
FAR_OFF = {"heun", "dpm_2_ancestral", "dpm_fast", "dpm_adaptive"}


def test_every_sampler_of_comfyui_moves_the_portrait(server, record_property):
    """The bundled model, three steps: a sampler that misreads our model would be nowhere near our own Euler."""
    info = json.loads(server.get("/object_info/KSamplerSelect"))["KSamplerSelect"]
    samplers = info["input"]["required"]["sampler_name"]
    names = samplers[0] if isinstance(samplers[0], list) else samplers[1]["options"]
    assert len(names) > 30
    ours = frames_of(server, server.run(Graph(frames=3, steps=3).prompt))
    failed = {}
    for name in names:
        run = server.run(Graph(name, frames=3, steps=3).prompt)
        if run.status != "execution_success":
            failed[name] = run.error
            continue
        frames = frames_of(server, run)
        distance = np.abs(frames - ours).mean()
        record_property(name, f"{distance:.2f} grey levels from our own euler")
        if frames.std(axis=(1, 2, 3)).min() < 8 or np.abs(frames[-1] - frames[0]).mean() < 0.1:
            failed[name] = "flat, or nothing moves"
        elif distance > 15 and name not in FAR_OFF:
            failed[name] = f"{distance:.1f} grey levels from our own euler"
    assert not failed


@pytest.mark.parametrize("sampler", ["", "euler", "heun"])
def test_progress_by_window_and_a_preview_for_every_step(server, sampler):
    run = server.run(Graph(sampler, seed=11).prompt)
    assert run.status == "execution_success", run.error
    values = [value for value, _ in progress(run)]
    assert values == sorted(values), "the bar moves back"
    assert progress(run)[-1] == (STEPS, STEPS)
    assert len({value for value in values if value % 1}) >= STEPS, "no progress within a step"
    assert len(run.of("preview")) == STEPS


@pytest.mark.parametrize("sampler", ["", "euler"])
def test_cancel_stops_within_a_call_leaves_the_memory_and_the_next_run_works(server, sampler):
    assert server.run(Graph(sampler, seed=20).prompt).status == "execution_success"
    before = resident(server)
    run = server.queue(Graph(sampler, seed=21, steps=900).set("fusion", identity=2.0, motion=2.5).prompt)
    run.events.wait(lambda message: message["type"] == "progress" and message["data"]["node"] == "animate")
    server.post("/interrupt", {})
    told = len(progress(run))
    begun = time.monotonic()
    assert server.finish(run, limit=20).status == "execution_interrupted"
    assert time.monotonic() - begun < 5
    assert len(progress(run)) <= told + 2, "it went on for more than the call that was under way"
    assert resident(server) - before < GROWTH_OF_20_RUNS
    assert json.loads(server.get("/queue"))["queue_running"] == []
    assert len(frames_of(server, server.run(Graph(sampler, seed=22).prompt))) == FRAMES


@pytest.mark.parametrize(
    ("sampler", "again"),
    [
        ("", {"fusion", "animate", "preview"}),
        ("euler", {"fusion", "guider", "animate", "decode", "preview"}),
    ],
)
def test_another_lambda_does_not_encode_the_reference_again(server, sampler, again):
    assert server.run(Graph(sampler, seed=30).prompt).status == "execution_success"
    run = server.run(Graph(sampler, seed=30).set("fusion", identity=1.5).prompt)
    assert run.status == "execution_success", run.error
    assert run.executed == again


def test_the_log_tells_calls_and_memory_before_sampling(server):
    assert server.run(Graph(seed=31).prompt).status == "execution_success"
    assert re.findall(rf"vivid-avatars: {FRAMES} frames, {STEPS} steps, .* network calls; about \d+ MiB", server.log)


def test_sliced_attention_gives_the_same_frames(server):
    plain = frames_of(server, server.run(Graph(seed=40).set("model", attention="sdpa").prompt))
    sliced = frames_of(server, server.run(Graph(seed=40).set("model", attention="sliced").prompt))
    assert np.abs(plain - sliced).max() <= 2


def test_latents_of_another_length_are_refused_by_name(server):
    graph = Graph("euler")
    graph.add("other", "EmptyLatentImage", width=128, height=128, batch_size=3)
    run = server.run(graph.set("animate", latent_image=["other", 0]).prompt)
    assert run.status == "execution_error"
    assert "latent_image: 3 frames, the guider's motion has 6" in run.error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -2}, "Value -2 smaller than min of -1: steps"),
        ({"scheduler": "magic"}, "Value not in list: scheduler: 'magic' not in ['auto', "),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_anything_runs(server, change, message):
    status, answer = server.post("/prompt", {"prompt": Graph().set("animate", **change).prompt})
    assert status == 400
    (error,) = answer["node_errors"]["animate"]["errors"]
    assert f"{error['message']}: {error['details']}".startswith(message)


def test_nothing_is_downloaded_unasked(server):
    (choice, *_) = json.loads(server.get("/object_info"))["VividPortraitsDownloadPortraitModel"]["input"]["required"][
        "file"
    ][1]["options"]
    assert re.fullmatch(r"face_landmarker\.task \(3\.8 MB, Apache-2\.0\)", choice)
    node = {"class_type": "VividPortraitsDownloadPortraitModel", "inputs": {"file": choice, "confirm": False}}
    run = server.run({"get": node})
    assert run.status == "execution_error"
    assert run.error.startswith("confirm: is off, so nothing was fetched")
    assert not list((server.base / "models" / "portraits").glob("face_landmarker*"))


def test_a_model_in_checkpoints_is_found_and_runs(server):
    target = server.base / "models" / "checkpoints" / "mine" / "copy.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes((ASSETS / "vivid-avatars.safetensors").read_bytes())
    (target.parent / "foreign.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    node = json.loads(server.get("/object_info/VividPortraitsLoadPortraitModel"))["VividPortraitsLoadPortraitModel"]
    names = [name for name in node["input"]["required"]["model"][1]["options"] if "checkpoints" in name]
    assert names == [os.path.join("checkpoints/mine", "copy.safetensors")]
    run = server.run(Graph(seed=50).set("model", model=names[0]).prompt)
    assert frames_of(server, run).shape == (FRAMES, *portrait_size(), 3)


def test_twenty_queued_runs_do_not_grow_the_memory(server, record_property):
    for seed in range(3):  # caches of torch and of the server fill once
        assert server.run(Graph("euler" if seed % 2 else "", seed=60 + seed).prompt).status == "execution_success"
    before = resident(server)
    runs = [server.queue(Graph("euler" if seed % 2 else "", seed=100 + seed).prompt) for seed in range(20)]
    for run in runs:
        assert server.finish(run).status == "execution_success", run.error
    growth = resident(server) - before
    record_property("growth", f"{growth / 2**20:+.1f} MiB of {before / 2**20:.0f} MiB")
    assert growth < GROWTH_OF_20_RUNS


def wide(config: ModelConfig) -> ModelConfig:
    """The bundled model's config, four times as wide: some 400 MB of weights to be seen coming and going."""
    widths = [4 * width for width in config.backbone["block_out_channels"]]
    values = config.to_dict()
    values["name"] = "wide"
    values["backbone"]["block_out_channels"] = widths
    return ModelConfig.from_dict(values)


def free(server: Server) -> None:
    status, _ = server.post("/free", {"unload_models": True, "free_memory": True})
    assert status == 200


def test_free_gives_the_memory_back_and_the_next_run_loads_again(server):
    torch.manual_seed(0)
    path = server.base / "models" / "portraits" / "wide.safetensors"
    save_model(build_model(wide(read_config(ASSETS / "vivid-avatars.safetensors"))), path)
    weights = 2 * path.stat().st_size  # float32 in memory, float16 in the file
    graph = Graph(frames=2, steps=1).set("model", model="wide.safetensors")
    free(server)
    time.sleep(2)
    before = resident(server)
    assert server.run(graph.prompt).status == "execution_success"
    taken = resident(server) - before
    assert taken > weights / 2, f"only {taken / 2**20:.0f} MiB were taken: this measures nothing"
    free(server)
    deadline = time.monotonic() + 30  # ComfyUI collects garbage no oftener than every ten seconds
    # what else a first run takes (torch's own pools, the landmarker) stays: it is the weights that have to go
    while (freed := before + taken - resident(server)) < 0.7 * weights:
        assert time.monotonic() < deadline, f"{freed / 2**20:.0f} of {weights / 2**20:.0f} MiB were given back"
        time.sleep(0.1)
    run = server.run(graph.prompt)
    assert run.status == "execution_success", run.error
    assert "model" in run.executed
    path.unlink()


def test_previews_of_the_user_s_own_choice_take_the_place_of_ours(tmp_path):
    """A server of its own: the method of previews is a flag of ComfyUI's command line."""
    with running_server(tmp_path, flags=["--preview-method", "latent2rgb"]) as started:
        run = started.run(Graph("euler", frames=2, steps=3).prompt)
        assert len(frames_of(started, run)) == 2
        previews = run.of("preview")
    assert len(previews) == 3, "one for each step; more means that ours come too"
