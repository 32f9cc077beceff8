import sys
from pathlib import Path

import pytest

from lossrt.errors import StorageError
from lossrt.validators.documents import write_documents
from lossrt.validators.report import make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import result_row

REPORT = make_report("ab" * 32, [result_row()], policy=DEFAULT_POLICY)


def test_every_document_is_written(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    written = write_documents(REPORT, tmp_path / "new")
    assert written.left_out is None
    assert [path.name for path in written.paths] == ["report.md", "junit.xml", "report.html"]
    assert all(path.stat().st_size > 100 for path in written.paths)


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_device_without_the_extra_gets_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    (tmp_path / "report.html").write_text("an older run")
    monkeypatch.setitem(sys.modules, package, None)
    written = write_documents(REPORT, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.md"]
    assert written.left_out is not None
    assert f"import of {package} halted" in written.left_out
    assert "pip install jinja2 matplotlib" in written.left_out


def test_an_unwritable_place_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        write_documents(REPORT, tmp_path / "reports")
