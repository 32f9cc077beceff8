import json

import pytest

from lossrt.device.cost import read_ledger
from tests.device.bundles import l1_bundle
from tests.runtime.graphs import needs_rtx

pytestmark = needs_rtx
ADA = ("--compute-capability", "8.9")


def test_a_ledger_is_shown_and_written(run, tmp_path):
    bundle, path = l1_bundle(tmp_path / "own"), tmp_path / "ledger.json"
    code, out, _ = run("cost", bundle.root, *ADA, "--nodes", "-o", path)
    assert code == 0
    assert "l1.fp32" in out
    assert "kernel 1: " in out
    assert "masked" in out
    [row] = read_ledger(path).rows
    assert (row.kernels, row.dims) == (1, "B=1..10")
    assert json.loads(run("cost", bundle.root, *ADA, "--json")[1]) == json.loads(path.read_text())


def test_a_bundle_is_compared_with_a_ledger(run, tmp_path):
    bundle, path = l1_bundle(tmp_path / "own"), tmp_path / "ledger.json"
    run("cost", bundle.root, *ADA, "-o", path)
    code, out, _ = run("cost", bundle.root, *ADA, "--against", path)
    assert (code, out.count(": same: ")) == (0, 1)
    data = json.loads(path.read_text())
    data["rows"][0]["kernels"] = 0
    path.write_text(json.dumps(data))
    code, out, _ = run("cost", bundle.root, *ADA, "--against", path)
    assert code == 1
    assert "own l1.fp32 B=1..10 rtx 8.9: dearer: kernels 0 → 1" in out
    code, out, _ = run("cost", bundle.root, *ADA, "--against", path, "--json")
    assert (code, json.loads(out)["changes"][0]["change"]) == (1, "dearer")


def test_two_bundles_are_compared(run, tmp_path):
    one, two = l1_bundle(tmp_path / "one"), l1_bundle(tmp_path / "two", low=2e-4)
    code, out, _ = run("cost", one.root, *ADA, "--against", two.root)
    assert code == 0
    assert ": same: kernels 1" in out


@pytest.mark.parametrize("content", [None, "{}"], ids=["missing", "no ledger"])
def test_what_is_no_ledger_is_wrong_use(run, tmp_path, content):
    path = tmp_path / "ledger.json"
    if content is not None:
        path.write_text(content)
    code, _, err = run("cost", l1_bundle(tmp_path / "own").root, *ADA, "--against", path)
    assert code == 2
    assert "ledger.json" in err
