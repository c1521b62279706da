"""The pages tell the truth: links resolve, pictures exist, quoted commands and options are the programs' own."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_core.cli import _parser

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "model_core" / "assets" / "README.md",
]
HELP = sorted((ROOT / "web" / "docs").glob("*.md"))
COMMAND = "python -m model_core"
OTHERS = {"--lowvram", "--novram", "--disable-metadata", "--no-deps"}
"""Options of ComfyUI and pip that pages name."""
SCRIPTS = {"scripts/queue_headless.py", "Makefile"}
MOST_LINES = 130

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def every_page() -> list[Path]:
    return [*PAGES, *HELP]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text: str, page: Path) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path.replace("\\", "")).resolve() if path else page
        if not found.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(found):
            yield f"{target}: no such heading"


def parsers() -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """Every command's parser, by the words that lead to it."""
    found: dict[tuple[str, ...], argparse.ArgumentParser] = {}
    waiting = [((), _parser())]
    while waiting:
        words, parser = waiting.pop()
        found[words] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += [((*words, name), inner) for name, inner in action.choices.items()]
    return found


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def quoted(text: str) -> Iterator[tuple[str, bool]]:
    """(command line of this project, whether it stands in a block and so has to be whole)."""
    blocks = FENCE.findall(text)
    for line in (line for block in blocks for line in block.splitlines()):
        if line.startswith(COMMAND):
            yield line, True
    for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
        if code.startswith(COMMAND):
            yield code, False


def command_faults(line: str, *, whole: bool) -> Iterator[str]:
    words = shlex.split(line, comments=True)[len(COMMAND.split()) :]
    words = [word.rstrip(",.:;") for word in words]
    if not words or words[0] == "COMMAND":
        return
    known = parsers()
    path: tuple[str, ...] = ()
    while len(path) < len(words) and (*path, words[len(path)]) in known:
        path = (*path, words[len(path)])
    if not path:
        yield f"{line}: there is no command {words[0]}"
        return
    rest = words[len(path) :]
    unknown = {word.partition("=")[0] for word in rest if word.startswith("--")} - options_of(known[path])
    if unknown:
        yield f"{line}: there is no option {', '.join(sorted(unknown))}"
    elif whole:
        try:
            _parser().parse_args(words)
        except SystemExit:
            yield f"{line}: is not a whole command"
    yield from (
        f"{line}: {word} is not there" for word in rest if word.startswith("model_core/") and not (ROOT / word).exists()
    )


def all_options() -> set[str]:
    script = "".join((ROOT / name).read_text("utf-8") for name in SCRIPTS)
    return {option for parser in parsers().values() for option in options_of(parser)} | {
        *re.findall(r"--[a-z][a-z-]+", script),
        *OTHERS,
    }


@pytest.mark.parametrize("page", every_page(), ids=name_of)
def test_links_and_pictures_are_there(page: Path) -> None:
    assert list(broken_links(page.read_text("utf-8"), page)) == []


@pytest.mark.parametrize("page", every_page(), ids=name_of)
def test_quoted_commands_exist(page: Path) -> None:
    lines = list(quoted(page.read_text("utf-8")))
    assert [fault for line, whole in lines for fault in command_faults(line, whole=whole)] == []


@pytest.mark.parametrize("page", every_page(), ids=name_of)
def test_options_named_in_passing_exist(page: Path) -> None:
    inline = " ".join(re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text("utf-8"))))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", inline))
    assert named - all_options() == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_benchmarks_and_make_targets_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"python -m benchmarks ([a-z_]+)", text):
        assert (ROOT / "benchmarks" / f"bench_{name}.py").is_file(), name
    for name in re.findall(r"python -m benchmarks\.([a-z_]+)", text):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= set(targets)


def test_the_front_page_is_short_and_names_both_papers_first() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    first = text.split("\n\n")[1]
    assert "https://openreview.net/forum?id=Tp9c7s3ZmN" in first and "https://arxiv.org/abs/2509.17476" in first


def test_every_page_is_in_the_index_and_says_for_whom_it_is() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        first = page.read_text("utf-8").split("\n\n")[1]
        assert first.startswith("For "), page.name
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_every_workflow_and_every_node_is_listed() -> None:
    text = (ROOT / "docs" / "workflows.md").read_text("utf-8")
    for workflow in (ROOT / "workflows").glob("*.json"):
        assert f"(../workflows/{workflow.name})" in text, workflow.name
    for page in HELP:
        assert f"(../web/docs/{page.name})" in text, page.name


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](docs/nowhere.md)", "no such file"),
        ("![a](docs/nowhere.jpg)", "no such file"),
        ("[a](docs/models.md#nowhere)", "no such heading"),
    ],
)
def test_a_broken_link_is_seen(text: str, fault: str) -> None:
    assert fault in "".join(broken_links(text, ROOT / "README.md"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("python -m model_core dance", "no command dance"),
        ("python -m model_core models list", "not a whole command"),
        ("python -m model_core animate --reference a --colour red", "no option --colour"),
        ("python -m model_core compare --reference a --driving b", "not a whole command"),
        ("python -m model_core train model_core/training/configs/nowhere.yaml", "is not there"),
    ],
)
def test_a_wrong_command_is_seen(line: str, fault: str) -> None:
    assert fault in "".join(command_faults(line, whole=True))
