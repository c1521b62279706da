from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from golden_set import GoldenSet


@lru_cache
def _loaded(folder: Path) -> GoldenSet:
    return GoldenSet(folder)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> GoldenSet:
    """The set that a test is parametrised with."""
    if not request.param.is_dir():
        pytest.skip("NO GOLDEN SETS in ../shared/golden: equality with the peers' networks is NOT tested")
    return _loaded(request.param)
