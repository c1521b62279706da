"""Wrong values in every node, in every ComfyUI that is here: one sentence names the input, and nothing else happens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_values import CASES, CHOICE, GRAPH, REFUSED, RUN, Case, kind, prompt
from comfyui_server import Run, Server, checkouts, running_server, version

pytestmark = pytest.mark.live
STABLE = json.loads((Path(__file__).parents[1] / "nodes" / "stable_sockets.json").read_text("utf-8"))
OWN_FOLDERS = ("output", "temp", "user")
CHECKS_CHOICES = (0, 4)  # from here on ComfyUI checks the choices of V3 nodes
CODE = re.compile(r'Traceback|File "|\.py\b.*line|NoneType|object has no|positional argument|KeyError|TypeError')


@pytest.fixture(
    scope="module", params=checkouts() or [None], ids=lambda path: ".".join(map(str, version(path or Path())))
)
def target(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, tuple[int, ...]]]:
    """A server of each version; the newest is the one of all live tests."""
    checkout = request.param
    if checkout is None or checkout == checkouts()[0]:
        yield request.getfixturevalue("server"), version(checkout or Path())
        return
    with running_server(tmp_path_factory.mktemp("older") / "base", checkout=checkout) as server:
        yield server, version(checkout)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_written_elsewhere(target: Any) -> Iterator[None]:
    base = target[0].base

    def files() -> set[Path]:
        own = {base / folder for folder in OWN_FOLDERS}
        found = {
            path for path in base.rglob("*") if not own & {path, *path.parents} and "__pycache__" not in path.parts
        }
        return found | set(base.parent.iterdir())

    before = files()
    yield
    assert files() == before
    assert not Path("/etc/vividportraits").exists()
    assert not [path for path in (base / "output").rglob("*") if path.is_file() and "escape" in path.name]


def refusal(server: Server, case: Case) -> str:
    """The one message of a refused prompt; it stands at the wrong node."""
    status, answer = server.post("/prompt", {"prompt": prompt(case)})
    assert status == 400, answer
    (error,) = answer["node_errors"][case.node]["errors"]
    assert "traceback" not in error["extra_info"]
    return f"{error['message']}: {error['details']}"


def failure(server: Server, case: Case) -> str:
    """The message of a run that failed at the wrong node."""
    run: Run = server.run(prompt(case))
    assert run.status == "execution_error"
    (told,) = run.of("execution_error")
    assert told["node_type"] == kind(case.node), run.error
    assert told["exception_type"].rpartition(".")[2] in ("InputError", "DependencyError"), told["exception_type"]
    return run.error


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wrong_value_is_named_in_one_sentence(target: Any, case: Case) -> None:
    server, of = target
    early = case.how == REFUSED or (case.how == CHOICE and of >= CHECKS_CHOICES)
    message = refusal(server, case) if early else failure(server, case)
    assert re.search(case.words, message, re.DOTALL), message
    assert not CODE.search(message), message
    assert len(message) < 2000
    assert server.process.poll() is None


def test_every_node_is_among_them(target: Any) -> None:
    assert {kind(case.node) for case in CASES} == set(STABLE)
    assert len(CASES) >= 60
    assert {case.how for case in CASES} == {REFUSED, CHOICE, RUN}


def test_what_is_not_spoilt_runs(target: Any) -> None:
    """The graph itself is right: only the values above are wrong. Whole videos are test_long_video.py's.

    Nodes that need files, consent, or the landmarks of newer versions are left out.
    """
    server, _ = target
    for node in sorted(set(GRAPH) - {"files", "download", "landmarks", "video"}):
        run = server.run(prompt(Case(node, {}, RUN, "")))
        assert run.status == "execution_success", f"{node}: {run.error}"
