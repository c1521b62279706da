"""Inputs that break other programs: the right video, or an error that names the file; what was finished stays."""

from __future__ import annotations

import dataclasses
import errno
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from model_core.errors import FaceNotFoundError, VideoError
from model_core.jobs import FaceSettings, folder, run
from model_core.video import segments
from model_core.video.read import open_video, read_shots
from model_core.video.segments import SegmentWriter


def film(path: Path, frames: np.ndarray) -> Path:
    with SegmentWriter(path, fps=Fraction(25)) as writer:
        for frame in frames:
            writer.append(frame)
    return path


@pytest.mark.parametrize(
    "name", ['it\'s "quoted".mp4', "a b  c.mp4", "Пример-例-🙂.mp4", "-dash:colon%03d.mp4", "x.MP4"]
)
def test_names_of_all_kinds(job, do, tmp_path, name):
    film_there = job.driving.rename(tmp_path / f"driver {name}")
    result = do(dataclasses.replace(job, driving=film_there, output=tmp_path / "out put" / name, frames=3))
    assert result.output.name == name and open_video(result.output).frames == 3
    assert [path.name for path in result.output.parent.iterdir()] == [name]


def test_paths_with_dots_and_relative_ones(job, do, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    driving = Path("..") / "driving.mp4"
    do(dataclasses.replace(job, driving=driving, output=Path("..") / "there" / ".." / "there" / "a:b.mp4", frames=3))
    assert open_video(tmp_path / "there" / "a:b.mp4").frames == 3
    assert list((tmp_path / "here").iterdir()) == []


def test_a_single_frame(job, do, square_frames):
    film(job.driving, square_frames(1))
    do(job)
    assert open_video(job.output).frames == 1


@pytest.mark.parametrize("paste", ["none", "driving"])
def test_odd_sizes(job, do, square_frames, paste, tmp_path):
    frames = square_frames(6)[:, :95, :93]
    for number, frame in enumerate(frames):
        (tmp_path / "frames").mkdir(exist_ok=True)
        run.shutil.copyfile(save(frame, tmp_path / "one.png"), tmp_path / "frames" / f"{number}.png")
    do(dataclasses.replace(job, driving=tmp_path / "frames", paste=paste))
    # 4:2:0 needs even sides
    assert open_video(job.output).size == ((96, 94) if paste == "driving" else (96, 96))


def save(frame: np.ndarray, path: Path) -> Path:
    from model_core.images import save_image

    return save_image(frame, path)


def test_black_frames_are_gaps_and_nothing_but_black_is_told(job, do, square_frames):
    frames = square_frames(16)
    frames[5:9] = 0
    film(job.driving, frames)
    do(job)
    assert open_video(job.output).frames == 16
    film(job.driving, np.zeros_like(frames))
    with pytest.raises(FaceNotFoundError, match=r"driving.mp4: no face found in any of its 16 frame"):
        do(job)


def test_a_cut_to_another_place(job, do, square_frames):
    frames = np.full((16, 96, 192, 3), 30, np.uint8)
    frames[:8, :, :96], frames[8:, :, 96:] = square_frames(8), square_frames(8)
    film(job.driving, frames)
    said = []
    do(
        dataclasses.replace(job, paste="driving"),
        planned=lambda chunks, done, motion: said.extend(motion.placed.scenes),
    )
    assert [scene.start for scene in said] == [0, 8]
    assert open_video(job.output).size == (96, 192)


@pytest.mark.parametrize("damage", ["cut off", "garbage inside", "empty", "text"])
def test_broken_videos_are_named(job, do, damage, square_frames):
    noise = np.random.default_rng(0).integers(0, 120, (60, 96, 96, 3), np.uint8)
    film(job.driving, np.maximum(square_frames(60), noise))
    content = bytearray(job.driving.read_bytes())
    if damage == "garbage inside":
        content[len(content) // 2 : len(content) // 2 + 20000] = np.random.default_rng(1).bytes(20000)
    changed = {"cut off": content[: len(content) * 2 // 3], "empty": b"", "text": b"no video"}.get(damage, content)
    job.driving.write_bytes(changed)
    if damage == "garbage inside":  # decoders conceal what they can
        try:
            do(job)
        except VideoError as error:
            assert "driving.mp4" in str(error)
        else:
            assert open_video(job.output).frames == len(list(read_shots(job.driving)))
        return
    with pytest.raises(VideoError, match=r"driving\.mp4"):
        do(job)
    assert not job.output.exists()


class Full:
    """A file on a disk with so much room left in all."""

    room = 0

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=0)
        self.name = str(path)

    def write(self, data: bytes) -> int:
        Full.room -= len(data)
        if Full.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)

    def __getattr__(self, name: str):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


@pytest.mark.parametrize("room", [500, 9000, 14000])
def test_a_full_disk_while_encoding_keeps_what_is_finished(job, do, monkeypatch, room):
    do(job)
    undisturbed = job.output.read_bytes()
    job.output.unlink()
    Full.room = room
    with monkeypatch.context() as patch:
        patch.setattr(segments, "open_for_muxer", Full)
        with pytest.raises(VideoError, match="No space left on device.*free some space") as refusal:
            do(job)
    assert not job.output.exists()
    kept = job.output.with_name("made.mp4.job")
    finished = len(list(kept.glob("chunk-*"))) if kept.exists() else 0
    if 0 < finished < 4:
        assert f"{finished} of 4 chunks are finished and kept" in str(refusal.value)
    said = []
    assert do(job, said=said).resumed == 5 * finished
    assert job.output.read_bytes() == undisturbed


def test_a_full_disk_while_recording_keeps_what_was_finished(job, do, monkeypatch):
    saved, save_file = [], folder.save_file

    def fails(tensors, path, metadata):
        if Path(path).name.startswith(".state"):
            saved.append(1)
            if len(saved) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path, metadata=metadata)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "save_file", fails)
        with pytest.raises(VideoError, match="2 of 4 chunks are finished and kept"):
            do(job)
    assert do(job).resumed == 10


def test_ten_bit_hdr_drives_and_is_pasted_into(job, do, square_frames):
    with av.open(str(job.driving.with_suffix(".mkv")), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p10le"
        stream.codec_context.color_trc, stream.codec_context.colorspace = 16, 9
        for pixels in np.where(square_frames(4) > 127, 140, 30).astype(np.uint8):  # grey: 55 % PQ is 150 cd/m2
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p10le"))
            )
        container.mux(stream.encode(None))
    do(dataclasses.replace(job, driving=job.driving.with_suffix(".mkv"), paste="driving"))
    assert open_video(job.output).frames == 4


@pytest.mark.slow
def test_8k_frames(job, do, tmp_path):
    frame = np.full((4320, 7680, 3), 30, np.uint8)
    frame[1000:2600, 3000:4600] = (230, 200, 180)
    film(job.driving, np.stack([frame, frame]))
    do(dataclasses.replace(job, paste="driving"))
    assert open_video(job.output).size == (4320, 7680)


@pytest.mark.slow
def test_ten_thousand_tiny_frames(job, do, square_frames):
    frames = square_frames(4, size=64, side=30)
    with SegmentWriter(job.driving, fps=Fraction(25)) as writer:
        for number in range(10_000):
            writer.append(frames[number % 4])
    sampling = dataclasses.replace(job.sampling, chunk=500)
    do(dataclasses.replace(job, size="model", sampling=sampling, faces=FaceSettings(smoothing=True)))
    assert sum(1 for _ in read_shots(job.output)) == 10_000
