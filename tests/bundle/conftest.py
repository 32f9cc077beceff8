from pathlib import Path

import pytest

from lossrt.bundle import Bundle, write_bundle
from tests.bundle.samples import fill


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "out", fill)
