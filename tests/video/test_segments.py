"""Pieces and what they are joined to: the same bits in any number of goes, at the times asked for, with sound."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.errors import InputError, VideoError
from model_core.video.read import open_video, read_shots
from model_core.video.segments import Clock, SegmentWriter, join_segments

RATE = Fraction(30000, 1001)


def moving(count: int, *, height: int = 64, width: int = 96) -> np.ndarray:
    """(count, height, width, 3) uint8: each frame can be told from its neighbours."""
    ramp = np.linspace(40, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    return np.stack([np.roll(ramp, 5 * index, axis=1) for index in range(count)]).astype(np.uint8)


def pieces(folder: Path, frames: np.ndarray, edges: list[int], *, fps: Fraction = RATE) -> list[Path]:
    made = []
    for number, (start, stop) in enumerate(pairwise(edges)):
        made.append(folder / f"{number}.mp4")
        with SegmentWriter(made[-1], fps=fps) as writer:
            for frame in frames[start:stop]:
                writer.append(frame)
    return made


def steady(count: int, fps: Fraction = RATE) -> Clock:
    return Clock(tuple(number / fps for number in range(count)), fps)


def test_pieces_join_without_a_loss_in_order(tmp_path):
    frames = moving(33)
    segments = pieces(tmp_path, frames, [0, 12, 13, 33])  # a piece of one frame too
    output = join_segments(segments, tmp_path / "out.mp4", clock=steady(33), metadata={"made.by": "test"})
    info = open_video(output)
    assert (info.frames, info.fps, info.size) == (33, RATE, (64, 96))
    shots = list(read_shots(output))
    assert [round(shot.start * RATE) for shot in shots] == list(range(33))
    assert max(np.abs(shot.pixels().astype(int) - frame).mean() for shot, frame in zip(shots, frames, strict=True)) < 4
    with av.open(str(output)) as container:
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0], "a piece begins with a key frame, which is seen as a jolt"
    with av.open(str(output)) as container:
        assert container.metadata["made.by"] == "test"
    content = output.read_bytes()
    assert content.find(b"moov") < content.find(b"mdat"), "a player has to wait for the end of the file"


def test_a_piece_loses_nothing_but_colour_resolution(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 1), np.uint8).repeat(3, axis=3)
    (piece,) = pieces(tmp_path, frames, [0, 3])
    made = np.stack([shot.pixels() for shot in read_shots(piece)])
    assert np.abs(made.astype(int) - frames).max() <= 2


def test_the_same_frames_are_the_same_bits(tmp_path):
    outputs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        segments = pieces(tmp_path / name, moving(20), [0, 11, 20])
        outputs.append(join_segments(segments, tmp_path / f"{name}.mp4", clock=steady(20)).read_bytes())
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_frames_are_shown_when_the_clock_says(tmp_path, suffix):
    starts = tuple(Fraction(number, 25) + Fraction(number % 3, 90) for number in range(20))
    clock = Clock(starts, Fraction(25))
    assert not clock.constant
    output = join_segments(
        pieces(tmp_path, moving(20), [0, 9, 20], fps=Fraction(25)), tmp_path / f"out{suffix}", clock=clock
    )
    shown = [shot.start for shot in read_shots(output)]
    assert len(shown) == 20 and max(abs(a - b) for a, b in zip(shown, starts, strict=True)) <= Fraction(1, 1000)


@settings(max_examples=50)
@given(st.lists(st.fractions(0, 1, max_denominator=90000), min_size=1, max_size=20), st.sampled_from([RATE, 25]))
def test_ticks_ascend_and_stay_near_their_times(steps, fps):
    starts = [Fraction(0)]
    for step in steps:
        starts.append(starts[-1] + step)
    ticks, tick = Clock(tuple(starts), Fraction(fps)).ticks()
    assert all(before < after for before, after in pairwise(ticks))
    # frames of one and the same time are moved apart by a tick each
    assert all(
        abs(at * tick - start) <= Fraction(2, 1000) + len(steps) * tick for at, start in zip(ticks, starts, strict=True)
    )


def test_pieces_of_other_length_are_refused(tmp_path):
    segments = pieces(tmp_path, moving(8), [0, 8])
    for frames in (7, 9):
        with pytest.raises(VideoError, match=r"out.mp4: its pieces have .* frames; make it anew"):
            join_segments(segments, tmp_path / "out.mp4", clock=steady(frames))


def test_a_piece_is_whole_or_not_there(tmp_path):
    with pytest.raises(InputError, match="resize them"), SegmentWriter(tmp_path / "a.mp4", fps=RATE) as writer:
        writer.append(moving(1)[0])
        writer.append(moving(1, height=32)[0])
    with pytest.raises(VideoError, match="no frames"), SegmentWriter(tmp_path / "a.mp4", fps=RATE):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_sound_keeps_its_channels_and_length(tmp_path, layout):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    source = tmp_path / "source.mp4"
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout=layout)
        time = np.arange(48000) / 48000
        tones = np.stack([0.4 * np.sin(2 * np.pi * (300 + 200 * c) * time) for c in range(channels)])
        frame = av.AudioFrame.from_ndarray(tones.astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for pixels in moving(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    clock = steady(20, Fraction(25))
    segments = pieces(tmp_path, moving(20), [0, 20], fps=Fraction(25))
    output = join_segments(segments, tmp_path / "out.mp4", clock=clock, audio_from=source)
    with av.open(str(output)) as container:
        stream = container.streams.audio[0]
        assert stream.channels == channels
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)
    assert samples.shape[1] / 48000 == pytest.approx(0.8, abs=0.03)
    for channel in range(channels):
        if channel == 3:
            continue  # the bass channel of 5.1 loses what is not bass
        spectrum = np.abs(np.fft.rfft(samples[channel, 4000:28000]))
        assert np.argmax(spectrum) * 2 == pytest.approx(300 + 200 * channel, abs=4)
