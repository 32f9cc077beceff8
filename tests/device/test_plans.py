"""Sizes that engines are compiled for."""

import pytest

from lossrt.device.plans import engine_plans, graph_ranges
from lossrt.recipe import load_recipe
from lossrt.runtime.profiles import ProfileRange
from tests.device.bundles import l1_bundle


def test_a_loss_takes_one_image_up_to_its_batch(tmp_path):
    assert graph_ranges(l1_bundle(tmp_path / "bundle"), "l1") == {"B": ProfileRange(1, 10, 10)}


def test_a_step_takes_as_many_frames_as_finetune_gives_it(tmp_path):
    bundle = l1_bundle(tmp_path / "bundle", graph="head_step_full_sgd")
    assert graph_ranges(bundle, "head_step_full_sgd") == {"B": ProfileRange(1, 4, 4)}
    assert [plan.dims(bundle) for plan in engine_plans(bundle)] == ["B=1..4"]


def test_a_step_takes_its_own_map_and_widths(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the step's signature is the torch side's")
    from lossrt.models.head_step_spec import spec

    bundle = l1_bundle(tmp_path / "bundle", graph="head_step_last_sgd")
    signature = spec(load_recipe("mot17", batch=2), "last", "sgd")
    entry = bundle.entry("head_step_last_sgd").model_copy(update={"spec": signature})
    monkeypatch.setitem(bundle.manifest.graphs, "head_step_last_sgd", entry)
    ranges = graph_ranges(bundle, "head_step_last_sgd")
    assert set(ranges) == {"B", "H", "W", *(f"K_{head}" for head in ("hm", "reg", "wh", "tracking", "ltrb_amodal"))}
    assert ranges["B"] == ProfileRange(1, 2, 2)
    assert ranges["W"] == ProfileRange(240, 240, 240)
    assert ranges["K_hm"] == ProfileRange(256, 256, 256)
    (plan,) = engine_plans(bundle)
    assert plan.dims(bundle) == "B=1..2, H=136, W=240, K=256"
