from __future__ import annotations

import errno
import io
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from model_core.errors import InputError, VideoError
from model_core.video import VideoWriter, audio, mark, open_video, read_video, write

RATE = 48000
ROOT = Path(__file__).resolve().parents[2]


def moving(count: int, *, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth colours that drift, as (count, height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    frames = []
    for index in range(count):
        phase = (x + 4 * index) / 20
        channels = [128 + 100 * np.sin(phase), 128 + 100 * np.cos(y / 17 + index / 9), 255 * x / width]
        frames.append(np.stack(channels, axis=-1))
    return np.stack(frames).astype(np.uint8)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 64, 64, 3), np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def with_sound(path: Path, *, seconds: float = 2.0, codec: str = "aac", layout: str = "stereo") -> Path:
    """A clip of 20 frames per second with a tone of 440 Hz that is silent in its second half."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * time) * (time < seconds / 2)).astype(np.float32)
    channels = 1 if layout == "mono" else 2
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=20)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream(codec, rate=RATE, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.broadcast_to(tone, (channels, len(tone)))), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for pixels in noise(round(seconds * 20)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    return path


def samples(path: Path) -> np.ndarray:
    """Its sound, (channels, n) float."""
    resampler = av.AudioResampler(format="fltp")
    with av.open(str(path)) as container:
        frames = container.decode(container.streams.audio[0])
        blocks = [piece.to_ndarray() for frame in frames for piece in resampler.resample(frame)]
    return np.concatenate(blocks, axis=1)


def loud_seconds(path: Path) -> float:
    return float((np.abs(samples(path)[0]) > 0.05).sum() / RATE / 0.936)  # the part of a sine above 0.05 / 0.5


# --- pictures ----------------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    frames = moving(20)
    with VideoWriter(tmp_path / "new" / "a.mp4", fps=Fraction(24000, 1001), crf=10) as writer:
        writer.append(frames[:7])
        writer.append(frames[7:7])
        writer.append(frames[7:])
        assert writer.frames == 20 and writer.duration == 20 * Fraction(1001, 24000)
        assert not (tmp_path / "new" / "a.mp4").exists()
    info = open_video(tmp_path / "new" / "a.mp4")
    assert (info.frames, info.fps, info.size) == (20, Fraction(24000, 1001), (96, 128))
    assert psnr(read_video(tmp_path / "new" / "a.mp4"), frames) > 36
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
def test_what_players_need(tmp_path, suffix):
    with VideoWriter(tmp_path / f"a{suffix}", fps=25) as writer:
        writer.append(moving(3))
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (int(context.colorspace), context.color_primaries, context.color_trc) == (1, 1, 1)


def test_colours_stay(tmp_path):
    """A wrong matrix (BT.601 for BT.709) would move saturated colours by some 20 levels."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [255, 255, 255], [0, 0, 0]])
    frame = colours.astype(np.uint8).repeat(32, axis=0)[None].repeat(32, axis=0)[None]
    with VideoWriter(tmp_path / "a.mp4", fps=25, crf=0) as writer:
        writer.append(frame)
    assert np.abs(read_video(tmp_path / "a.mp4").astype(int) - frame).max() <= 4


def test_quality_is_a_choice(tmp_path):
    for crf in (10, 40):
        with VideoWriter(tmp_path / f"{crf}.mp4", fps=25, crf=crf) as writer:
            writer.append(noise(5))
    assert (tmp_path / "10.mp4").stat().st_size > 3 * (tmp_path / "40.mp4").stat().st_size


@pytest.mark.parametrize(("height", "width"), [(97, 128), (96, 131), (65, 67), (2, 2), (1, 1)])
def test_odd_sizes_repeat_the_last_line(tmp_path, height, width):
    frames = moving(3, height=height, width=width)
    with VideoWriter(tmp_path / "a.mp4", fps=25, crf=4) as writer:
        writer.append(frames)
    got = read_video(tmp_path / "a.mp4")
    assert got.shape[1:3] == (height + height % 2, width + width % 2)
    if height > 2:
        assert psnr(got[:, :height, :width], frames) > 35
        assert np.abs(got[:, -1].astype(int) - got[:, -2]).mean() < 12


# --- sound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["stereo", "mono"])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "aac"), (".mkv", "flac")])
def test_sound_is_kept_and_cut_to_the_length(tmp_path, suffix, codec, layout):
    source = with_sound(tmp_path / f"source{suffix}", codec=codec, layout=layout)
    with VideoWriter(tmp_path / "a.mp4", fps=20, audio_from=source) as writer:
        for chunk in np.split(moving(30), 6):
            writer.append(chunk)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.5, abs=0.001)
        assert stream.codec_context.name == "aac" and stream.layout.name == layout
    got, truth = samples(tmp_path / "a.mp4")[0], samples(source)[0]
    length = int(0.9 * RATE)
    assert np.corrcoef(got[:length], truth[:length])[0, 1] > 0.98  # the same tone, not shifted
    assert loud_seconds(tmp_path / "a.mp4") == pytest.approx(1.0, abs=0.03)


def test_sound_from_the_middle(tmp_path):
    source = with_sound(tmp_path / "source.mp4")
    with VideoWriter(tmp_path / "a.mp4", fps=20, audio_from=source, audio_start=Fraction(3, 4)) as writer:
        writer.append(moving(10))
    assert loud_seconds(tmp_path / "a.mp4") == pytest.approx(0.25, abs=0.03)


def test_sound_shorter_than_the_pictures(tmp_path):
    source = with_sound(tmp_path / "source.mp4", seconds=0.5)
    with VideoWriter(tmp_path / "a.mp4", fps=20, audio_from=source) as writer:
        writer.append(moving(40))
    assert open_video(tmp_path / "a.mp4").frames == 40
    assert samples(tmp_path / "a.mp4").shape[1] / RATE == pytest.approx(0.5, abs=0.05)


def test_a_late_sound_stays_late():
    """A gap becomes silence, an early start is cut, a rounded time stamp is neither."""

    def continuous(starts: list[float], *, origin: float) -> np.ndarray:
        frames = []
        for start in starts:
            frame = av.AudioFrame.from_ndarray(np.ones((1, 100), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 1000, Fraction(1, 1000), round(start * 1000)
            frames.append(frame)

        class Source:
            streams = SimpleNamespace(audio=[SimpleNamespace(rate=1000, channels=1)], video=[])

            def decode(self, stream):
                return iter(frames)

        blocks = list(audio._continuous(Source(), start=Fraction(origin)))
        return np.concatenate(blocks, axis=1)[0]

    assert continuous([0.0, 0.1], origin=0).tolist() == [1] * 200
    assert continuous([0.0, 0.101], origin=0).tolist() == [1] * 200
    assert continuous([0.25], origin=0).tolist() == [0] * 250 + [1] * 100
    assert continuous([0.0, 0.3], origin=0).tolist() == [1] * 100 + [0] * 200 + [1] * 100
    assert continuous([0.0, 0.1], origin=0.125).tolist() == [1] * 75


def test_sound_in_memory_is_cut_to_the_frames(tmp_path):
    sound = audio.read_sound(with_sound(tmp_path / "tone.mp4"), seconds=Fraction(2))
    assert sound.rate == RATE
    assert sound.samples.shape == (2, 2 * RATE)
    with VideoWriter(tmp_path / "a.mp4", fps=Fraction(30000, 1001), sound=sound) as writer:
        writer.append(moving(20))
    assert samples(tmp_path / "a.mp4").shape[1] / RATE == pytest.approx(20 * 1001 / 30000, abs=0.05)
    assert open_video(tmp_path / "a.mp4").fps == Fraction(30000, 1001)


@pytest.mark.parametrize("opened", [False, True])
def test_sound_is_read_no_further_than_needed(tmp_path, opened):
    path = with_sound(tmp_path / "tone.mp4", layout="mono")
    source = io.BytesIO(path.read_bytes()) if opened else path
    sound = audio.read_sound(source, seconds=Fraction(1, 3))
    assert sound.samples.shape == (1, RATE // 3)
    assert np.abs(sound.samples).max() > 0.4


def test_a_silent_video_has_no_sound_to_read(tmp_path):
    with VideoWriter(tmp_path / "silent.mp4", fps=25) as writer:
        writer.append(moving(3))
    assert audio.read_sound(tmp_path / "silent.mp4", seconds=Fraction(1)) is None
    with pytest.raises(VideoError, match="cannot be read"):
        audio.read_sound(io.BytesIO(b"no video"), seconds=Fraction(1))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_metadata_of_any_name_is_kept(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with VideoWriter(path, fps=25, metadata={**mark.MARK, "workflow": '{"nodes": []}'}) as writer:
        writer.append(moving(2))
    with av.open(str(path)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert found["digitalsourcetype"] == mark.VALUE
    assert found["comment"] == mark.COMMENT
    assert found["workflow"] == '{"nodes": []}'


def test_silent_source_gives_a_silent_video(tmp_path):
    with VideoWriter(tmp_path / "silent.mp4", fps=25) as writer:
        writer.append(moving(3))
    for source in (tmp_path / "silent.mp4", tmp_path):
        with VideoWriter(tmp_path / "a.mp4", fps=25, audio_from=source) as writer:
            writer.append(moving(3))
        assert not open_video(tmp_path / "a.mp4").has_audio


def test_bad_sound_source_is_named_and_nothing_left(tmp_path):
    (tmp_path / "text.mp4").write_text("no video" * 50)
    for source, message in (("text.mp4", "cannot be read"), ("none.mp4", "no such file")):
        with (
            pytest.raises(VideoError, match=f"audio source.*{source}.*{message}"),
            VideoWriter(tmp_path / "a.mp4", fps=25, audio_from=tmp_path / source),
        ):
            pytest.fail("the block must not run")
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


# --- whole or not at all -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OSError(5, "not ours")])
def test_any_exception_removes_the_partial_file_and_comes_through(tmp_path, error):
    target = tmp_path / "a.mp4"
    target.write_bytes(b"an older video")
    with pytest.raises(type(error)) as caught, VideoWriter(target, fps=25) as writer:
        writer.append(noise(60))
        assert len(list(tmp_path.iterdir())) == 2
        raise error
    assert caught.value is error
    assert list(tmp_path.iterdir()) == [target] and target.read_bytes() == b"an older video"


class FullDisk(io.FileIO):
    """A file on a disk with room for some bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self.room = room

    def write(self, data) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 40, 5_000, 100_000])
def test_full_disk(tmp_path, monkeypatch, room):
    """At the header, in the frames, or while closing."""
    monkeypatch.setattr(write, "open_for_muxer", lambda path: FullDisk(path, room))
    with (
        pytest.raises(VideoError, match=r"a\.mp4: cannot be written \(No space left on device\).*free some"),
        VideoWriter(tmp_path / "a.mp4", fps=25, crf=5) as writer,
    ):
        for _ in range(3):
            writer.append(noise(20))
    assert not list(tmp_path.iterdir())


def test_full_disk_while_closing(tmp_path, monkeypatch):
    files = []

    def create(path):
        files.append(FullDisk(path, 10**9))
        return files[0]

    monkeypatch.setattr(write, "open_for_muxer", create)
    with (
        pytest.raises(VideoError, match="No space left on device"),
        VideoWriter(tmp_path / "a.mp4", fps=25) as writer,
    ):
        writer.append(noise(5))
        files[0].room = 60
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_limit_of_the_operating_system(tmp_path):
    """A real failing write: the system refuses files beyond 20 kB."""
    script = f"""
        import resource, sys
        sys.path.insert(0, {str(ROOT)!r})
        import numpy as np
        from model_core.errors import VideoError
        from model_core.video import VideoWriter
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        frames = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), np.uint8)
        try:
            with VideoWriter({str(tmp_path / "a.mp4")!r}, fps=25) as writer:
                writer.append(frames)
        except VideoError as error:
            sys.exit(f"named: {{error}}")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 1 and "named: video" in done.stderr and "File too large" in done.stderr
    assert not list(tmp_path.iterdir())


def test_no_frames(tmp_path):
    with (
        pytest.raises(VideoError, match="no frames were written"),
        VideoWriter(tmp_path / "a.mp4", fps=25),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_target_in_a_file(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(VideoError, match="cannot be written"),
        VideoWriter(tmp_path / "file" / "a.mp4", fps=25),
    ):
        pytest.fail("the block must not run")


def test_target_is_a_folder(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with (
        pytest.raises(VideoError, match="cannot be written"),
        VideoWriter(tmp_path / "a.mp4", fps=25) as writer,
    ):
        writer.append(moving(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((2, 0, 8, 3), np.uint8),
    ],
)
def test_bad_frames(tmp_path, bad):
    with (
        pytest.raises(InputError, match=r"expected frames \(n, H, W, 3\) uint8"),
        VideoWriter(tmp_path / "a.mp4", fps=25) as writer,
    ):
        writer.append(bad)
    assert not list(tmp_path.iterdir())


def test_change_of_size(tmp_path):
    with (
        pytest.raises(InputError, match=r"\(96, 64\) after \(96, 128\)"),
        VideoWriter(tmp_path / "a.mp4", fps=25) as writer,
    ):
        writer.append(moving(2))
        writer.append(moving(2, width=64))


@pytest.mark.parametrize("bad", [{"fps": 0}, {"crf": 52}, {"crf": -1}, {"audio_start": -1}])
def test_settings_out_of_range(tmp_path, bad):
    with pytest.raises(InputError, match="must be positive"):
        VideoWriter(tmp_path / "a.mp4", **{"fps": 25, **bad})


def test_unknown_type(tmp_path):
    with pytest.raises(InputError, match=r"'\.avi'; use \.mp4"):
        VideoWriter(tmp_path / "a.avi", fps=25)
