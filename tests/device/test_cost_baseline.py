"""The committed costs hold for the loss that mot17 deploys; `make cost` checks every recipe."""

import importlib.metadata

import pytest

from lossrt.device.cost import compare_costs, read_ledger
from lossrt.recipe import load_recipe, preset_names
from tests.device.cost_baseline import BASELINE, PRECISIONS, graphs_bundle, measured
from tests.runtime.graphs import needs_rtx

GRAPH = "generic_loss"


def baseline_of(name):
    return [row for row in read_ledger(BASELINE).rows if row.name == name]


@needs_rtx
def test_the_total_of_mot17_did_not_become_dearer(tmp_path):
    pytest.importorskip("torch", reason="exporting needs PyTorch")
    committed = [row for row in baseline_of("mot17") if (row.graph, row.precision) == (GRAPH, "fp32")]
    wanted, here = committed[0].backend_version, importlib.metadata.version("tensorrt_rtx")
    if here != wanted:
        pytest.skip(f"the baseline was compiled with tensorrt-rtx {wanted}, this is {here}: make cost WRITE=1")
    bundle = graphs_bundle(load_recipe("mot17"), tmp_path / "mot17", graphs=(GRAPH,), precisions=("fp32",))
    before = read_ledger(BASELINE).model_copy(update={"rows": tuple(committed)})
    found = [change.message for change in compare_costs(before, measured(bundle)) if change.change != "same"]
    assert not found, "if that is meant: make cost WRITE=1"


def test_the_baseline_has_the_figures_that_the_design_promises():
    figures = {
        (row.precision, row.dims): (row.kernels, row.scratch_bytes)
        for row in baseline_of("mot17")
        if row.graph == GRAPH
    }
    assert figures["fp32", "B=1"] == (3, 1024)
    assert figures["fp32", "B=10"] == (3, 5632)
    assert figures["fp32", "B=1..10"] == (3, 5632)
    assert {precision for precision, _ in figures} == set(PRECISIONS)


@pytest.mark.parametrize("name", preset_names())
def test_every_recipe_has_its_total_at_one_image_and_at_its_batch(name):
    dims = {row.dims for row in baseline_of(name) if row.graph == GRAPH}
    batch = load_recipe(name).batch
    assert {"B=1", f"B={batch}", f"B=1..{batch}"} <= dims
