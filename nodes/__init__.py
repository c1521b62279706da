"""The graph: thin nodes, one file per stage of the line, no maths."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from . import bridge
from .animate import AnimatePortrait, CarryPortrait, DecodePortrait
from .checks import checked
from .crop import CropFace, PasteFaceBack
from .download import DownloadPortraitModel
from .edit import EditExpression
from .evaluate import CompareReenactment
from .faces import AnalyzeFaces, FaceRegionMask
from .guidance import CyclicOverlapWindows, HistoryFrames, SignalFusion
from .guider import PortraitGuider, PortraitSigmas
from .landmarks import FollowFaceLandmarks
from .load import ExampleMedia, LoadFaceAnalyzer, LoadPortraitModel, LoadPortraitModelFiles
from .media import CreatePortraitVideo, SavePortraitImages
from .motion import DrawnLandmarksMotion, MaskedFramesMotion, ParsingMapMotion
from .placing import MotionStrength
from .reference import EncodeReference
from .video import AnimatePortraitVideo

_NODES: tuple[type[io.ComfyNode], ...] = (
    LoadPortraitModel,
    LoadPortraitModelFiles,
    DownloadPortraitModel,
    LoadFaceAnalyzer,
    ExampleMedia,
    AnalyzeFaces,
    FollowFaceLandmarks,
    FaceRegionMask,
    CropFace,
    PasteFaceBack,
    ParsingMapMotion,
    MaskedFramesMotion,
    DrawnLandmarksMotion,
    MotionStrength,
    EditExpression,
    EncodeReference,
    SignalFusion,
    CyclicOverlapWindows,
    HistoryFrames,
    AnimatePortrait,
    CarryPortrait,
    AnimatePortraitVideo,
    PortraitGuider,
    PortraitSigmas,
    DecodePortrait,
    CreatePortraitVideo,
    SavePortraitImages,
    CompareReenactment,
)
NODES = tuple(checked(node) for node in _NODES)

# ComfyUI asks for the lists of model files while it starts, and calls no hook of the extension before that.
bridge.register_model_folder()


class VividPortraitsExtension(ComfyExtension):
    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)


async def comfy_entrypoint() -> VividPortraitsExtension:
    return VividPortraitsExtension()
