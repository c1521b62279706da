"""A real ComfyUI server as a subprocess, in a base folder of its own: HTTP, websocket, queue.

Checkouts are those in $COMFYUI_PATH or, separated as in $PATH, in $COMFYUI_PATHS, else every ~/comfy/ComfyUI*. The
newest runs all tests, the others a few (test_versions.py). A checkout's Python is in its .venv, or $COMFYUI_PYTHON for
all. Where there is none, the tests are skipped, and the summary says so.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parent.parent.parent
PACK = "ComfyUI-VividPortraits"
_START_LIMIT = 600.0
_RUN_LIMIT = 600.0
# glibc keeps freed tensors for itself once it has seen large ones go; so they return to the system, and can be measured
_HONEST_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def checkouts() -> list[Path]:
    """Every ComfyUI that the tests know of, the newest first."""
    named = os.environ.get("COMFYUI_PATH") or os.environ.get("COMFYUI_PATHS")
    if named:
        found = [Path(path) for path in named.split(os.pathsep)]
    else:
        found = [main.parent for main in (Path.home() / "comfy").glob("ComfyUI*/main.py")]
    return sorted(found, key=version, reverse=True)


def version(checkout: Path) -> tuple[int, ...]:
    """(0, 3, 64); empty where it does not say."""
    file = checkout / "comfyui_version.py"
    numbers = re.search(r'__version__ = "([\d.]+)', file.read_text("utf-8")) if file.is_file() else None
    return tuple(int(number) for number in numbers[1].split(".")) if numbers else ()


def installation(checkout: Path | None = None) -> tuple[Path, Path]:
    """The newest ComfyUI, or that one, and its Python; skips where there is none, fails where a variable lies."""
    if checkout is None:
        checkout = next(iter(checkouts()), None)
    if checkout is None:
        pytest.skip("LIVE TESTS DID NOT RUN: no ComfyUI in ~/comfy; set COMFYUI_PATH to a checkout")
    if not (checkout / "main.py").is_file():
        pytest.fail(f"COMFYUI_PATH or COMFYUI_PATHS: {checkout} holds no main.py")
    named = os.environ.get("COMFYUI_PYTHON")
    python = Path(named) if named else checkout / ".venv" / "bin" / "python"
    if not python.is_file():
        if named:
            pytest.fail(f"COMFYUI_PYTHON={named} is no file")
        pytest.skip(f"LIVE TESTS DID NOT RUN: no Python in {python}; set COMFYUI_PYTHON to ComfyUI's")
    return checkout, python


@dataclass
class Events:
    """ComfyUI's websocket, read in a thread: its messages in order; a preview is one of type "preview"."""

    stream: socket.socket
    messages: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def connect(cls, port: int, client: str) -> Events:
        stream = socket.create_connection(("127.0.0.1", port), timeout=_RUN_LIMIT)
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall(
            f"GET /ws?clientId={client} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.recv(1)
        assert b" 101 " in head.split(b"\r\n")[0], head
        events = cls(stream)
        threading.Thread(target=events._read, daemon=True).start()
        return events

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.stream.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def _read(self) -> None:
        try:
            while True:
                kind, length = self._exactly(2)
                if length == 126:
                    (length,) = struct.unpack(">H", self._exactly(2))
                elif length == 127:
                    (length,) = struct.unpack(">Q", self._exactly(8))
                data = self._exactly(length)
                if kind & 0xF == 1:
                    self._add(json.loads(data))
                elif kind & 0xF == 2:
                    self._add({"type": "preview", "data": {"bytes": len(data)}})
        except (ConnectionError, OSError):
            return  # the server or the test has closed it

    def _add(self, message: dict[str, Any]) -> None:
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait(self, wanted: Callable[[dict[str, Any]], bool], *, limit: float = _RUN_LIMIT) -> dict[str, Any]:
        """The first message that is wanted, past ones included; an error of the run ends the waiting too."""

        def ends(message: dict[str, Any]) -> bool:
            return wanted(message) or message["type"] == "execution_error"

        with self.changed:
            found = self.changed.wait_for(lambda: next(filter(ends, self.messages), None), limit)
            seen = [message["type"] for message in self.messages[-20:]]
        assert found is not None, f"not told within {limit} s; the last messages were {seen}"
        assert wanted(found), found["data"].get("exception_message")
        return found


@dataclass
class Run:
    """One queued workflow: its id and, once it has ended, how, with everything that was told meanwhile."""

    prompt_id: str
    events: Events
    status: str = ""
    error: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message.get("data") or {} for message in self.events.messages if message["type"] == kind]

    @property
    def executed(self) -> set[str]:
        """Nodes that ran; the others came from ComfyUI's cache."""
        return {data["node"] for data in self.of("executing") if data.get("node")}


@dataclass
class Server:
    port: int
    base: Path
    process: subprocess.Popen[bytes]

    @property
    def log_path(self) -> Path:
        return self.base / "server.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", errors="replace")

    def get(self, path: str, **query: str) -> bytes:
        url = self.url + path
        with _LOCAL.open(f"{url}?{urllib.parse.urlencode(query)}" if query else url, timeout=30) as answer:
            return bytes(answer.read())

    def post(self, path: str, content: Any) -> tuple[int, Any]:
        """Status and answer; refusals are answers too."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _LOCAL.open(request, timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            status, body = refusal.code, refusal.read()
        return status, json.loads(body) if body else None

    def queue(self, prompt: dict[str, Any]) -> Run:
        client = uuid.uuid4().hex
        events = Events.connect(self.port, client)
        status, answer = self.post("/prompt", {"prompt": prompt, "client_id": client})
        assert status == 200, json.dumps(answer, indent=1)
        return Run(answer["prompt_id"], events)

    def finish(self, run: Run, *, limit: float = _RUN_LIMIT) -> Run:
        """Wait for the end of a run, whatever it is, and collect what it left."""

        def is_end(message: dict[str, Any]) -> bool:
            ends = ("execution_success", "execution_error", "execution_interrupted")
            return message["type"] in ends and message["data"]["prompt_id"] == run.prompt_id

        end = run.events.wait(is_end, limit=limit)
        run.status, run.error = end["type"], end["data"].get("exception_message", "")
        deadline = time.monotonic() + 10
        while not (history := json.loads(self.get(f"/history/{run.prompt_id}"))):
            assert time.monotonic() < deadline, "the run is not in ComfyUI's history"
            time.sleep(0.05)
        run.outputs = history[run.prompt_id]["outputs"]
        run.events.stream.close()
        return run

    def run(self, prompt: dict[str, Any]) -> Run:
        return self.finish(self.queue(prompt))


@contextmanager
def running_server(
    base: Path,
    *,
    pack: bool = True,
    traps: bool = False,
    flags: Sequence[str] = (),
    checkout: Path | None = None,
) -> Iterator[Server]:
    """A server that is up; ``base`` is an empty folder, or that of an earlier one.

    Args:
        pack: whether this repository is among its nodes.
        traps: whether there are a node that spoils pictures and model files that are none.
        flags: more of ComfyUI's command line.
        checkout: of ComfyUI; None takes the newest.
    """
    checkout, python = installation(checkout)
    for folder in ("custom_nodes", "models/portraits", "input", "output", "temp", "user/default"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    # otherwise the page opens its template browser by itself, some seconds after its first start
    (base / "user" / "default" / "comfy.settings.json").write_text('{"Comfy.TutorialCompleted": true}', "utf-8")
    if pack and not (base / "custom_nodes" / PACK).exists():
        (base / "custom_nodes" / PACK).symlink_to(ROOT, target_is_directory=True)
    if traps:
        shutil.copytree(Path(__file__).with_name("bad_pictures"), base / "custom_nodes" / "bad_pictures")
        _bad_models(base / "models" / "portraits")
    started = _start(checkout, python, base, flags)
    try:
        _wait_until_up(started)
        yield started
    finally:
        _stop(started.process)


def _bad_models(folder: Path) -> None:
    """What users put there by mistake: half a download, and the weights of something else."""
    bundled = (ROOT / "model_core" / "assets" / "vivid-avatars.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(bundled[: len(bundled) // 2])
    save_file({"lora.down.weight": torch.zeros(4, 4)}, folder / "foreign.safetensors")


def _start(checkout: Path, python: Path, base: Path, flags: Sequence[str]) -> Server:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--base-directory", str(base), "--disable-auto-launch", "--database-url", "sqlite:///:memory:", *flags]
    with (base / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **_HONEST_MEMORY},
            start_new_session=True,
        )
    return Server(port, base, process)


def _wait_until_up(server: Server) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while True:
        assert server.process.poll() is None, f"ComfyUI ended while starting:\n{server.log[-3000:]}"
        assert time.monotonic() < deadline, f"ComfyUI is not up in {_START_LIMIT} s:\n{server.log[-3000:]}"
        try:
            server.get("/system_stats")
            return
        except OSError:
            time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
