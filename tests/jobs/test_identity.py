"""A job is another one as soon as anything is that can change a pixel, and the same one as long as nothing is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.config import SamplingConfig
from model_core.jobs import FaceSettings, VideoJob, job_digest
from model_core.models import PortraitModel
from model_core.motion.editing import ExpressionEdit
from model_core.motion.scenes import MotionSettings
from model_core.motion.strength import MotionStrength

OF_THE_FILE = {"name", "output", "mark", "metadata"}
"""What tells where the video is put and what it says of itself."""

OTHER_SAMPLING: dict[str, Any] = {
    "steps": 3, "denoise": 0.5, "scheduler": "euler", "seed": 5, "window": 3, "overlap": 0, "identity": 2.0,
    "motion": 2.0, "continuity": 2.0, "guidance_start": 0.5, "guidance_end": 0.5, "history": 1, "chunk": 6,
    "cyclic": False, "blend": "linear", "wrapped": True,
}  # fmt: skip
OTHER_MOTION: dict[str, Any] = {
    "placing": "relative", "strength": MotionStrength(mouth=0.5), "turning": "absolute", "rest_frame": 2,
    "edit": ExpressionEdit(smile=0.5),
}  # fmt: skip
OTHER_FACES: dict[str, Any] = {"face_index": 1, "max_gap": 3, "missing": "hold", "smoothing": True}
OTHER: dict[str, Any] = {
    "image": torch.zeros(1, 3, 96, 96),
    "mask": torch.ones(1, 1, 96, 96),
    "framing": "full",
    "frames": 7,
    "size": "model",
    "paste": "driving",
    "match_colour": False,
    "sound": False,
}

Digest = Callable[..., str]


@pytest.fixture
def digest(job: VideoJob, tiny_model: PortraitModel, square_analyzer: Any) -> Digest:
    """``digest(mask=..., ...)`` of the job with these changes."""

    def of(*, model: PortraitModel = tiny_model, analyzer: Any = square_analyzer, **changes: Any) -> str:
        return job_digest(dataclasses.replace(job, **changes), model=model, analyzer=analyzer)

    return of


def test_every_setting_is_thought_of() -> None:
    for settings, others in (
        (VideoJob, {*OTHER, *OF_THE_FILE, "driving", "sampling", "motion", "faces"}),
        (SamplingConfig, OTHER_SAMPLING),
        (MotionSettings, OTHER_MOTION),
        (FaceSettings, OTHER_FACES),
    ):
        assert {field.name for field in dataclasses.fields(settings)} == set(others)


def test_whatever_changes_a_pixel_makes_another_job(job: VideoJob, digest: Digest) -> None:
    changes = [{name: value} for name, value in OTHER.items()]
    for group, others in (("sampling", OTHER_SAMPLING), ("motion", OTHER_MOTION), ("faces", OTHER_FACES)):
        whole = getattr(job, group)
        changes += [{group: dataclasses.replace(whole, **{name: value})} for name, value in others.items()]
    changes += [{}, {"mask": torch.full((1, 1, 96, 96), 0.5)}]  # and a mask is not only there, it is this one
    found = [digest(**change) for change in changes]
    assert [changes[i] for i, one in enumerate(found) if found.count(one) > 1] == []


def test_where_it_is_put_and_what_it_says_of_itself_does_not(digest: Digest, tmp_path: Path) -> None:
    elsewhere = {"name": "other.png", "output": tmp_path / "other.mov", "mark": False, "metadata": {"title": "mine"}}
    assert set(elsewhere) == OF_THE_FILE
    assert digest(**elsewhere) == digest()


def test_files_count_by_their_content(job: VideoJob, digest: Digest, tmp_path: Path) -> None:
    before = digest()
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(job.driving.read_bytes())
    assert digest(driving=copy) == before
    with copy.open("ab") as stream:
        stream.write(b"\0")
    assert digest(driving=copy) != before


def test_the_frames_of_a_folder_count_by_name_and_content(digest: Digest, tmp_path: Path) -> None:
    seen = set()
    for folder, files in {
        "a": {"1.png": b"one", "2.png": b"two"},
        "b": {"1.png": b"two", "2.png": b"one"},
        "c": {"1.png": b"onetwo", "2.png": b""},
        "d": {"1.png": b"one", "3.png": b"two"},
    }.items():
        (tmp_path / folder / "inside").mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / folder / name).write_bytes(content)
        seen.add(digest(driving=tmp_path / folder))
    assert len(seen) == 4


def test_model_and_analyzer_count_and_what_could_be_chosen_does_not(tiny_model: PortraitModel, digest: Digest) -> None:
    before = digest()
    narrow = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, dtypes=("float32",)))
    assert digest(model=narrow) == before
    named = dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, name="other"))
    assert digest(model=named) != before
    assert digest(analyzer=object()) != before
    with torch.no_grad():
        last = list(tiny_model.backbone.parameters())[-1].flatten()
        last[-1] = torch.nextafter(last[-1], torch.tensor(9.0))
    assert digest() != before
