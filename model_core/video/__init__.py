"""Videos in and out, in chunks: any length in bounded memory."""

from .read import VideoInfo, open_video, read_chunks, read_video
from .write import VideoWriter

__all__ = ["VideoInfo", "VideoWriter", "open_video", "read_chunks", "read_video"]
