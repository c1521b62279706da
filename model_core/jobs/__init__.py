"""Long videos, safely: a job is done chunk by chunk, and goes on where it was left."""

from .faces import FaceSettings
from .job import VideoJob, VideoResult, Watcher
from .paste import Pasting
from .run import animate_video, job_digest, job_folder

__all__ = ["FaceSettings", "Pasting", "VideoJob", "VideoResult", "Watcher", "animate_video", "job_digest", "job_folder"]
