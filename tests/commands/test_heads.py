"""``heads`` writes over nothing that it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_core.cli import main

pytest.importorskip("moderngl", reason="HEADS NOT TESTED: moderngl is not installed")


@pytest.mark.parametrize(("action", "name"), [("table", "head.npz"), ("table", "link"), ("demo", ".")])
def test_a_head_is_not_written_over(tmp_path: Path, action: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "head.npz").write_bytes(b"a head")
    (tmp_path / "link").symlink_to("head.npz")
    (tmp_path / "demo_portrait.png").symlink_to("head.npz")
    for head in (tmp_path / "head.npz", tmp_path):
        assert main(["heads", action, str(head), str(tmp_path / name)]) == 2
        assert "is the same as the head " in capsys.readouterr().err
    assert (tmp_path / "head.npz").read_bytes() == b"a head"
