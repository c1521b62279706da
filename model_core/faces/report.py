"""What the analysis saw, for people: a text and a plot."""

from __future__ import annotations

import numpy as np

from ..plots import curves_picture
from .analyze import ClipFaces
from .tracking import MissingPolicy, frame_ranges

_SHOWN_UNSURE = 5
_DONE = {"interpolate": "filled in between their neighbours", "hold": "held from a neighbour", "skip": "left out"}


def describe_faces(faces: ClipFaces, *, name: str, policy: MissingPolicy) -> str:
    """How surely the face was seen, which frames did not show it, and what became of them.

    Args:
        name: of the clip or image.
        policy: that the analysis was made with.
    Returns:
        a few lines; frames are counted from 0.
    """
    seen = np.flatnonzero(faces.detected)
    height, width = faces.track.size
    lines = [f"{name}: {len(faces.detected)} frame(s) of {width}x{height}, the face is seen in {len(seen)}"]
    values = faces.confidence[seen]
    lines.append(f"confidence: mean {values.mean():.2f}, lowest {values.min():.2f} in frame {seen[values.argmin()]}")
    unsure = seen[np.argsort(values, kind="stable")][:_SHOWN_UNSURE]
    if values.min() < values.max():
        lines.append("least sure: " + ", ".join(f"{frame} ({faces.confidence[frame]:.2f})" for frame in unsure))
    missing = np.flatnonzero(~faces.detected)
    if not len(missing):
        return "\n".join([*lines, "no frame had to be filled in"])
    lines.append(f"{_DONE[policy]}: frames {frame_ranges(missing.tolist())} ({len(missing)} of {len(faces.detected)})")
    if policy == "skip":
        lines.append(f"track and frames_kept: {len(faces.kept)} frames; sound of the clip no longer fits them")
    return "\n".join(lines)


def plot_faces(faces: ClipFaces) -> np.ndarray:
    """The confidence over the frames, frames without the face marked, as (H, W, 3) uint8 RGB."""
    values = np.where(faces.detected, faces.confidence, np.nan)
    missing = np.flatnonzero(~faces.detected).tolist()
    return curves_picture({"confidence": {"face": values}}, missing=missing, limits={"confidence": (-0.05, 1.05)})
