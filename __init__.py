"""ComfyUI's entry: ``comfy_entrypoint`` and ``WEB_DIRECTORY``, nothing else."""

from __future__ import annotations

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

try:
    from .nodes import comfy_entrypoint
except ModuleNotFoundError as error:
    # Test runners import the root where there is no ComfyUI. Anything else that is missing is a real error,
    # and ComfyUI shows its traceback only when it happens here, at import.
    if (error.name or "").partition(".")[0] not in {"comfy", "comfy_api", "folder_paths"}:
        raise
