from __future__ import annotations

import hashlib
import zipfile

import pytest

from model_core.errors import CheckpointError
from model_core.weights.catalog import CATALOG, UNCHECKED, Download, verify

CONTENT = bytes(range(256))


@pytest.fixture
def entry():
    return Download("model.bin", "https://nowhere.test/model.bin", 256, hashlib.sha256(CONTENT).hexdigest(), "MIT")


def test_verify_names_a_missing_file_and_a_wrong_hash(tmp_path, entry):
    path = tmp_path / "model.bin"
    with pytest.raises(CheckpointError, match="missing"):
        verify(path, entry)
    path.write_bytes(bytes(len(CONTENT)))
    with pytest.raises(CheckpointError, match="sha256"):
        verify(path, entry)


def test_catalog_entries_are_whole():
    assert len({entry.name for entry in CATALOG}) == len(CATALOG)
    for entry in CATALOG:
        assert entry.url.startswith("https://")
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.size > 0
        assert entry.licence


def test_what_is_not_known_of_a_file_is_not_claimed(tmp_path):
    for entry in UNCHECKED:
        assert entry.size is None and entry.sha256 is None and entry.url.startswith("https://")
        assert entry not in CATALOG
    entry = Download("network.pt", "https://example.org/network.pt", None, None, "MIT")
    path = tmp_path / entry.name
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match="cut off, or another kind of file"):
        verify(path, entry)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("network/code.py", "")
    verify(path, entry)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CheckpointError, match="cut off"):
        verify(path, entry)
