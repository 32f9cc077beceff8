import tempfile
from pathlib import Path

import pytest

from lossrt.bundle import Bundle, pack_bundle, write_bundle
from tests.bundle.samples import fill


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "out", fill)


@pytest.fixture
def packed(bundle: Bundle, tmp_path: Path) -> Path:
    pack_bundle(bundle, tmp_path / "toy.lossrt")
    return tmp_path / "toy.lossrt"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bundles are unpacked."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place
