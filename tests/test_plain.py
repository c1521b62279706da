"""JSON and YAML of a user: values, or an error that names the text."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_core.errors import InputError
from model_core.plain import from_json, from_yaml, read_text

LAUGHS = "\n".join(["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))])


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("2E5", 200_000.0), ("1.5e-4", 0.00015), ("3", 3), ("[a, 1]", ["a", 1])]
)
def test_numbers_are_numbers_with_and_without_a_dot(text: str, value: object) -> None:
    made = from_yaml(text, name="--set x")
    assert made == value and type(made) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "x=[1",
        "[1",
        "{a: 1",
        "!!python/object:os.system {}",
        "2024-99-99",
        "9" * 5000,
        "[" * 100_000,
        "[" * 40 + "]" * 40,
        "a: &a [*a]",
        LAUGHS,
        "? [1]\n: 2",
        "\x00",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_yaml_of_settings_is_named(text: str) -> None:
    if text == "x=[1":  # plain text, which a setting may be
        assert from_yaml(text, name="--set x") == text
        return
    with pytest.raises(InputError, match="--set x: (not YAML|holds more|nested more)"):
        from_yaml(text, name="--set x")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[" * 40 + "]" * 40, "9" * 5000, "[1] 2", "NaN_"])
def test_what_is_no_json_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"line 3: (is no JSON|nested more)"):
        from_json(text, name="line 3")


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfa")
    for name, words in (("latin", "is no text in UTF-8"), ("none", "no such file"), (".", "is a folder")):
        with pytest.raises(InputError, match=f"config .*{words}"):
            read_text(tmp_path / name, name="config")
