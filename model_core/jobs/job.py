"""What a job is, what comes of it, and who is told how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from torch import Tensor

from ..bounds import Bounds, check_settings
from ..config import SamplingConfig
from ..faces.framing import Framing
from ..motion.scenes import MotionSettings
from ..pipeline import DrivingMotion
from ..sampling import Chunk
from ..types import StepObserver
from ..warp.full_size import OutputSize
from .faces import FaceSettings
from .paste import Pasting


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """What to make.

    Attributes:
        image: (1, 3, H, W) in [-1, 1], the portrait; ``name`` is what to call it.
        driving: the driving video.
        output: .mp4, .m4v, .mov or .mkv; an older file stays until the new one is whole.
        mask: (1, 1, H, W) in [0, 1], 1 on the person; None estimates it.
        sampling: how to sample.
        motion: how the driver's motion is placed on the portrait.
        framing: see ``faces.framing``.
        faces: how the driving face is followed.
        frames: driving frames to use; None all.
        size: of the video, see ``warp.full_size.output_size``.
        paste: "reference" is the whole portrait whatever ``size`` says of the model's; "driving" lays the face over
            the driving frames.
        match_colour: give pasted frames the colours of what they cover.
        sound: whether to take the driving video's.
        mark: whether the file says that it is synthetic.
        metadata: further entries of the file.
    """

    image: Tensor
    name: str = "reference"
    driving: Path
    output: Path
    mask: Tensor | None = None
    sampling: SamplingConfig
    motion: MotionSettings = field(default_factory=MotionSettings)
    framing: Framing = "auto"
    faces: FaceSettings = field(default_factory=FaceSettings)
    frames: Annotated[int, Bounds(1, 2**31)] | None = None
    size: OutputSize = "portrait"
    paste: Pasting = "none"
    match_colour: bool = True
    sound: bool = True
    mark: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class VideoResult:
    """What came of a job.

    Attributes:
        frames: of the video.
        resumed: frames that an earlier run had finished; all of them where the video was there already.
    """

    output: Path
    frames: int
    resumed: int


@dataclass(frozen=True)
class Watcher:
    """Who is told how a job goes on; every call may cancel by raising.

    Attributes:
        say: told in words what is being done.
        looked: told the number of driving frames whose faces are known, after each.
        observer: told of every window and step.
        joined: told the number of frames of the finished file, after each.
        planned: told once, before sampling: all chunks, how many are finished, and the motion.
    """

    say: Callable[[str], object] = lambda words: None
    looked: Callable[[int], object] = lambda frames: None
    observer: StepObserver = lambda event: None
    joined: Callable[[int], object] = lambda frames: None
    planned: Callable[[list[Chunk], int, DrivingMotion], object] = lambda chunks, finished, motion: None
