"""Follow one face through a clip, also where faces cross, hide for a moment, or the film is cut.

All faces are followed together: frame by frame, detections are assigned to faces so that the total cost is
least. A cost is how far a detection lies from where the face should be by now (it moves on at its last
velocity), plus how much its size and the shape of its landmarks differ. Two people who cross therefore keep
their tracks. Only then the wanted face is taken out and its gaps are filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from ..errors import FaceNotFoundError, InputError
from ..types import FaceTrack
from .analyzer import FaceDetection

GapPolicy = Literal["interpolate", "hold", "error"]
MissingPolicy = Literal["interpolate", "hold", "error", "skip"]

_REACH = 1.0  # farthest a face may lie from its prediction, in sizes of the face
_REACH_PER_LOST_FRAME = 0.2
_LARGEST_RESIZE = 2.0
_SIZE_WEIGHT = 1.0
_SHAPE_WEIGHT = 2.0
_COAST = 8  # frames for which a lost face is taken to move on
_FORGET = 30  # frames after which a lost bystander is given up
_NEW_VELOCITY = 0.5
_LISTED_RANGES = 8


def track_face(
    detections: Sequence[Sequence[FaceDetection]],
    *,
    size: tuple[int, int],
    name: str,
    face_index: int = 0,
    max_gap: int = 5,
    policy: GapPolicy = "interpolate",
) -> FaceTrack:
    """Follow one face.

    Args:
        detections: the faces of every frame, in any order.
        size: (H, W) of the frames.
        name: of the clip or image, for messages.
        face_index: which face of the first frame that shows any: 0 is the largest, 1 the next.
        max_gap: so many frames in a row without the face are filled in.
        policy: how: "interpolate" between the neighbours of the gap (at the clip's ends, the nearest frame is
            held), "hold" the last frame with the face (before the first one, that one), or "error": not at all.
    Returns:
        the track; ``detected`` is False and ``confidence`` 0 in filled frames. Blendshapes are filled in as landmarks
        are, but only where every detection of the face has them: what one lacks is unknown, not missing.
    Raises:
        FaceNotFoundError: no face at all, no such index, or a gap longer than ``max_gap``; frames are named
            from 0.
        InputError: no frames.
    """
    if policy not in ("interpolate", "hold", "error"):
        raise InputError(f"{name}: unknown gap policy {policy!r}; choose 'interpolate', 'hold' or 'error'")
    if max_gap < 0:
        raise InputError(f"{name}: max_gap is {max_gap}; choose 0 or more")
    chosen = _follow(detections, name=name, face_index=face_index)
    gaps = _gaps([detection is not None for detection in chosen])
    allowed = 0 if policy == "error" else max_gap
    too_long = [gap for gap in gaps if len(gap) > allowed]
    if too_long:
        raise FaceNotFoundError(
            f"{name}: the face is missing in frames {_listed(too_long)} (counted from 0, of {len(chosen)}); "
            f"at most {allowed} in a row are filled in. Cut these frames out, or allow longer gaps (max_gap)"
        )
    return _filled(chosen, size=size, hold=policy == "hold")


@dataclass
class _Person:
    """One face while it is followed: what was last seen of it, and how it moves."""

    seen: dict[int, FaceDetection]
    last: int
    velocity: np.ndarray

    def predicted(self, frame: int) -> np.ndarray:
        """Where its box's centre should be."""
        return _centre(self.seen[self.last].box) + self.velocity * min(frame - self.last, _COAST)

    def cost(self, detection: FaceDetection, frame: int) -> float:
        """How badly a detection fits; infinite if it cannot be this face."""
        known = self.seen[self.last]
        extent = max(_extent(known.box), 1e-6)
        distance = float(np.linalg.norm(_centre(detection.box) - self.predicted(frame))) / extent
        resize = abs(np.log(max(_extent(detection.box), 1e-6) / extent))
        reach = _REACH + _REACH_PER_LOST_FRAME * (frame - self.last - 1)
        if distance > reach or resize > np.log(_LARGEST_RESIZE):
            return np.inf
        shape = _shape_distance(known.landmarks, detection.landmarks)
        return distance + _SIZE_WEIGHT * float(resize) + _SHAPE_WEIGHT * shape

    def add(self, detection: FaceDetection, frame: int) -> None:
        moved = (_centre(detection.box) - _centre(self.seen[self.last].box)) / (frame - self.last)
        first = len(self.seen) == 1
        self.velocity = moved if first else self.velocity + _NEW_VELOCITY * (moved - self.velocity)
        self.seen[frame], self.last = detection, frame


def _follow(detections: Sequence[Sequence[FaceDetection]], *, name: str, face_index: int) -> list[FaceDetection | None]:
    """The wanted face's detection in every frame, None where it is not seen."""
    if not detections:
        raise InputError(f"{name}: has no frames")
    first = next((frame for frame, faces in enumerate(detections) if faces), None)
    if first is None:
        raise FaceNotFoundError(
            f"{name}: no face found in any of its {len(detections)} frame(s); "
            "use one in which a face is larger, upright and not covered"
        )
    people = [_Person({first: face}, first, np.zeros(2)) for face in _by_size(detections[first])]
    if not 0 <= face_index < len(people):
        raise FaceNotFoundError(
            f"{name}: frame {first} shows {len(people)} face(s), there is none with index {face_index}; "
            f"choose 0 to {len(people) - 1}"
        )
    wanted = people[face_index]
    for frame in range(first + 1, len(detections)):
        people = [person for person in people if person is wanted or frame - person.last <= _FORGET]
        _advance(people, wanted, _by_size(detections[frame]), frame)
    return [wanted.seen.get(frame) for frame in range(len(detections))]


def _advance(people: list[_Person], wanted: _Person, faces: list[FaceDetection], frame: int) -> None:
    """Hand the faces of one frame to the people; a face that is nobody's begins a new person."""
    costs = tuple(tuple(person.cost(face, frame) for face in faces) for person in people)
    given = assign(costs)
    left = [face for number, face in enumerate(faces) if number not in given]
    for person, number in zip(list(people), given, strict=True):
        if number is not None:
            person.add(faces[number], frame)
    alone = all(person.last == frame for person in people if person is not wanted)
    if wanted.last != frame and len(left) == 1 and alone:
        # the only face that is nobody else's: the film was cut, or the head went faster than any prediction
        wanted.add(left.pop(), frame)
        wanted.velocity = np.zeros(2)
    people.extend(_Person({frame: face}, frame, np.zeros(2)) for face in left)


def assign(costs: tuple[tuple[float, ...], ...]) -> tuple[int | None, ...]:
    """The assignment of columns to rows that matches as many as possible, and of these the cheapest.

    Exact, by dynamic programming over the sets of taken columns: meant for a handful of faces.

    Args:
        costs: rows of equal length; infinite forbids a pair.
    Returns:
        per row its column, or None.
    """

    @cache
    def best(row: int, taken: int) -> tuple[int, float, tuple[int | None, ...]]:
        """(unmatched rows, total cost, choice) of the rows from ``row`` on."""
        if row == len(costs):
            return 0, 0.0, ()
        unmatched, total, rest = best(row + 1, taken)
        options = [(unmatched + 1, total, (None, *rest))]
        for column, cost in enumerate(costs[row]):
            if np.isfinite(cost) and not taken >> column & 1:
                unmatched, total, rest = best(row + 1, taken | 1 << column)
                options.append((unmatched, total + cost, (column, *rest)))
        return min(options, key=lambda option: option[:2])

    return best(0, 0)[2]


def _filled(chosen: list[FaceDetection | None], *, size: tuple[int, int], hold: bool) -> FaceTrack:
    frames = np.arange(len(chosen))
    known = np.array([frame for frame, face in enumerate(chosen) if face is not None])
    faces = [face for face in chosen if face is not None]
    boxes = np.stack([face.box for face in faces]).astype(np.float32)
    landmarks = np.stack([face.landmarks for face in faces]).astype(np.float32)
    gaps = np.flatnonzero(~np.isin(frames, known))
    after = np.searchsorted(known, frames).clip(max=len(known) - 1)
    before = (np.searchsorted(known, frames, side="right") - 1).clip(min=0)
    span = np.maximum(known[after] - known[before], 1)
    share = np.zeros(len(chosen)) if hold else ((frames - known[before]) / span).clip(0, 1)
    detected = np.isin(frames, known)
    confidence = np.zeros(len(chosen), dtype=np.float32)
    confidence[known] = [face.confidence for face in faces]
    labels = [face.label_map for face in faces if face.label_map is not None]

    def read(values: list[np.ndarray | None]) -> np.ndarray | None:
        known_values = [value for value in values if value is not None]
        if len(known_values) < len(values):
            return None
        return _between(np.stack(known_values).astype(np.float32), before, after, share, gaps)

    return FaceTrack(
        boxes=_between(boxes, before, after, share, gaps),
        landmarks=_between(landmarks, before, after, share, gaps),
        confidence=confidence,
        detected=detected,
        size=size,
        label_maps=np.stack(labels)[before] if len(labels) == len(faces) else None,
        blendshapes=read([face.blendshapes for face in faces]),
        poses=read([face.pose for face in faces]),
    )


def _between(
    values: np.ndarray, before: np.ndarray, after: np.ndarray, share: np.ndarray, gaps: np.ndarray
) -> np.ndarray:
    """One value for each frame, blended in the gaps only: a long clip's landmarks are not copied more than once."""
    made = values[before]
    weight = share[gaps].astype(np.float32).reshape(-1, *(1,) * (values.ndim - 1))
    made[gaps] += (values[after[gaps]] - made[gaps]) * weight
    return made


def _gaps(detected: list[bool]) -> list[range]:
    """Runs of frames without the face."""
    edges = np.flatnonzero(np.diff([0, *(not seen for seen in detected), 0]))
    return [range(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]


def frame_ranges(frames: Sequence[int]) -> str:
    """Ascending frame numbers as a reader wants them: "2, 5-9"; only the first few ranges of many."""
    breaks = np.flatnonzero(np.diff(np.asarray(frames, dtype=np.int64)) > 1) + 1
    runs = [run for run in np.split(np.asarray(frames, dtype=np.int64), breaks) if len(run)]
    return _listed([range(int(run[0]), int(run[-1]) + 1) for run in runs])


def _listed(gaps: list[range]) -> str:
    parts = [str(gap[0]) if len(gap) == 1 else f"{gap[0]}-{gap[-1]}" for gap in gaps[:_LISTED_RANGES]]
    return ", ".join(parts) + (" and more" if len(gaps) > _LISTED_RANGES else "")


def _by_size(faces: Sequence[FaceDetection]) -> list[FaceDetection]:
    return sorted(faces, key=lambda face: _extent(face.box), reverse=True)


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2.0


def _extent(box: np.ndarray) -> float:
    """The side of a square of the box's area."""
    width, height = np.maximum(box[2:] - box[:2], 0.0)
    return float(np.sqrt(width * height))


def _shape_distance(first: np.ndarray, second: np.ndarray) -> float:
    """How differently two faces look: root mean square between their landmarks, place and size taken out.

    Pose and expression change little from frame to frame, so this also tells apart alike faces that look
    different ways.
    """
    a, b = (points[:, :2] - points[:, :2].mean(axis=0) for points in (first, second))
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    if norm == 0:
        return 0.0
    return float(np.sqrt(((a / np.sqrt((a**2).sum()) - b / np.sqrt((b**2).sum())) ** 2).sum()))
