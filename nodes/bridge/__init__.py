"""The only room that knows ComfyUI's services: folders, memory, progress, pictures and its own sampling."""

from ...model_core.errors import InputError
from .finish import as_the_model_sees, carried_images, finished_images
from .folders import (
    MODELS_FOLDER,
    PART_FOLDERS,
    asset,
    download_folder,
    model_folders,
    model_names,
    model_path,
    part_names,
    part_path,
    register_model_folder,
)
from .guider import PortraitGuider, model_sigmas
from .jobs import do_video_job, driving_file
from .memory import (
    ATTENTIONS,
    DTYPES,
    device_for_tools,
    load_files,
    load_model,
    log_estimate,
    on_device,
    to_compute,
    to_rest,
)
from .pictures import (
    as_image,
    checked,
    decode_images,
    encode_images,
    from_cut_out,
    from_image,
    from_mask,
    from_masks,
    pixels_to_image,
    to_image,
    unit_to_image,
)
from .progress import ByteProgress, CancellableBackbone, Progress, SamplingObserver, cancellable
from .saving import write_images
from .video import PortraitVideo, video_facts

__all__ = [
    "ATTENTIONS",
    "DTYPES",
    "MODELS_FOLDER",
    "PART_FOLDERS",
    "ByteProgress",
    "CancellableBackbone",
    "InputError",
    "PortraitGuider",
    "PortraitVideo",
    "Progress",
    "SamplingObserver",
    "as_image",
    "as_the_model_sees",
    "asset",
    "cancellable",
    "carried_images",
    "checked",
    "decode_images",
    "device_for_tools",
    "do_video_job",
    "download_folder",
    "driving_file",
    "encode_images",
    "finished_images",
    "from_cut_out",
    "from_image",
    "from_mask",
    "from_masks",
    "load_files",
    "load_model",
    "log_estimate",
    "model_folders",
    "model_names",
    "model_path",
    "model_sigmas",
    "on_device",
    "part_names",
    "part_path",
    "pixels_to_image",
    "register_model_folder",
    "to_compute",
    "to_image",
    "to_rest",
    "unit_to_image",
    "video_facts",
    "write_images",
]
