"""ComfyUI's VIDEO: what one is asked for, and one of ours, which ComfyUI's own Save Video writes."""

from __future__ import annotations

import io
import json
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import InputImpl, Types
from torch import Tensor

from ...model_core.errors import InputError

_ENCODED_AT_ONCE = 16
_SAME_LENGTH = 0.05
_CONTAINERS, _CODECS = ("auto", "mp4"), ("auto", "h264")


def video_facts(source: Any, *, frames: int) -> tuple[Fraction, Any]:
    """Frame rate of a VIDEO, and its sound cut to the length of so many of its frames (a library Sound) or None.

    Raises:
        VideoError: the source cannot be read.
    """
    streamed = _stream_facts(source, frames)
    if streamed is not None:
        return streamed
    components = source.get_components()
    rate = Fraction(components.frame_rate)
    if components.audio is None:
        return rate, None
    from ...model_core.video.audio import Sound

    hertz = int(components.audio["sample_rate"])
    samples = components.audio["waveform"][0, :, : round(frames / rate * hertz)]
    return rate, Sound(samples.float().cpu().numpy(), hertz)


def _stream_facts(source: Any, frames: int) -> tuple[Fraction, Any] | None:
    """The same without decoding the pictures; None where the file is not the whole truth, as of a trimmed video."""
    from ...model_core.video.audio import open_container, read_sound
    from ...model_core.video.read import stream_rate

    if not isinstance(source, InputImpl.VideoFromFile):
        return None
    with open_container(source.get_stream_source()) as container:
        if not container.streams.video or container.duration is None:
            return None
        rate, seconds = stream_rate(container.streams.video[0]), container.duration / 1_000_000
    if abs(seconds - source.get_duration()) > _SAME_LENGTH:
        return None
    return rate, read_sound(source.get_stream_source(), seconds=frames / rate)


class PortraitVideo(InputImpl.VideoFromComponents):
    """Frames, their exact rate and their sound as a VIDEO, written with the synthetic-media mark.

    ComfyUI's own writer rounds the rate to thousandths, needs even sizes and knows no further metadata.
    """

    def __init__(self, images: Tensor, *, rate: Fraction, sound: Any, mark: bool) -> None:
        """
        Args:
            images: IMAGE of 3 channels.
            sound: a library Sound or None.
        """
        audio = None
        if sound is not None:
            audio = {"waveform": torch.from_numpy(sound.samples)[None], "sample_rate": sound.rate}
        super().__init__(Types.VideoComponents(images=images, audio=audio, frame_rate=rate))
        self._images, self._rate, self._sound, self._mark = images, rate, sound, mark

    def get_dimensions(self) -> tuple[int, int]:
        """(width, height)."""
        return self._images.shape[2], self._images.shape[1]

    def get_stream_source(self) -> io.BytesIO:
        buffer = io.BytesIO()
        self.save_to(buffer)
        buffer.seek(0)
        return buffer

    def save_to(
        self, path: Any, format: Any = "auto", codec: Any = "auto", metadata: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Write it; what later versions of ComfyUI ask for beyond these is left to the encoder's defaults.

        Args:
            path: of the file, or an open file.
            metadata: entries from ComfyUI, such as the workflow; written as JSON.
        Raises:
            InputError: another container or codec than H.264 in MP4 is asked for.
        """
        for value, known in ((format, _CONTAINERS), (codec, _CODECS)):
            if str(getattr(value, "value", value)).lower() not in known:
                raise InputError(f"video: {value} is not written; choose {' or '.join(known)} in Save Video")
        entries = {key: json.dumps(value) for key, value in (metadata or {}).items()}
        if isinstance(path, (str, Path)):
            self._write(Path(path), entries)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "video.mp4"
            self._write(file, entries)
            path.write(file.read_bytes())

    def _write(self, path: Path, entries: dict[str, str]) -> None:
        from ...model_core.images import to_uint8
        from ...model_core.video.mark import MARK
        from ...model_core.video.write import VideoWriter

        marked = {**entries, **MARK} if self._mark else entries
        with VideoWriter(path, fps=self._rate, sound=self._sound, metadata=marked) as writer:
            for start in range(0, len(self._images), _ENCODED_AT_ONCE):
                part = self._images[start : start + _ENCODED_AT_ONCE].permute(0, 3, 1, 2)
                writer.append(to_uint8(part * 2.0 - 1.0))
