from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace

import pytest
import torch


@pytest.fixture(scope="module")
def load(comfy):
    return comfy.module("nodes.load")


def test_a_model_that_is_gone_is_refused_before_anything_runs(host, load, hosted_model):
    assert load.LoadPortraitModel.validate_inputs(model="tiny.safetensors") is True
    message = load.LoadPortraitModel.validate_inputs(model="gone.safetensors")
    assert "gone.safetensors" in message
    assert "tiny.safetensors" in message
    assert load.LoadPortraitModel.validate_inputs() is True  # ComfyUI says that it is missing
    for name in (5, "a\0b", "x" * 300):
        assert "is not there; found: " in load.LoadPortraitModel.validate_inputs(model=name)


def test_a_changed_file_is_loaded_again(host, load, hosted_model):
    path = host.models_dir / "portraits" / "tiny.safetensors"
    before = load.LoadPortraitModel.fingerprint_inputs(model=path.name, dtype="auto")
    assert before == load.LoadPortraitModel.fingerprint_inputs(model=path.name, dtype="auto")
    os.utime(path, ns=(1, 1))
    assert before != load.LoadPortraitModel.fingerprint_inputs(model=path.name, dtype="auto")


def test_dtype_is_what_the_user_sets(host, load, hosted_model):
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="bfloat16").args
    assert str(model.model.dtype) == "torch.bfloat16"
    assert next(model.patcher.model.parameters()).dtype == model.model.dtype


@pytest.mark.parametrize(("said", "given"), [(["float32", "bfloat16", "float16"], "float16"), (["float32"], "float32")])
def test_auto_is_comfyui_s_choice_unless_the_model_overflows_in_it(host, load, hosted_model, monkeypatch, said, given):
    monkeypatch.setattr(load.bridge.memory.management, "unet_dtype", lambda **_: torch.float16)
    models = host.module("model_core.models")
    config = replace(hosted_model.model.config, dtypes=tuple(said))
    path = host.models_dir / "portraits" / "narrow.safetensors"
    models.save_model(replace(hosted_model.model, config=config), path)
    try:
        (model,) = load.LoadPortraitModel.execute(model=path.name, dtype="auto").args
        (forced,) = load.LoadPortraitModel.execute(model=path.name, dtype="float16").args
    finally:
        path.unlink()
    assert str(model.model.dtype) == f"torch.{given}"
    assert str(forced.model.dtype) == "torch.float16"


def test_a_truncated_file_is_refused_by_name(host, load, hosted_model):
    whole = (host.models_dir / "portraits" / "tiny.safetensors").read_bytes()
    broken = host.models_dir / "portraits" / "broken.safetensors"
    broken.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(host.module("model_core.errors").CheckpointError, match="broken.safetensors"):
            load.LoadPortraitModel.execute(model=broken.name, dtype="auto")
    finally:
        broken.unlink()


def test_standard_folders_offer_this_project_s_models_only(host, load, hosted_model):
    whole = (host.models_dir / "portraits" / "tiny.safetensors").read_bytes()
    for folder in load.bridge.folders.STANDARD_FOLDERS:
        (host.models_dir / folder).mkdir()
        (host.models_dir / folder / "mine.safetensors").write_bytes(whole)
        (host.models_dir / folder / "sd15.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
        (host.models_dir / folder / "old.ckpt").write_bytes(whole)
    names = [name for name in load.bridge.model_names() if "/" in name]
    assert names == [f"{folder}/mine.safetensors" for folder in load.bridge.folders.STANDARD_FOLDERS]
    for name in names:
        assert load.LoadPortraitModel.validate_inputs(model=name) is True
    assert load.bridge.model_path("checkpoints/sd15.safetensors") is None
    assert load.bridge.model_path("../model_core/assets/vivid-avatars") is None
    (model,) = load.LoadPortraitModel.execute(model="vae/mine.safetensors", dtype="auto").args
    assert model.model.config.name == "tiny"


@pytest.mark.parametrize(
    ("choice", "memory", "expected"),
    [
        ("auto", "normal", "sdpa"),
        ("auto", "low", "sliced"),
        ("auto", "none", "sliced"),
        ("sdpa", "low", "sdpa"),
        ("sliced", "normal", "sliced"),
    ],
)
def test_attention_is_what_the_user_or_the_host_says(host, load, hosted_model, choice, memory, expected):
    host.vram_state = memory
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="auto", attention=choice).args
    assert model.model.backbone.attend.__name__ == expected


def test_without_a_compiler_the_log_says_so_and_the_model_runs(host, load, hosted_model, monkeypatch, caplog):
    compiling = host.module("model_core.backbones.compiling")
    monkeypatch.setattr(compiling, "_missing_compiler", lambda device: "no C++ compiler")
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="auto", compile=True).args
    assert "compile: no C++ compiler. The model runs uncompiled." in caplog.text
    assert model.model.backbone.denoiser._compiled_call_impl is None


def test_compile_reaches_the_denoiser(host, load, hosted_model, monkeypatch):
    compiling = host.module("model_core.backbones.compiling")
    monkeypatch.setattr(compiling, "_missing_compiler", lambda device: None)
    (model,) = load.LoadPortraitModel.execute(model="tiny.safetensors", dtype="auto", compile=True).args
    assert model.model.backbone.denoiser._compiled_call_impl is not None


@pytest.fixture
def public_files(host, public_parts, public_overrides):
    """Tiny public files where ComfyUI's users keep them, each with the config.json that tells its heads and groups."""
    from model_core.weights.io import write_safetensors

    places = {
        "denoiser": "diffusion_models/unet",
        "reference": "diffusion_models/reference",
        "motion": "animatediff_models/motion",
        "pose_guider": "controlnet/guider",
        "vae": "vae/vae",
        "image_encoder": "clip_vision/clip",
    }
    config = {
        "attention_head_dim": 2,
        "norm_num_groups": 4,
        "motion_num_attention_heads": 2,
        "motion_norm_num_groups": 4,
        "num_attention_heads": 2,
    }
    for part, place in places.items():
        folder = host.models_dir / place
        host.add_folder(folder.parent.name, str(folder.parent))
        write_safetensors(folder / "w.safetensors", public_parts[part])
        (folder / "config.json").write_text(json.dumps(config))
    names = {part: f"{place}/w.safetensors" for part, place in places.items()}
    chosen = {
        "unet": names["denoiser"],
        "reference_unet": names["reference"],
        "motion_module": names["motion"],
        "pose_guider": names["pose_guider"],
        "vae": names["vae"],
        "clip_vision": names["image_encoder"],
    }
    yield chosen
    for place in places.values():
        shutil.rmtree(host.models_dir / place)


def test_public_files_are_assembled_and_reported(host, load, public_files):
    node = load.LoadPortraitModelFiles
    model, report = node.execute(**public_files, dtype="bfloat16").args
    assert str(model.model.dtype) == "torch.bfloat16"
    assert "Moore-AnimateAnyone, pose2vid" in report
    assert report.count("w.safetensors: ") >= 6
    assert "motion from w.safetensors: AnimateDiff temporal layers, v2" in report


def test_the_lists_show_the_standard_folders_and_none(host, load, public_files):
    options = {socket.id: socket.options["options"] for socket in load.LoadPortraitModelFiles.define_schema().inputs}
    for part, name in public_files.items():
        assert options[part][0] == "none"
        assert name in options[part]
    assert public_files["motion_module"] not in options["vae"]


def test_the_socket_says_which_of_two_plain_networks_is_which(host, load, public_files):
    other = {**public_files, "unet": public_files["reference_unet"], "reference_unet": public_files["unet"]}
    with pytest.raises(host.module("model_core.errors").CheckpointError):
        load.LoadPortraitModelFiles.execute(**other)


def test_a_partial_choice_is_refused_with_the_list(host, load, public_files):
    del public_files["vae"], public_files["motion_module"]
    with pytest.raises(host.module("model_core.errors").CheckpointError) as caught:
        load.LoadPortraitModelFiles.execute(**public_files)
    assert "missing motion: motion_module.pth" in str(caught.value)
    assert "missing autoencoder" in str(caught.value)
    with pytest.raises(load.bridge.InputError, match="no file is chosen"):
        load.LoadPortraitModelFiles.execute()


def test_a_part_that_is_gone_or_changed_is_noticed(host, load, public_files):
    node = load.LoadPortraitModelFiles
    before = node.fingerprint_inputs(**public_files)
    os.utime(host.models_dir / public_files["vae"], ns=(1, 1))
    assert node.fingerprint_inputs(**public_files) != before
    with pytest.raises(load.bridge.InputError, match=r"vae: 'vae/gone\.pth' is not there; choose one of none, vae/"):
        node.execute(**{**public_files, "vae": "vae/gone.pth"})
    assert load.bridge.part_path("../secret.pth") is None


def test_a_folder_of_public_files_is_a_model_by_its_name(host, load, hosted_model, public_files):
    folder = host.models_dir / "portraits" / "public"
    for part, name in public_files.items():
        shutil.copytree((host.models_dir / name).parent, folder / part)
    try:
        assert "public" in load.bridge.model_names()
        assert load.LoadPortraitModel.validate_inputs(model="public") is True
        (model,) = load.LoadPortraitModel.execute(model="public", dtype="auto").args
        assert model.model.config.name == "public"
    finally:
        shutil.rmtree(folder)


def test_the_analyzer_is_chosen_by_one_input(host, load, monkeypatch):
    made = []
    backends = host.module("model_core.faces.backends")
    monkeypatch.setattr(backends, "load_analyzer", lambda backend, **settings: made.append((backend, settings)))
    (combo,) = load.LoadFaceAnalyzer.define_schema().inputs
    assert combo.options["options"] == ["mediapipe", "facer", "facer_person"]
    for backend in combo.options["options"]:
        load.LoadFaceAnalyzer.execute(backend=backend)
    assert [name for name, _ in made] == combo.options["options"]
    assert all(settings["folders"] == load.bridge.model_folders() for _, settings in made)
    assert str(made[0][1]["device"]) == "cpu"
    assert host.freed == [load.FACER_MEMORY] * 2  # room is made on the device for facer, not for mediapipe


def test_without_facer_the_node_says_what_to_install(host, load, monkeypatch):
    monkeypatch.setitem(sys.modules, "facer", None)
    with pytest.raises(host.module("model_core.errors").DependencyError, match="pip install --no-deps pyfacer"):
        load.LoadFaceAnalyzer.execute(backend="facer")
