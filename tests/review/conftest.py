from pathlib import Path

import pytest

from fulcrum.strategies.library import Library
from review.material import small_library


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return small_library(tmp_path / "library.jsonl")
