import pytest

from lossrt.device.build import BuildOptions, build_engines
from lossrt.device.cost import CostRow, KernelNote, Ledger, compare_costs, costs_more, ledger_of, read_ledger
from lossrt.errors import BackendError, InputError
from tests.device.bundles import l1_bundle
from tests.runtime.graphs import needs_rtx


def row(**changes):
    values = {
        "name": "mot17",
        "target": "ort",
        "graph": "generic_loss",
        "precision": "fp32",
        "dims": "B=10",
        "backend": "rtx",
        "backend_version": "1.7.1",
        "compute_capability": "8.9",
        "kernels": 3,
        "scratch_bytes": 5632,
        "engine_bytes": 465_308,
    }
    return CostRow(**(values | changes))


def ledger(*rows):
    return Ledger(rows=rows)


def changes(before, after):
    return [change.change for change in compare_costs(before, after)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "same"),
        ({"kernels": 4}, "dearer"),
        ({"scratch_bytes": 5633}, "dearer"),
        ({"engine_bytes": 470_000}, "dearer"),
        ({"engine_bytes": 465_400}, "same"),
        ({"kernels": 2}, "cheaper"),
        ({"kernels": 2, "scratch_bytes": 9000}, "dearer"),
        ({"engine_bytes": 400_000}, "cheaper"),
        ({"target": "jetpack6"}, "same"),
    ],
    ids=[
        "nothing",
        "a kernel more",
        "a byte of scratch more",
        "a larger engine",
        "a longer name",
        "a kernel less",
        "fewer kernels, more scratch",
        "a smaller engine",
        "the same file for another platform",
    ],
)
def test_what_counts_as_dearer(change, expected):
    found = compare_costs(ledger(row()), ledger(row(**change)))
    assert [entry.change for entry in found] == [expected]
    assert costs_more(found) == (expected == "dearer")


def test_rows_that_come_and_go_are_said_and_fail_nothing():
    before, after = ledger(row(), row(dims="B=1")), ledger(row(), row(dims="B=1..10"))
    assert changes(before, after) == ["same", "new", "gone"]
    assert not costs_more(compare_costs(before, after))


def test_a_bundle_is_compared_with_its_own_recipe_only():
    before = ledger(row(), row(name="coco", kernels=9), row(name="kitti"))
    assert changes(before, ledger(row(name="coco", kernels=9))) == ["same"]


def test_two_bundles_of_different_names_are_compared():
    assert changes(ledger(row(name="mine")), ledger(row(name="yours", kernels=8))) == ["dearer"]


@pytest.mark.parametrize(
    "before",
    [ledger(), ledger(row(graph="gather_feat")), ledger(row(name="coco"), row(name="kitti"))],
    ids=["empty", "other graphs", "other recipes"],
)
def test_an_empty_comparison_is_an_error(before):
    with pytest.raises(InputError, match=r"no engine in common"):
        compare_costs(before, ledger(row()))


def test_the_message_has_the_figures_and_the_compilers():
    [change] = compare_costs(ledger(row()), ledger(row(kernels=7, backend_version="1.8.0")))
    assert change.message == (
        "mot17 generic_loss.fp32 B=10 rtx 8.9: dearer: kernels 3 → 7, scratch bytes 5,632, engine bytes 465,308 "
        "(compilers 1.7.1 and 1.8.0)"
    )


def test_a_ledger_survives_its_file(tmp_path):
    path = tmp_path / "ledger.json"
    whole = ledger(row(kernel_nodes=(KernelNote(name="k", onnx_nodes=("sum",)),)))
    path.write_text(whole.model_dump_json(by_alias=True))
    assert read_ledger(path) == whole
    assert whole.figures_only() == ledger(row())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "document"),
        ('{"schema": 2, "rows": []}', "schema"),
        ('{"rows": [{}]}', r"rows\.0"),
    ],
    ids=["missing", "not JSON", "of another version", "a row without figures"],
)
def test_what_is_no_ledger_is_named(tmp_path, text, message):
    path = tmp_path / "ledger.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"ledger '.*ledger\.json': {message}.*lossrt cost -o"):
        read_ledger(path)


def test_a_bundle_without_engines_has_no_costs(tmp_path):
    with pytest.raises(BackendError, match=r"expected engines, got none; run `lossrt build"):
        ledger_of(l1_bundle(tmp_path / "own"), [])


@needs_rtx
def test_the_ledger_of_a_bundle_names_the_nodes_of_each_kernel(tmp_path):
    bundle = l1_bundle(tmp_path / "own")
    [entry] = ledger_of(bundle, build_engines(bundle, options=BuildOptions("rtx", ("8.9",)))).rows
    assert (entry.name, entry.graph, entry.dims, entry.kernels) == ("own", "l1", "B=1..10", 1)
    assert {"difference", "masked", "terms", "loss"} <= set(entry.kernel_nodes[0].onnx_nodes)
    assert entry.engine_bytes == (bundle.root / "engines" / "l1.fp32.rtx-sm89.engine").stat().st_size
