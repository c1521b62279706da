"""The node that fetches a file: never unasked, and only into the models folder."""

from __future__ import annotations

import pytest


@pytest.fixture
def node(comfy, monkeypatch):
    module = comfy.module("nodes.download")
    content = b"weights"
    entry = module.Download("small.bin", "http://127.0.0.1:9/small.bin", len(content), "0" * 64, "MIT")
    monkeypatch.setattr(module, "CHOICES", {"small.bin (0.0 MB, MIT)": entry})
    return module


CHOICE = "small.bin (0.0 MB, MIT)"


def test_size_and_licence_are_shown_before_anything_is_fetched(comfy):
    schema = comfy.module("nodes.download").DownloadPortraitModel.define_schema()
    (file, confirm) = schema.inputs
    assert "face_landmarker.task (3.8 MB, Apache-2.0)" in file.options["options"]
    assert "https://storage.googleapis.com/" in file.options["tooltip"]
    assert confirm.options["default"] is False
    assert schema.is_output_node


def test_without_consent_nothing_is_fetched(node):
    message = "^confirm: is off, so nothing was fetched.*http://127.0.0.1:9/small.bin"
    with pytest.raises(node.bridge.InputError, match=message):
        node.DownloadPortraitModel.execute(file=CHOICE, confirm=False)


def test_an_unknown_file_is_refused(node):
    assert node.DownloadPortraitModel.fingerprint_inputs(file="other", confirm=True)
    with pytest.raises(node.bridge.InputError, match="file: 'other' is not there; choose one of small"):
        node.DownloadPortraitModel.execute(file="other", confirm=True)


def test_offline_says_what_to_do_and_where(node, host):
    errors = host.module("model_core.errors")
    folder = host.models_dir / "portraits"
    with pytest.raises(errors.DependencyError, match=f"online.*put it into {folder}"):
        node.DownloadPortraitModel.execute(file=CHOICE, confirm=True)


def test_cancel_stops_a_download(node, host, interrupted):
    host.cancelled = True
    with pytest.raises(interrupted):
        node.bridge.ByteProgress()(1, 2)
    host.cancelled = False
    node.bridge.ByteProgress()(1, 2)
    assert host.progress[-1][:2] == (1, 2)


def test_a_file_that_arrives_changes_the_fingerprint(node, host):
    before = node.DownloadPortraitModel.fingerprint_inputs(file=CHOICE, confirm=True)
    path = host.models_dir / "portraits" / "small.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")
    assert node.DownloadPortraitModel.fingerprint_inputs(file=CHOICE, confirm=True) != before
    path.unlink()
