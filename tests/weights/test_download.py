"""Downloads from a server of this machine that answers as badly as real ones do."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model_core.errors import CancelledError, CheckpointError, DependencyError
from model_core.weights.catalog import Download
from model_core.weights.download import download

CONTENT = bytes(range(256)) * 8192  # 2 MiB: more than one piece
HALF = len(CONTENT) // 2


@pytest.fixture
def server():
    """Serves ``server.body``; promises ``server.promised`` bytes, breaks off after ``server.stops_after``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server, asked = self.server, self.headers.get("Range")
            server.asked.append(asked)
            if self.path != "/model.bin":
                self.send_error(404)
                return
            first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.knows_ranges else 0
            if first >= len(server.body) > 0 and first:
                self.send_error(416)
                return
            body = server.body[first:]
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(server.body) - 1}/{len(server.body)}")
            self.send_header("Content-Length", str(max(server.promised - first, 0)))
            self.end_headers()
            self.wfile.write(body if server.stops_after is None else body[: server.stops_after])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.body, server.promised, server.stops_after = CONTENT, len(CONTENT), None
    server.knows_ranges, server.asked = True, []
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


def part_of(folder):
    return folder / "model.bin.part"


def test_downloads_once_and_verifies(tmp_path, server, entry):
    seen = []
    path = download(entry, tmp_path / "models", confirm=yes, progress=lambda done, size: seen.append((done, size)))
    assert path == tmp_path / "models" / "model.bin"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 1
    assert list(path.parent.iterdir()) == [path]
    download(entry, tmp_path / "models", confirm=lambda _: pytest.fail("asked again"))
    assert server.asked == [None]


def test_nothing_is_fetched_unasked(tmp_path, server, entry):
    asked = []
    with pytest.raises(CancelledError, match=r"model\.bin"):
        download(entry, tmp_path, confirm=lambda shown: asked.append(shown))
    assert asked == [entry]
    assert server.asked == []


def test_a_broken_connection_is_continued_where_it_broke(tmp_path, server, entry):
    server.stops_after = HALF
    with pytest.raises(DependencyError, match=f"{HALF} bytes are kept"):
        download(entry, tmp_path, confirm=yes)
    assert part_of(tmp_path).stat().st_size == HALF
    assert not (tmp_path / "model.bin").exists()
    server.stops_after = None
    assert download(entry, tmp_path, confirm=yes).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={HALF}-"]
    assert not part_of(tmp_path).exists()


def test_a_stop_by_the_user_is_continued_too(tmp_path, server, entry):
    def stop(done, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(entry, tmp_path, confirm=yes, progress=stop)
    assert 0 < part_of(tmp_path).stat().st_size < len(CONTENT)
    assert download(entry, tmp_path, confirm=yes).read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(tmp_path, server, entry):
    part_of(tmp_path).write_bytes(b"x" * 1000)  # would spoil the hash if it stayed
    server.knows_ranges = False
    assert download(entry, tmp_path, confirm=yes).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_whole_part_needs_no_network(tmp_path, server, entry):
    part_of(tmp_path).write_bytes(CONTENT)
    assert download(entry, tmp_path, confirm=yes).read_bytes() == CONTENT
    assert server.asked == []


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path, server, entry):
    part_of(tmp_path).write_bytes(CONTENT + b"more")
    assert download(entry, tmp_path, confirm=yes).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_part_that_the_server_cannot_continue_is_thrown_away(tmp_path, server, entry):
    part_of(tmp_path).write_bytes(CONTENT[:HALF])
    server.body = CONTENT[:100]
    with pytest.raises(DependencyError, match="416"):
        download(entry, tmp_path, confirm=yes)
    assert not part_of(tmp_path).exists()


@pytest.mark.parametrize("resumed", [False, True])
def test_a_wrong_hash_leaves_nothing(tmp_path, server, entry, resumed):
    if resumed:
        part_of(tmp_path).write_bytes(b"\0" * HALF)
    else:
        server.body = CONTENT[:-1] + b"x"
    with pytest.raises(CheckpointError, match=r"model\.bin: its sha256 is"):
        download(entry, tmp_path, confirm=yes)
    assert list(tmp_path.iterdir()) == []


def test_an_endless_answer_does_not_fill_the_disk(tmp_path, server, entry):
    server.body = CONTENT + CONTENT
    server.promised = len(server.body)
    with pytest.raises(CheckpointError, match=f"more than {len(CONTENT)} bytes"):
        download(entry, tmp_path, confirm=yes)
    assert list(tmp_path.iterdir()) == []


def test_an_absent_file_is_said_to_be_absent_not_offline(tmp_path, entry):
    entry = dataclasses.replace(entry, url=entry.url + ".gone")
    with pytest.raises(DependencyError, match="404") as caught:
        download(entry, tmp_path, confirm=yes)
    assert "online" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_offline_names_the_way_out(tmp_path, entry):
    entry = dataclasses.replace(entry, url="http://127.0.0.1:9/model.bin")
    with pytest.raises(DependencyError, match=f"online.*other means and put it into {tmp_path}"):
        download(entry, tmp_path, confirm=yes)


@pytest.mark.parametrize("name", ["../model.bin", "/etc/model.bin", "a/b.bin", "a\\b.bin", "", ".."])
def test_nothing_outside_the_folder_is_written(tmp_path, server, entry, name):
    folder = tmp_path / "models"
    with pytest.raises(CheckpointError, match="no plain file name"):
        download(dataclasses.replace(entry, name=name), folder, confirm=yes)
    assert server.asked == []


def test_a_wrong_file_in_place_is_reported_and_kept(tmp_path, server, entry):
    (tmp_path / "model.bin").write_bytes(b"the user's own")
    with pytest.raises(CheckpointError, match="14 bytes"):
        download(entry, tmp_path, confirm=yes)
    assert (tmp_path / "model.bin").read_bytes() == b"the user's own"
    assert server.asked == []


def test_a_file_of_unknown_size_is_as_long_as_the_server_says(tmp_path, server, entry):
    unknown = dataclasses.replace(entry, size=None, sha256=None)
    done = []
    server.stops_after = HALF
    with pytest.raises(DependencyError, match=f"after {HALF} of {len(CONTENT)} bytes"):
        download(unknown, tmp_path, confirm=lambda _: True)
    server.stops_after = None
    path = download(unknown, tmp_path, confirm=lambda _: True, progress=lambda *bytes_: done.append(bytes_))
    assert server.asked == [None, f"bytes={HALF}-"]
    assert path.read_bytes() == CONTENT and done[-1] == (len(CONTENT), len(CONTENT))
