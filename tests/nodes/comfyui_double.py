"""A light double of the parts of ComfyUI that the nodes use, so that they are tested without a ComfyUI.

It knows exactly the names and keyword arguments that ComfyUI 0.3.64 knows: anything else fails here too.
``tests/live`` runs the same nodes in the real one.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import torch

ROOT = Path(__file__).parent.parent.parent
PACK = "vividportraits_pack"

_COMMON = {"display_name", "optional", "tooltip", "lazy"}
_WIDGET = _COMMON | {"default", "socketless"}
_INPUT_KEYS = {
    "INT": _WIDGET | {"min", "max", "step", "control_after_generate", "display_mode"},
    "FLOAT": _WIDGET | {"min", "max", "step", "round", "display_mode"},
    "BOOLEAN": _WIDGET | {"label_on", "label_off"},
    "STRING": _WIDGET | {"multiline", "placeholder", "dynamic_prompts"},
    "COMBO": _WIDGET | {"options", "control_after_generate", "upload", "image_folder", "remote"},
}


class InterruptedRunError(Exception):
    """Stands for ComfyUI's InterruptProcessingException."""


def _socket(kind: str) -> SimpleNamespace:
    def make_input(id: str, **options: Any) -> SimpleNamespace:
        unknown = set(options) - _INPUT_KEYS.get(kind, _COMMON)
        assert not unknown, f"{kind} input {id}: ComfyUI does not know {sorted(unknown)}"
        return SimpleNamespace(
            id=id, kind=kind, options=options, get_io_type=lambda: kind, as_dict=lambda: dict(options)
        )

    def make_output(id: str | None = None, *, display_name: str, tooltip: str) -> SimpleNamespace:
        return SimpleNamespace(id=id, kind=kind, name=display_name, tooltip=tooltip)

    return SimpleNamespace(Input=make_input, Output=make_output)


@dataclass
class Schema:
    node_id: str
    display_name: str
    category: str
    description: str
    inputs: list[SimpleNamespace]
    outputs: list[SimpleNamespace]
    is_output_node: bool = False
    hidden: list[str] = field(default_factory=list)


class ComfyNode:
    """Nodes derive from it; ComfyUI's adds what the server needs."""

    hidden: Any = None


@dataclass
class NodeOutput:
    args: tuple[Any, ...]
    ui: Any = None

    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args = args
        self.ui = ui


class VideoFromFile:
    """ComfyUI's VIDEO of a file, as far as the nodes ask."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def get_stream_source(self) -> Any:
        if not isinstance(self.file, str):
            self.file.seek(0)
        return self.file

    def get_duration(self) -> float:
        with av.open(self.get_stream_source()) as container:
            return container.duration / av.time_base


@dataclass
class VideoComponents:
    images: torch.Tensor
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class VideoFromComponents:
    """ComfyUI's VIDEO of tensors."""

    def __init__(self, components: VideoComponents) -> None:
        self._components = components

    def get_components(self) -> VideoComponents:
        return self._components


class PreviewImage(tuple):  # type: ignore[type-arg]
    """Remembers what is shown; compares like ("preview", image)."""

    def __new__(own, image: torch.Tensor, cls: Any = None) -> PreviewImage:  # noqa: N804 - `cls` is ComfyUI's name
        return super().__new__(own, ("preview", image))

    def as_dict(self) -> dict[str, Any]:
        return {"images": [self[1]], "animated": (False,)}


class PreviewText(str):
    def as_dict(self) -> dict[str, Any]:
        return {"text": (str(self),)}


@dataclass
class ModelPatcher:
    model: torch.nn.Module
    load_device: torch.device
    offload_device: torch.device

    def model_size(self) -> int:
        return sum(parameter.nbytes for parameter in self.model.parameters())

    def load(self, device: torch.device, *, full_load: bool) -> None:
        self.model.to(device)


@dataclass
class Host:
    """What a test sees of, and tells, the double."""

    models_dir: Path
    nodes: ModuleType | None = None
    cancelled: bool = False
    loaded: list[tuple[ModelPatcher, int]] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    progress: list[tuple[int, int, Any]] = field(default_factory=list)
    folders: dict[str, list[str]] = field(default_factory=dict)
    vram_state: str = "normal"

    def load_models_gpu(
        self, models: list[ModelPatcher], memory_required: int = 0, force_full_load: bool = False
    ) -> None:
        assert force_full_load, "plain torch layers cannot be loaded in part"
        self.loaded += [(model, memory_required) for model in models]

    def throw_exception_if_processing_interrupted(self) -> None:
        if self.cancelled:
            raise InterruptedRunError

    def add_folder(self, key: str, path: str) -> None:
        if path not in self.folders.setdefault(key, []):
            self.folders[key].append(path)

    def filenames(self, key: str) -> list[str]:
        places = [(Path(folder), file) for folder in self.folders[key] for file in Path(folder).rglob("*")]
        return sorted(file.relative_to(folder).as_posix() for folder, file in places if file.is_file())

    def full_path(self, key: str, name: str) -> str | None:
        found = [str(Path(folder) / name) for folder in self.folders[key] if os.path.isfile(Path(folder) / name)]
        return found[0] if found else None

    def save_path(self, prefix: str, folder: str, width: int, height: int) -> tuple[str, str, int, str, str]:
        """As folder_paths.get_save_image_path: folder, file name, counter, folder inside the output, prefix."""
        place = Path(folder) / Path(prefix).parent
        place.mkdir(parents=True, exist_ok=True)
        return str(place), Path(prefix).name, len(list(place.glob("*"))) + 1, str(Path(prefix).parent), prefix

    def module(self, part: str) -> ModuleType:
        """A module of the pack, e.g. ``nodes.bridge``."""
        return importlib.import_module(f"{PACK}.{part}")


class _Management(SimpleNamespace):
    """comfy.model_management; its ``vram_state`` is what the test says at the time."""

    def __init__(self, host: Host, **names: Any) -> None:
        super().__init__(**names)
        self._host = host

    @property
    def vram_state(self) -> str:
        return self._host.vram_state


def _modules(host: Host) -> dict[str, Any]:
    class ProgressBar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
            host.progress.append((value, self.total if total is None else total, preview))

    cpu = torch.device("cpu")
    states = SimpleNamespace(NORMAL_VRAM="normal", LOW_VRAM="low", NO_VRAM="none")
    management = _Management(
        host,
        VRAMState=states,
        get_torch_device=lambda: cpu,
        unet_offload_device=lambda: cpu,
        intermediate_device=lambda: cpu,
        unet_dtype=lambda device=None, model_params=0: torch.float32,
        unet_manual_cast=lambda weight_dtype, device: None,
        free_memory=lambda memory_required, device: host.freed.append(memory_required),
        load_models_gpu=host.load_models_gpu,
        throw_exception_if_processing_interrupted=host.throw_exception_if_processing_interrupted,
    )
    io = SimpleNamespace(
        ComfyNode=ComfyNode,
        Custom=_socket,
        NodeOutput=NodeOutput,
        Schema=Schema,
        Hidden=SimpleNamespace(prompt="PROMPT", extra_pnginfo="EXTRA_PNGINFO", unique_id="UNIQUE_ID"),
        FolderType=SimpleNamespace(output="output"),
        **{
            name.capitalize(): _socket(name)
            for name in (*_INPUT_KEYS, "IMAGE", "MASK", "LATENT", "VIDEO", "GUIDER", "SIGMAS")
        },
    )
    latest = SimpleNamespace(
        ComfyExtension=type("ComfyExtension", (), {}),
        InputImpl=SimpleNamespace(VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents),
        Types=SimpleNamespace(VideoComponents=VideoComponents),
        io=io,
        ui=SimpleNamespace(
            PreviewImage=PreviewImage,
            PreviewText=PreviewText,
            PreviewVideo=list,
            SavedImages=list,
            SavedResult=lambda filename, subfolder, type: (filename, subfolder, type),
        ),
    )
    folder_paths = SimpleNamespace(
        models_dir=str(host.models_dir),
        add_model_folder_path=host.add_folder,
        get_filename_list=host.filenames,
        get_full_path=host.full_path,
        get_folder_paths=lambda key: host.folders[key],
        get_temp_directory=lambda: str(host.models_dir.parent / "temp"),
        get_output_directory=lambda: str(host.models_dir.parent / "output"),
        get_save_image_path=host.save_path,
    )
    native = _native_modules()
    parts = {name.partition(".")[2]: module for name, module in native.items() if name.startswith("comfy.")}
    return {
        **native,
        "comfy": SimpleNamespace(model_management=management, **parts),
        "comfy.cli_args": SimpleNamespace(args=SimpleNamespace(disable_metadata=False)),
        "comfy.model_management": management,
        "comfy.model_patcher": SimpleNamespace(ModelPatcher=ModelPatcher),
        "comfy.utils": SimpleNamespace(ProgressBar=ProgressBar),
        "comfy_api": SimpleNamespace(latest=latest),
        "comfy_api.latest": latest,
        "folder_paths": folder_paths,
    }


def _native_modules() -> dict[str, Any]:
    """The file beside this one; tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("native_double", Path(__file__).with_name("native_double.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.modules()


def install(models_dir: Path) -> Host:
    """Put the double in place and import the pack as ComfyUI does: by its path, under a name of its own."""
    host = Host(models_dir)
    # the core knows these from the start
    for name in ("checkpoints", "clip_vision", "controlnet", "diffusion_models", "vae"):
        host.add_folder(name, str(models_dir / name))
    sys.modules.update(_modules(host))
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = package
    spec.loader.exec_module(package)
    host.nodes = host.module("nodes")
    return host


def remove() -> None:
    """Leave no trace: other tests run in the same process."""
    ours = ("comfy", "comfy_api", "folder_paths", "latent_preview", PACK)
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]
