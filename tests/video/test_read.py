from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from model_core.errors import InputError, VideoError
from model_core.video import VideoWriter, open_video, read, read_chunks, read_video

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"


def real_media(name: str) -> Path:
    if not (MEDIA / name).exists():
        pytest.skip(f"REAL MEDIA ABSENT: {name} is not in ../shared/media; this check did not run")
    return MEDIA / name


def numbered(count: int, *, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame k is flat, of brightness 4k."""
    levels = (4 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    return np.broadcast_to(levels, (count, height, width, 3)).copy()


def numbers(frames: np.ndarray) -> list[int]:
    return [round(float(frame.mean()) / 4) for frame in frames]


def write(path: Path, frames: np.ndarray, *, fps: Fraction | int = 25) -> Path:
    with VideoWriter(path, fps=fps, crf=4) as writer:
        writer.append(frames)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("clip") / "clip.mp4", numbered(30))


# --- what comes out ----------------------------------------------------------------------------------------


def test_info(clip):
    info = open_video(clip)
    assert (info.frames, info.fps, info.size, info.has_audio) == (30, 25, (48, 64), False)


def test_odd_rates_are_exact(tmp_path):
    rate = Fraction(30000, 1001)
    assert open_video(write(tmp_path / "a.mp4", numbered(10), fps=rate)).fps == rate


@pytest.mark.parametrize("chunk", [1, 7, 30, 100])
def test_chunks_join_to_the_whole(clip, chunk):
    chunks = list(read_chunks(clip, chunk=chunk))
    assert [len(block) for block in chunks[:-1]] == [chunk] * (len(chunks) - 1)
    assert chunks[0].dtype == np.uint8 and chunks[0].shape[1:] == (48, 64, 3)
    assert numbers(np.concatenate(chunks)) == list(range(30))


def test_start_and_limit(clip):
    assert numbers(read_video(clip, start=5, limit=7)) == list(range(5, 12))
    assert numbers(read_video(clip, start=28, limit=7)) == [28, 29]
    assert list(read_chunks(clip, chunk=4, start=30)) == []


def test_reading_is_lazy(clip, monkeypatch):
    """Two chunks of four decode ten frames, two to skip, and convert eight: not thirty."""
    decoded, converted = [], []
    pixels_of = read._pixels_of

    def counting(frame):
        decoded.append(frame.pts)

        def pixels():
            converted.append(frame.pts)
            return pixels_of(frame)()

        return pixels

    monkeypatch.setattr(read, "_pixels_of", counting)
    chunks = read_chunks(clip, chunk=4, start=2)
    assert decoded == converted == []
    assert numbers(np.concatenate(list(itertools.islice(chunks, 2)))) == list(range(2, 10))
    assert (len(decoded), len(converted)) == (10, 8)


# --- resampling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [24, 25, 30, Fraction(30000, 1001), Fraction(24000, 1001), 60, 7])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_resampling_to_the_same_rate_changes_nothing(tmp_path, fps, suffix):
    """Matroska rounds times to milliseconds, so that most frames begin a little early or late."""
    path = write(tmp_path / f"a{suffix}", numbered(40), fps=fps)
    assert numbers(read_video(path, fps=fps)) == list(range(40))


def test_half_and_double_rate(clip):
    assert numbers(read_video(clip, fps=Fraction(25, 2))) == list(range(0, 30, 2))
    assert numbers(read_video(clip, fps=50)) == [index for index in range(30) for _ in range(2)]
    slower = numbers(read_video(clip, fps=20))
    assert len(slower) == 24 and slower[::4] == list(range(0, 30, 5))
    assert all(1 <= b - a <= 2 for a, b in itertools.pairwise(slower))


def test_start_and_limit_count_after_resampling(clip):
    assert numbers(read_video(clip, fps=5, start=2, limit=3)) == [10, 15, 20]


def test_a_long_frame_is_repeated(tmp_path):
    """An animation with a pause, at constant rate: the pause lasts."""
    pages = [Image.fromarray(frame) for frame in numbered(3) * 10]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=[100, 300, 100])
    assert numbers(read_video(tmp_path / "a.gif", fps=10) // 10) == [0, 1, 1, 1, 2]
    assert numbers(read_video(tmp_path / "a.gif") // 10) == [0, 1, 2]


# --- rotation ----------------------------------------------------------------------------------------------


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a display matrix (a b c d, 16.16 fixed point) into the track header, as telephones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box's content
    rows = [[*matrix[:2], 0], [*matrix[2:], 0]]
    values = np.array([v * 65536 for row in rows for v in row], ">i4").tobytes()
    data[start : start + len(values)] = values
    path.write_bytes(data)


@pytest.mark.parametrize(("matrix", "quarter_turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_is_honoured(tmp_path, matrix, quarter_turns):
    frame = np.zeros((1, 48, 64, 3), np.uint8)
    frame[:, :16, :16] = 255  # top left
    path = write(tmp_path / "a.mp4", frame)
    turn(path, matrix)
    expected = np.rot90(frame[0], k=quarter_turns)
    got = read_video(path)[0]
    assert open_video(path).size == got.shape[:2] == expected.shape[:2]
    assert np.abs(got.astype(int) - expected).mean() < 3


# --- pictures as videos ------------------------------------------------------------------------------------


def test_folder_of_images_in_natural_order(tmp_path):
    for index, frame in enumerate(numbered(12)):
        Image.fromarray(frame).save(tmp_path / f"Frame_{index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert numbers(read_video(tmp_path)) == list(range(12))
    info = open_video(tmp_path)
    assert (info.frames, info.fps, info.size, info.has_audio) == (12, 25, (48, 64), False)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations(tmp_path, suffix):
    pages = [Image.fromarray(frame) for frame in numbered(6)]
    path = tmp_path / f"a{suffix}"
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40, lossless=True)
    assert numbers(read_video(path)) == list(range(6))
    assert (open_video(path).frames, open_video(path).fps) == (6, 25)


def test_one_image_is_a_video_of_one_frame(tmp_path):
    Image.fromarray(numbered(3)[2]).save(tmp_path / "a.png")
    assert numbers(read_video(tmp_path / "a.png")) == [2]
    assert open_video(tmp_path / "a.png").frames == 1
    assert numbers(read_video(tmp_path / "a.png", fps=30)) == [2]


def test_one_frame_video(tmp_path):
    path = write(tmp_path / "one.mp4", numbered(1))
    assert numbers(read_video(path)) == [0] and numbers(read_video(path, fps=7)) == [0]


# --- errors ------------------------------------------------------------------------------------------------


def fails(path: Path, message: str) -> None:
    for look in (open_video, read_video):
        with pytest.raises(VideoError, match=f"{re.escape(path.name)}.*{message}"):
            look(path)


def test_missing_file(tmp_path):
    fails(tmp_path / "none.mp4", "no such file")
    with pytest.raises(VideoError, match="no such file"):
        read_chunks(tmp_path / "none.mp4", chunk=4)  # before the first frame is asked for


def test_not_a_video(tmp_path):
    (tmp_path / "text.mp4").write_text("this is not a video" * 100)
    fails(tmp_path / "text.mp4", "not a video.*ffmpeg")
    (tmp_path / "text.gif").write_text("this is not a picture")
    fails(tmp_path / "text.gif", "not an image")


def test_empty_file_and_folder(tmp_path):
    (tmp_path / "empty.mp4").touch()
    fails(tmp_path / "empty.mp4", "empty")
    (tmp_path / "folder").mkdir()
    fails(tmp_path / "folder", "without images")


def test_sound_only(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    fails(tmp_path / "sound.mp4", "no picture track")


def test_truncated(tmp_path, clip):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-200])
    fails(tmp_path / "cut.mp4", "re-encode")


def test_damaged_in_the_middle(tmp_path):
    path = write(tmp_path / "damaged.mp4", np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), np.uint8))
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = b"\xff" * third
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged\.mp4: damaged after frame \d+ .*re-encode"):
        read_video(path)


def test_no_frames(tmp_path, clip, monkeypatch):
    """A container that opens, declares a video track, and holds nothing."""
    monkeypatch.setattr(read, "_decoded_shots", lambda path: iter(()))
    fails(clip, "no frames")


def test_start_beyond_the_end(clip):
    with pytest.raises(VideoError, match="has 30 frames, cannot start at frame 31"):
        read_video(clip, start=31)
    with pytest.raises(VideoError, match="nothing left"):
        read_video(clip, start=30)


def test_images_of_two_sizes(tmp_path):
    Image.fromarray(numbered(1)[0]).save(tmp_path / "1.png")
    Image.fromarray(numbered(1, width=32)[0]).save(tmp_path / "2.png")
    with pytest.raises(VideoError, match="64 x 48 and 32 x 48"):
        read_video(tmp_path)


def test_damaged_image_in_a_folder_is_named(tmp_path):
    Image.fromarray(numbered(1)[0]).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(VideoError, match=r"2\.png"):
        read_video(tmp_path)


@pytest.mark.parametrize("bad", [{"chunk": 0}, {"start": -1}, {"limit": 0}, {"fps": 0}])
def test_settings_out_of_range(clip, bad):
    with pytest.raises(InputError, match="must be positive"):
        read_chunks(clip, **{"chunk": 4, **bad})


# --- real clips --------------------------------------------------------------------------------------------


def test_real_clip():
    path = real_media("drive_talk.mp4")
    info = open_video(path)
    assert (info.frames, info.fps, info.size, info.has_audio) == (175, 25, (480, 480), True)
    frames = read_video(path, limit=5)
    assert frames.shape == (5, 480, 480, 3) and frames.std() > 20
    assert len(read_video(path, fps=12, limit=500)) == 84
