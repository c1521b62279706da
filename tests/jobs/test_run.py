"""A job from files to a video: as long as the driver, going on where it was left, pasted, and nothing left behind."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from model_core.errors import CancelledError, FaceNotFoundError, InputError, NotFiniteError, VideoError
from model_core.faces.analyze import analyze_frames
from model_core.files import LOCK
from model_core.images import to_float, to_uint8
from model_core.jobs import FaceSettings, Watcher, animate_video, chunks, faces, run
from model_core.jobs.folder import MARKER, JobFolder
from model_core.motion.scenes import MotionSettings, PlacedMotion
from model_core.pipeline import animate, encode_reference
from model_core.video.mark import KEY, VALUE
from model_core.video.read import open_video, read_shots, read_video
from tests.whole_line import signal_of


def stop_after(count: int):
    """Cancels before the chunk after ``count`` finished ones."""
    begun = []

    def observe(event):
        if event.step == 0 and event.window == 1 and not event.step_done:
            begun.append(event)
            if len(begun) > count:
                raise CancelledError("stopped")

    return observe


def stop_writing(monkeypatch, frames: int) -> None:
    """Cancel before the next frame of a chunk is written."""
    append, written = chunks.SegmentWriter.append, []

    def stop(self, frame):
        if len(written) == frames:
            raise CancelledError("stopped")
        written.append(1)
        append(self, frame)

    monkeypatch.setattr(chunks.SegmentWriter, "append", stop)


def looks(monkeypatch, analyzer) -> list[int]:
    """One entry for every frame that is searched for faces from now on."""
    seen = []
    original = type(analyzer).detect
    monkeypatch.setattr(type(analyzer), "detect", lambda self, frame: (seen.append(1), original(self, frame))[1])
    return seen


def test_the_video_is_as_long_as_its_driver_and_sounds_and_says_what_it_is(job, do):
    result = do(job)
    info = open_video(job.output)
    assert (result.frames, result.resumed) == (20, 0)
    assert (info.frames, info.fps, info.size, info.has_audio) == (20, 25, (96, 96), True)
    assert [path.name for path in job.output.parent.iterdir()] == ["made.mp4"]
    with av.open(str(job.output)) as container:
        assert container.metadata[KEY] == VALUE
        assert container.streams.audio[0].duration * container.streams.audio[0].time_base == pytest.approx(
            0.8, abs=0.05
        )


def test_a_finished_job_is_left_alone_and_a_changed_one_is_not(job, do):
    do(job)
    before, said = job.output.read_bytes(), []
    assert do(job, said=said).resumed == 20
    assert "finished already" in said[0] and job.output.read_bytes() == before
    do(dataclasses.replace(job, sampling=dataclasses.replace(job.sampling, seed=1)))
    assert job.output.read_bytes() != before


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "model"},
        {"size": "portrait"},
        {"size": 128, "sampling": 0},
        {"paste": "reference"},
        {"paste": "driving"},
    ],
)
@pytest.mark.parametrize("finished", [1, 3])
def test_a_stopped_job_goes_on_and_gives_the_same_bits(job, do, monkeypatch, square_analyzer, changes, finished):
    if changes.get("sampling") == 0:
        changes = {**changes, "sampling": dataclasses.replace(job.sampling, steps=0)}
    job = dataclasses.replace(job, **changes)
    do(job)
    undisturbed = job.output.read_bytes()
    job.output.unlink()
    with pytest.raises(CancelledError), monkeypatch.context() as patch:
        stop_writing(patch, 5 * finished)
        do(job)
    assert not job.output.exists() and job.output.with_name("made.mp4.job").is_dir()
    seen, said = looks(monkeypatch, square_analyzer), []
    assert do(job, said=said).resumed == 5 * finished
    assert said == [f"going on: {finished} of 4 chunks are finished"]
    assert len(seen) == 1, "only the portrait is looked at again"
    assert job.output.read_bytes() == undisturbed
    assert [path.name for path in job.output.parent.iterdir()] == ["made.mp4"]


def test_a_chunk_that_is_not_finite_is_not_written_and_those_before_it_are_kept(job, do, tiny_model, monkeypatch):
    plain, calls = tiny_model.backbone.predict, []

    def breaks(latents, timestep, conditioning, branches):
        calls.append(1)
        scale = float("nan") if len(calls) == 5 else 1.0  # the third chunk's first window
        return {branch: value * scale for branch, value in plain(latents, timestep, conditioning, branches).items()}

    with monkeypatch.context() as patch:
        patch.setattr(tiny_model.backbone, "predict", breaks)
        with pytest.raises(NotFiniteError, match="model tiny: made latents"):
            do(job)
    assert not job.output.exists()
    assert len(list(job.output.with_name("made.mp4.job").glob("*.mp4"))) == 2
    assert do(job).resumed == 10


def test_driving_frames_themselves_drive_a_job_and_its_history(job, tiny_dit, square_analyzer):
    job = dataclasses.replace(job, sampling=dataclasses.replace(job.sampling, scheduler="euler"))
    shown = []

    def planned(chunks, finished, motion):
        shown.append(motion.take(range(20)).frames)

    def do(**watched):
        return animate_video(job, model=tiny_dit, analyzer=square_analyzer, watcher=Watcher(**watched))

    do(planned=planned)
    undisturbed = job.output.read_bytes()
    driving = torch.cat([to_float(frame) for frame in read_video(job.driving)])
    track, own = (analyze_frames(to_uint8(part), square_analyzer, name="") for part in (driving, job.image))
    reference = encode_reference(tiny_dit, job.image, track=own)
    expected = signal_of(tiny_dit, track, reference=reference.track, frames=driving)
    torch.testing.assert_close(shown[0], expected.frames, atol=1e-6, rtol=0)
    assert shown[0].amax(dim=(1, 2, 3)).min() > 0.1
    job.output.unlink()
    with pytest.raises(CancelledError):
        do(observer=stop_after(2))
    assert do().resumed == 10
    assert job.output.read_bytes() == undisturbed


def test_blendshapes_wait_on_disk_with_the_faces(job, square_analyzer, monkeypatch, tmp_path):
    seen = iter(np.linspace(0, 1, 40, dtype=np.float32))
    plain = type(square_analyzer).detect

    def with_blendshapes(self, frame):
        return [dataclasses.replace(face, blendshapes=np.full(51, next(seen))) for face in plain(self, frame)]

    monkeypatch.setattr(faces, "BLOCK", 8)
    read = []
    for number, detect in enumerate((with_blendshapes, plain)):
        monkeypatch.setattr(type(square_analyzer), "detect", detect)
        with JobFolder.opened(tmp_path / f"folder {number}") as place:
            faces.find_faces(place, job.driving, square_analyzer, limit=None)
            own = analyze_frames(to_uint8(job.image), square_analyzer, name="")
            face = faces.follow_driving_face(place, job.driving, FaceSettings(), reference=own, motion=MotionSettings())
            read.append(face.track.take(range(6, 11)).blendshapes)
    assert read[0].dtype == np.float32
    np.testing.assert_allclose(read[0], np.linspace(0, 1, 40)[6:11, None].repeat(51, axis=1), atol=1e-6)
    assert read[1] is None


def test_a_changed_setting_starts_anew_and_says_so_but_keeps_the_faces(job, do, monkeypatch, square_analyzer):
    with pytest.raises(CancelledError):
        do(job, observer=stop_after(2))
    changed = dataclasses.replace(job, sampling=dataclasses.replace(job.sampling, seed=5))
    seen, said = looks(monkeypatch, square_analyzer), []
    assert do(changed, said=said).resumed == 0
    assert said == ["starting anew: changed since the last run: sampling.seed; found faces are kept"]
    assert len(seen) == 1
    made = job.output.read_bytes()
    job.output.unlink()
    do(changed)
    assert job.output.read_bytes() == made


def test_another_driving_video_of_the_same_name_starts_wholly_anew(job, do, square_frames):
    with pytest.raises(CancelledError):
        do(job, observer=stop_after(2))
    frames = square_frames(20)
    with chunks.SegmentWriter(job.driving, fps=Fraction(25)) as writer:
        for frame in frames[::-1]:
            writer.append(frame)
    said = []
    do(job, said=said)
    assert said == ["starting anew: changed since the last run: driving"]


def test_a_damaged_chunk_is_not_trusted(job, do):
    with pytest.raises(CancelledError):
        do(job, observer=stop_after(2))
    chunk = job.output.with_name("made.mp4.job") / "chunk-00001.mp4"
    chunk.write_bytes(chunk.read_bytes()[:-10] + bytes(10))
    said = []
    assert do(job, said=said).resumed == 0
    assert "chunk-00001.mp4 is damaged" in said[0]


def test_two_jobs_on_one_output_do_not_meet(job, do):
    with (
        JobFolder.opened(job.output.with_name("made.mp4.job")),
        pytest.raises(InputError, match=r"made.mp4.job: another process \(\d+\) is at work on this video"),
    ):
        do(job)
    do(job)
    assert open_video(job.output).frames == 20


def test_a_job_does_not_write_over_its_driver(job, do, tmp_path):
    before = job.driving.read_bytes()
    (tmp_path / "link.mp4").symlink_to(job.driving)
    for output in (job.driving, tmp_path / "link.mp4", tmp_path / "new" / ".." / "driving.mp4"):
        with pytest.raises(InputError, match=r"video .*: is the same as the driving video"):
            do(dataclasses.replace(job, output=output))
    with pytest.raises(InputError, match=r"job folder .*: is the folder of"):
        do(job, folder=tmp_path)
    assert job.driving.read_bytes() == before
    assert {"driving.mp4", "link.mp4"} == {path.name for path in tmp_path.iterdir() if path.is_file()}


def test_the_job_folder_may_lie_elsewhere(job, do, tmp_path, monkeypatch):
    def other_disk(source, target):
        raise OSError(18, "Invalid cross-device link")

    do(job, folder=tmp_path / "scratch")
    made = job.output.read_bytes()
    job.output.unlink()
    real = run.os.replace
    monkeypatch.setattr(run.os, "replace", lambda a, b: other_disk(a, b) if "joined" in str(a) else real(a, b))
    do(job, folder=tmp_path / "scratch")
    assert job.output.read_bytes() == made and not (tmp_path / "scratch").exists()


OTHERS = [".hidden", "chunk-list.txt", "chunk-mine.mp4", "faces-me.safetensors", "lock", "notes.json", "x.mp4"]


def test_a_job_takes_away_its_own_files_only(job, do, tmp_path):
    shared = tmp_path / "shared"
    with JobFolder.opened(shared):
        for name in OTHERS:
            (shared / name).write_text("someone's")
        (shared / "chunk-00009.mp4").mkdir()  # no file at all
    do(job, folder=shared)
    assert sorted(path.name for path in shared.iterdir()) == sorted([*OTHERS, "chunk-00009.mp4"])
    assert {(shared / name).read_text() for name in OTHERS} == {"someone's"}


@pytest.mark.parametrize("name", ["lock", "chunk-00000.mp4", "joined.mp4", "track.safetensors", "job.json", "a.txt"])
def test_a_folder_that_is_not_a_jobs_is_refused_and_stays(job, do, tmp_path, name, monkeypatch, square_analyzer):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / name).write_text('{"format": 2}')
    seen = looks(monkeypatch, square_analyzer)
    with pytest.raises(InputError, match=f"job folder {mine}: is not a job's, {name} lies in it; choose an empty"):
        do(job, folder=mine)
    assert [(path.name, path.read_text()) for path in mine.iterdir()] == [(name, '{"format": 2}')] and seen == []


def test_an_empty_folder_and_one_with_a_lock_alone_are_taken(job, do, tmp_path):
    for number, names in enumerate(([], [LOCK], [LOCK, ".vividportraits-job.0123abcd.txt"])):
        (tmp_path / str(number)).mkdir()
        for name in names:
            (tmp_path / str(number) / name).touch()
        do(dataclasses.replace(job, frames=3 + number), folder=tmp_path / str(number))
        assert not (tmp_path / str(number)).exists()


@pytest.mark.parametrize("name", [LOCK, "joined.mp4", "chunk-00002.mp4", "state.safetensors", "job.json"])
def test_planted_links_are_not_followed(job, do, tmp_path, name):
    with pytest.raises(CancelledError):
        do(job, observer=stop_after(2))
    place, precious = job.output.with_name("made.mp4.job"), tmp_path / "precious"
    precious.write_bytes(b"someone's")
    (place / name).unlink(missing_ok=True)
    (place / name).symlink_to(precious)
    with pytest.raises((InputError, VideoError), match=f"{name} is a link|cannot be made"):
        do(job)
    assert precious.read_bytes() == b"someone's" and not job.output.exists()
    (place / name).unlink(missing_ok=True)
    assert do(job).frames == 20
    assert precious.read_bytes() == b"someone's"


def test_a_link_is_no_marker(job, do, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "marker").write_text("someone's")
    (mine / MARKER).symlink_to("marker")
    with pytest.raises(InputError, match="is not a job's"):
        do(job, folder=mine)
    assert (mine / "marker").read_text() == "someone's"


def test_a_job_folder_that_is_a_link_is_not_followed(job, do, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    job.output.parent.mkdir()
    job.output.with_name("made.mp4.job").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"made\.mp4\.job: is a link; give the folder that it leads to"):
        do(job)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_unfinished_job_from_before_there_was_a_marker_goes_on(job, do):
    do(job)
    undisturbed = job.output.read_bytes()
    job.output.unlink()
    with pytest.raises(CancelledError):
        do(job, observer=stop_after(2))
    place = job.output.with_name("made.mp4.job")
    (place / MARKER).unlink()
    (place / LOCK).rename(place / "lock")
    (place / "lock").write_text("4711")
    assert do(job).resumed == 10
    assert job.output.read_bytes() == undisturbed
    assert [path.name for path in job.output.parent.iterdir()] == ["made.mp4"]


def test_a_finished_job_needs_no_folder(job, do):
    do(job)
    mine = job.output.with_name("made.mp4.job")
    mine.mkdir()
    (mine / "chunk-00000.mp4").write_text("someone's")
    assert do(job).resumed == 20
    assert (mine / "chunk-00000.mp4").read_text() == "someone's"


def test_only_a_part_of_the_driver(job, do):
    do(dataclasses.replace(job, frames=7))
    assert open_video(job.output).frames == 7
    assert open_video(job.output).has_audio
    do(dataclasses.replace(job, frames=7, sound=False))
    assert not open_video(job.output).has_audio


def test_times_of_a_variable_rate_are_kept(job, do, square_frames):
    times = [0, 40, 80, 100, 180, 190, 260, 300, 333, 400]
    with av.open(str(job.driving), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for at, pixels in zip(times, square_frames(10), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    do(job)
    assert [round(float(shot.start) * 1000) for shot in read_shots(job.output)] == times


def test_the_rotation_of_a_phone_is_respected(job, do, square_frames, tmp_path):
    """Pasted into the driving frame, the video stands upright, as the driver is shown."""
    with av.open(str(job.driving)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        stream.codec_context  # noqa: B018 - as PyAV wants it
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    content = bytearray((tmp_path / "turned.mp4").read_bytes())
    at = content.find(b"tkhd") + 4 + 40  # version and flags, then 36 bytes up to the display matrix
    quarter = [0, 0x10000, 0, -0x10000, 0, 0, 96 << 16, 0, 0x40000000]
    content[at : at + 36] = b"".join((value & 0xFFFFFFFF).to_bytes(4, "big") for value in quarter)
    (tmp_path / "turned.mp4").write_bytes(content)
    upright, turned = read_video(job.driving), read_video(tmp_path / "turned.mp4")
    assert np.array_equal(turned[0], np.rot90(upright[0], -1))
    do(dataclasses.replace(job, driving=tmp_path / "turned.mp4", paste="driving"))
    made = read_video(job.output)
    corner = np.abs(made[:, :8, :8].astype(int) - turned[:, :8, :8]).mean()
    assert made.shape == (20, 96, 96, 3) and corner < 4


def frames_of(monkeypatch) -> list[np.ndarray]:
    """Every frame that is written from now on."""
    frames = []
    append = chunks.SegmentWriter.append
    monkeypatch.setattr(
        chunks.SegmentWriter, "append", lambda self, frame: (frames.append(frame), append(self, frame))[1]
    )
    return frames


def test_pasting_leaves_the_rest_of_the_driving_frame_bit_for_bit(job, do, monkeypatch):
    frames = frames_of(monkeypatch)
    do(dataclasses.replace(job, paste="driving", framing="face"))
    base = read_video(job.driving)
    assert len(frames) == 20
    touched = np.any(np.stack(frames) != base, axis=(0, 3))
    assert touched.any()
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    # the face alone, which is taller than the square it is found in
    assert rows[0] >= 10 and rows[-1] <= 93 and columns[0] >= 10 and columns[-1] <= 85
    assert not touched[:10].any() and not touched[:, :10].any()


def test_without_steps_the_first_frame_is_the_portrait_itself(job, do, monkeypatch):
    frames = frames_of(monkeypatch)
    do(dataclasses.replace(job, sampling=dataclasses.replace(job.sampling, steps=0)))
    apart = np.abs(frames[0].astype(int) - to_uint8(job.image)[0])
    assert np.percentile(apart, 95) <= 2
    assert np.abs(frames[-1].astype(int) - frames[0]).max() > 30


def test_motion_that_is_too_much_is_said(job, do, monkeypatch):
    said = []
    limited = lambda self: np.arange(len(self)) < 3  # noqa: E731
    monkeypatch.setattr(PlacedMotion, "limited", limited)
    do(job, said=said)
    assert any("motion limited in 3 of 20 frames" in words for words in said)


def test_a_long_gap_shows_the_driving_frame_itself(job, do, square_frames, monkeypatch):
    frames = square_frames(40)
    frames[10:30] = 30
    with chunks.SegmentWriter(job.driving, fps=Fraction(25)) as writer:
        for frame in frames:
            writer.append(frame)
    with pytest.raises(FaceNotFoundError, match=r"driving.mp4.*10-29.*max_gap"):
        do(job)
    made = []
    append = chunks.SegmentWriter.append
    monkeypatch.setattr(
        chunks.SegmentWriter, "append", lambda self, frame: (made.append(frame), append(self, frame))[1]
    )
    faces = FaceSettings(max_gap=30, missing="hold")
    do(dataclasses.replace(job, faces=faces, paste="driving"))
    shown = read_video(job.driving)
    same = [np.array_equal(a, b) for a, b in zip(made, shown, strict=True)]
    assert all(same[10:30]) and not any(same[:6]) and not any(same[34:])


def test_a_face_problem_costs_the_chunks_nothing_and_a_short_one_leaves_nothing(job, do):
    with pytest.raises(FaceNotFoundError, match="no.*index 3"):
        do(dataclasses.replace(job, faces=FaceSettings(face_index=3)))
    assert list(job.output.parent.iterdir()) == []


def test_history_is_restored_to_the_bit(job, do, tiny_model, monkeypatch):
    """The chunk after a restart is given exactly what an undisturbed run gives it."""
    given: list[dict[int, torch.Tensor]] = []

    def watched(*args, history=None, first_chunk=0, **rest):
        given.append({})
        prepare = tiny_model.backbone.prepare

        def keep(inputs):
            number = first_chunk + len(given[-1])
            given[-1][number] = None if inputs.history is None else inputs.history
            return prepare(inputs)

        with monkeypatch.context() as patch:
            patch.setattr(tiny_model.backbone, "prepare", keep)
            yield from animate(*args, history=history, first_chunk=first_chunk, **rest)

    monkeypatch.setattr(chunks, "animate", watched)
    do(job)
    job.output.unlink()
    with pytest.raises(CancelledError):
        do(job, observer=stop_after(2))
    do(job)
    whole, _, rest = given
    assert sorted(rest) == [2, 3]
    for number in rest:
        assert torch.equal(rest[number].latents, whole[number].latents)
        assert torch.equal(rest[number].motion, whole[number].motion)


def test_an_output_that_cannot_be_written_is_told_before_the_work(job, do, tmp_path, monkeypatch, square_analyzer):
    (tmp_path / "file").write_text("in the way")
    seen = looks(monkeypatch, square_analyzer)
    for output, words in (
        (tmp_path / "file" / "made.mp4", "cannot be written there"),
        (tmp_path / "made.gif", "unknown type '.gif'"),
        (tmp_path, "unknown type"),
    ):
        with pytest.raises((InputError, VideoError), match=words) as refusal:
            do(dataclasses.replace(job, output=output))
        assert str(output) in str(refusal.value)
    assert seen == []
