"""``animate --batch --ray``: the list of videos on a Ray cluster, one job on each GPU.

Ray is an extra: ``pip install "comfyui-vividportraits[ray]"``. Without a running cluster (``RAY_ADDRESS``, or
``ray start``) one is made of this machine. Inputs and outputs have to lie where every machine sees them by the same
path. A job whose worker dies is tried again, and goes on after its last finished chunk.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import DependencyError
from .batch import Outcome, do_line, numbered

_TRIES = 3
_PATHS = ("reference", "driving", "output", "mask", "sheet", "job_folder")


def run_on_cluster(jobs: Sequence[tuple[int, argparse.Namespace]]) -> Iterator[Outcome]:
    """Do the jobs; yields how each ended, in the order in which they end.

    Raises:
        DependencyError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise DependencyError(f"--ray: ray cannot be imported ({error}); pip install 'ray>=2.9'") from error
    started = not ray.is_initialized()
    if started:
        # its own logs go to its folder; RAY_ADDRESS is Ray's own variable
        ray.init(runtime_env=_environment(), log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    try:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        remote = ray.remote(max_retries=_TRIES, num_cpus=1, num_gpus=gpus)(_work)
        waiting = {remote.remote(line, values): (line, values["output"]) for line, values in _absolute(jobs)}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            line, output = waiting.pop(ready)
            try:
                yield Outcome(**ray.get(ready))
            except ray.exceptions.RayError as error:  # its worker died more often than it is tried again
                yield Outcome(line, output, error=str(error).strip().splitlines()[0])
    finally:
        if started:
            ray.shutdown()


def _work(line: int, values: dict[str, Any]) -> dict[str, Any]:
    """On a worker: one job; its outcome as plain values."""
    torch.set_num_threads(1 if not torch.cuda.is_available() else torch.get_num_threads())
    return asdict(do_line(line, argparse.Namespace(**values)))


def _environment() -> dict[str, Any]:
    """Lets workers import this very package, under the name it has here."""
    root = Path(__file__).resolve().parents[len(__name__.split(".")) - 1]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}}


def _absolute(jobs: Sequence[tuple[int, argparse.Namespace]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """A worker's working folder is another one."""
    for line, values in numbered(jobs):
        paths = {key: str(Path(values[key]).absolute()) for key in _PATHS if values.get(key)}
        yield line, {**values, **paths}
