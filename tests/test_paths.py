"""Files and folders that are named: told before any work what is in the way, and nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_core.errors import InputError
from model_core.paths import exists, readable_file, readable_folder, writable_file, writable_folder, writing

LONG = "x" * 300


@pytest.fixture
def nobody() -> Iterator[None]:
    """The system's administrator may read and write everything; here nobody special asks."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A whole file that may not be read, in a folder that may not be written."""
    folder = tmp_path / "locked"
    folder.mkdir()
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    file = folder / "whole.png"
    file.write_bytes(b"whole")
    file.chmod(0)
    folder.chmod(0o555)
    return file


def test_a_file_that_may_not_be_read_is_not_called_damaged(locked: Path, nobody: None) -> None:
    with pytest.raises(InputError, match=r"image .*png: cannot be opened \(Permission denied\); it may be whole"):
        readable_file(locked, name="image")


def test_a_folder_that_may_not_be_written_is_told(locked: Path, nobody: None) -> None:
    for make in (
        lambda: writable_file(locked.with_name("new.png"), name="--sheet"),
        lambda: writable_file(locked.with_name("deep") / "er" / "new.png", name="--sheet"),
        lambda: writable_folder(locked.with_name("deep"), name="--sheet"),
    ):
        with pytest.raises(InputError, match=r"--sheet .*: cannot be written there \(Permission denied\)"):
            make()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("file/x.png", "Not a directory"),
        ("file/deep/x.png", "Not a directory"),
        (".", "is a folder; name a file"),
        (f"{LONG}.png", "too long"),
        (f"{LONG}/x.png", "too long"),
        (f"{'x' * 248}.png", "too long"),
        ("a.xyz", r"unknown type '\.xyz'; use \.jpg, \.png"),
        ("a", "unknown type ''"),
    ],
)
def test_a_file_that_cannot_be_written(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "file").write_text("a file")
    suffixes = () if path == "." else (".png", ".jpg")
    with pytest.raises(InputError, match=f"(?s)--sheet .*{words}"):
        writable_file(tmp_path / path, name="--sheet", suffixes=suffixes)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", ["file", "file/deep", LONG])
def test_a_folder_that_cannot_be_made(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match="--output "):
        writable_folder(tmp_path / path, name="--output")


def test_what_can_be_written_is_not_made(tmp_path: Path) -> None:
    assert writable_file(tmp_path / "a" / "b.PNG", name="--sheet", suffixes=[".png"]) == tmp_path / "a" / "b.PNG"
    writable_folder(tmp_path / "a" / "b", name="--output")
    writable_folder(tmp_path, name="--output")
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for path, words in (("none", "no such file"), (".", "is a folder"), (LONG, "cannot be opened"), ("a\0b", "a")):
        with pytest.raises(InputError, match=f"image .*{words}"):
            readable_file(tmp_path / path, name="image")
    for path, words in (("none", "no such folder"), ("file", "is no folder"), (LONG, "cannot be listed")):
        with pytest.raises(InputError, match=f"models folder .*{words}"):
            readable_folder(tmp_path / path, name="models folder")
    assert exists(tmp_path) and not exists(tmp_path / LONG) and not exists("a\0b")


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.npz: cannot be written \(No space left on device\); free some space"):
        with writing(tmp_path / "a.npz"):
            raise OSError(28, os.strerror(28))
