"""Stage load: fetch a file that is not shipped, when the user says so and only then."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..model_core.weights.catalog import CATALOG, UNCHECKED, Download
from . import bridge
from .aliases import search_aliases

CATEGORY = "VividPortraits/load"


def _choice(entry: Download) -> str:
    size = "size and hash not known here" if entry.size is None else f"{entry.size / 1e6:.1f} MB"
    return f"{entry.name} ({size}, {entry.licence})"


CHOICES = {_choice(entry): entry for entry in (*CATALOG, *UNCHECKED)}


class DownloadPortraitModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsDownloadPortraitModel",
            display_name="Download Portrait Model",
            category=CATEGORY,
            **search_aliases("fetch model", "get weights"),
            description="Fetches a file that is not part of this pack into ComfyUI's models/portraits, checks it, and "
            "continues where an interrupted download stopped. Nothing is fetched until you turn confirm on.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list(CHOICES),
                    tooltip="What to fetch, with its size and licence: "
                    + "; ".join(f"{choice} from {entry.url}" for choice, entry in CHOICES.items()),
                ),
                io.Boolean.Input(
                    "confirm",
                    default=False,
                    tooltip="On: fetch the file from the internet under its licence. Off: nothing is fetched.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where the checked file lies.")],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, file: str, confirm: bool) -> tuple[Any, ...]:
        path = bridge.download_folder() / CHOICES[file].name if file in CHOICES else None
        return (file, confirm, path.stat().st_mtime_ns if path is not None and path.is_file() else 0)

    @classmethod
    def execute(cls, file: str, confirm: bool) -> io.NodeOutput:
        from ..model_core.weights.download import download

        if not confirm and not (bridge.download_folder() / CHOICES[file].name).is_file():
            raise bridge.InputError(
                f"confirm: is off, so nothing was fetched. Turn it on to fetch {file} from {CHOICES[file].url}"
            )
        path = download(
            CHOICES[file], bridge.download_folder(), confirm=lambda _: confirm, progress=bridge.ByteProgress()
        )
        return io.NodeOutput(str(path))
