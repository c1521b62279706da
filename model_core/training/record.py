"""What a run is: its settings and its data, kept in its folder, so that only the same run goes on there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import atomic_path, refuse_overwriting
from .checkpoints import found_checkpoints
from .clips import clips_digest, list_clips
from .config import TrainConfig
from .log import LOG

_log = logging.getLogger(__name__)
_RECORD = "run.json"
_MAY_CHANGE = (
    "output",
    "save_every",
    "log_every",
    "sheet_every",
    "compile",
    "processes",
    "model.name",
    "model.sampling",
)
"""What leaves the weights as they would be, or nearly so."""
_MAY_GROW = "optim.steps"


def take_up(config: TrainConfig, exported: Path, *, processes: int) -> None:
    """Check that a folder is this run's or nobody's, and write down what the run is; for one process.

    Args:
        exported: the model file that the run writes.
        processes: that train together.
    Raises:
        InputError: names the settings that make it another run than the one in the folder, or the file that is in
            the way; nothing is changed.
    """
    given = {name: getattr(config, name) for name in ("init_from", "base_from")}
    take_up_settings(Path(config.output), _settings(config, processes), exported, given=given)


def take_up_settings(
    folder: Path, now: Mapping[str, Any], exported: Path, *, given: Mapping[str, str | None] | None = None
) -> None:
    """The same for a run of any kind.

    Args:
        now: its settings by dotted name, as JSON knows them.
        given: files by the setting that names them, which must not be overwritten.
    """
    inputs = [(name, path) for name, path in (given or {}).items() if _is_file(path)]
    refuse_overwriting([("the trained model", exported)], inputs)
    if found_checkpoints(folder):
        _check_same(folder, _read(folder / _RECORD), now)
    elif in_the_way := [path.name for path in (exported, folder / LOG) if path.exists() and not _begun(path)]:
        raise InputError(
            f"output {folder}: {in_the_way[0]} is there already, and no checkpoint to go on from; give another output, "
            "or remove it to train anew"
        )
    with atomic_path(folder / _RECORD) as partial:
        partial.write_text(json.dumps(now, indent=1), encoding="utf-8")


def _begun(path: Path) -> bool:
    """Whether a file is the log of a run that had no checkpoint yet."""
    if path.name != LOG:
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return not text or text.startswith('{"step"')


def _check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if not before:
        _log.warning("%s: does not say how its checkpoints were made; the settings are taken as they are", folder)
    changed = [name for name in now if name in before and before[name] != now[name]]
    words = {name: f"{name} was {before[name]}, is {now[name]}" for name in changed}
    allowed = [name for name in changed if _allowed(name, before[name], now[name])]
    refused = [words[name] for name in changed if name not in allowed]
    if refused:
        raise InputError(
            f"output {folder}: holds another run: {'; '.join(refused)}. Give its settings to go on with it (steps may "
            "grow), or another output"
        )
    if allowed:
        _log.warning("%s: goes on with other settings: %s", folder, "; ".join(words[name] for name in allowed))


def _allowed(name: str, before: Any, now: Any) -> bool:
    if name == _MAY_GROW:
        return bool(now > before)
    return any(name == other or name.startswith(f"{other}.") for other in _MAY_CHANGE)


def _settings(config: TrainConfig, processes: int) -> dict[str, Any]:
    """By dotted name, as JSON knows them; clips by their content, wherever they lie."""
    made = dict(_flat({**asdict(config), "model": config.model.to_dict()})) | {"processes": processes}
    data = config.data
    made = {name: value for name, value in made.items() if not name.startswith("data.folders")}
    digests = [
        clips_digest(list_clips(folder, limit=data.limit)) + (f" x {share:.3g}" if share < 1 else "")
        for folder, share in data.shares.items()
    ]
    made["data.folder"] = " + ".join(digests)
    made["data.photos"] = clips_digest(list_clips(data.photos)) if data.photos else None
    return dict(json.loads(json.dumps(made)))


def _flat(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _is_file(path: str | None) -> bool:
    return path is not None and Path(path).is_file()
