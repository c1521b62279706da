"""Nothing that is read is written over, whatever way its path goes; and a folder has one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_core.errors import InputError
from model_core.files import LOCK, locked_folder, refuse_overwriting


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a driving video, its links, a folder of frames, and a link to the whole folder."""
    folder = tmp_path / "here"
    (folder / "frames").mkdir(parents=True)
    (folder / "drive.mp4").write_bytes(b"video")
    (folder / "frames" / "0.png").write_bytes(b"frame")
    (folder / "soft.mp4").symlink_to("drive.mp4")
    os.link(folder / "drive.mp4", folder / "hard.mp4")
    (tmp_path / "alias").symlink_to("here", target_is_directory=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "path", ["drive.mp4", "./drive.mp4", "frames/../drive.mp4", "soft.mp4", "hard.mp4", "../alias/drive.mp4"]
)
def test_an_input_is_recognised_by_every_path(place: Path, path: str) -> None:
    for output in (path, str(place / path)):
        with pytest.raises(InputError, match=r"--output .*: is the same as --driving drive\.mp4; choose another place"):
            refuse_overwriting([("--output", output)], [("--driving", "drive.mp4")])


@pytest.mark.parametrize(
    ("first", "second"), [("new.mp4", "./new.mp4"), ("new.mp4", "../alias/new.mp4"), ("soft.mp4", "hard.mp4")]
)
def test_two_outputs_do_not_meet_whether_they_exist_or_not(place: Path, first: str, second: str) -> None:
    with pytest.raises(InputError, match=f"--sheet {second}: is the same as --output {first}"):
        refuse_overwriting([("--output", first), ("--sheet", second)])


def test_a_folder_stands_for_what_lies_in_it(place: Path) -> None:
    for output in ("frames/0.png", "frames/new.png", "../alias/frames/deep/new.png"):
        with pytest.raises(InputError, match=f"--sheet {output}: lies in --driving frames"):
            refuse_overwriting([("--sheet", output)], [("--driving", "frames")])
    with pytest.raises(InputError, match=r"--job-folder \.: is the folder of --driving drive\.mp4"):
        refuse_overwriting([("--job-folder", ".")], [("--driving", "drive.mp4")])


def test_what_is_apart_passes(place: Path) -> None:
    (place / "copy.mp4").write_bytes(b"video")  # the same content is not the same file
    outputs = [("--output", "made.mp4"), ("--sheet", None), ("--job-folder", "made.mp4.job"), ("--plot", "copy.mp4")]
    refuse_overwriting(outputs, [("--driving", "drive.mp4"), ("--reference", "soft.mp4"), ("--mask", None)])
    assert sorted(path.name for path in place.iterdir()) == ["copy.mp4", "drive.mp4", "frames", "hard.mp4", "soft.mp4"]


ROOT = Path(__file__).parent.parent
HOLD = """
import sys, time
from pathlib import Path
from model_core.files import locked_folder
with locked_folder(Path(sys.argv[1]), holder="who.txt", work="it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_process_and_a_killed_one_does_not_block(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    refused = (
        rf"{folder}: another process \({other.pid}\) is at work on this video; wait for it, or give another output"
    )
    with pytest.raises(InputError, match=refused), locked_folder(folder, holder="who.txt", work="this video"):
        pytest.fail("two processes hold the folder")
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with locked_folder(folder, holder="who.txt", work="this video"):
        assert f"process {os.getpid()}" in (folder / "who.txt").read_text()
        with pytest.raises(InputError, match=rf"\({os.getpid()}\)"), locked_folder(folder, holder="who.txt", work="it"):
            pytest.fail("one process holds the folder twice")


def test_the_owner_may_take_the_folder_away(tmp_path: Path) -> None:
    for _ in range(2):
        with locked_folder(tmp_path / "folder", holder="who.txt", work="it"):
            for name in ("who.txt", LOCK):
                (tmp_path / "folder" / name).unlink()
            (tmp_path / "folder").rmdir()
        assert not (tmp_path / "folder").exists()


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("someone's")
    (tmp_path / LOCK).symlink_to("precious")
    (tmp_path / "who.txt").symlink_to("precious")
    with pytest.raises(OSError), locked_folder(tmp_path, holder="who.txt", work="it"):  # noqa: B017
        pytest.fail("a link was followed")
    (tmp_path / LOCK).unlink()
    with locked_folder(tmp_path, holder="who.txt", work="it"):
        assert not (tmp_path / "who.txt").is_symlink()
    assert (tmp_path / "precious").read_text() == "someone's"
