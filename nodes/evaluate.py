"""Stage evaluate: how well the portrait did what the driver did."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from . import bridge
from .aliases import search_aliases
from .sockets import FaceAnalyzerSocket

CATEGORY = "VividPortraits/evaluate"


class CompareReenactment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsCompareReenactment",
            display_name="Compare Reenactment",
            category=CATEGORY,
            **search_aliases("metrics", "psnr", "ssim", "evaluate"),
            description="Measures how well generated frames follow the driving ones and keep the portrait's face.",
            inputs=[
                io.Image.Input("generated", tooltip="The animated frames."),
                io.Image.Input("driving", tooltip="The frames that drove them, one for one; any size."),
                io.Image.Input("reference", tooltip="The portrait; any size."),
                FaceAnalyzerSocket.Input("analyzer", tooltip="From Load Face Analyzer."),
                io.Image.Input(
                    "target",
                    optional=True,
                    tooltip="What should have come out, where that is known: as many frames, of the generated size.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="Means and worst frames of every metric."),
                io.Image.Output(display_name="plot", tooltip="Every metric over the frames."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, generated: Tensor, driving: Tensor, reference: Tensor, analyzer: Any, target: Tensor | None = None
    ) -> io.NodeOutput:
        from ..model_core.evaluation.extractors import landmark_extractor
        from ..model_core.evaluation.reenactment import compare, describe, plot

        clips = {"generated": generated, "driving": driving, "reference": reference, "target": target}
        frames = {name: bridge.from_image(clip, name=name) for name, clip in clips.items() if clip is not None}
        progress = bridge.Progress(sum(map(len, frames.values())))
        made = compare(
            frames["generated"],
            frames["driving"],
            frames["reference"],
            landmark_extractor(analyzer, progress=progress),
            target=frames.get("target"),
        )
        table, picture = describe(made), bridge.pixels_to_image(plot(made)[None])
        shown = {**ui.PreviewImage(picture, cls=cls).as_dict(), **ui.PreviewText(table).as_dict()}
        return io.NodeOutput(table, picture, ui=shown)
