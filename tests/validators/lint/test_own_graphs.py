"""What we export, linted for where we export it to."""

import onnx
import pytest

pytest.importorskip("torch", reason="exporting needs PyTorch")

from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.platforms import PLATFORMS, Platform
from lossrt.recipe import Recipe
from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.findings import lint_fails
from lossrt.validators.lint.fix import fix_model

# The totals hold every operator of the losses and of their gradients; the gather is the one that stands alone.
NAMES = ("gather_feat", "generic_loss", "generic_loss_grad")

Exports = dict[tuple[str, int, bool], onnx.ModelProto]


@pytest.fixture(scope="module")
def exports() -> Exports:
    return {}


def exported(name: str, platform: Platform, recipe: Recipe, exports: Exports) -> onnx.ModelProto:
    """The graph for a platform; platforms with the same opset and the same functions share a file."""
    key = (name, platform.opset, platform.functions)
    if key not in exports:
        exports[key] = onnx_from_graph(GRAPHS[name], recipe, options=ExportOptions(target=platform.name))
    return exports[key]


EXPORTED_FOR = [pytest.param(platform, id=platform.name) for platform in PLATFORMS.values() if platform.name != "ort"]


@pytest.mark.parametrize("platform", EXPORTED_FOR)
@pytest.mark.parametrize("name", NAMES)
def test_own_graphs_are_clean(name: str, platform: Platform, small_recipe: Recipe, exports: Exports) -> None:
    findings = lint_model(exported(name, platform, small_recipe, exports), targets=[platform.name])
    assert [finding for finding in findings if lint_fails([finding])] == []
    # Indices come from the batch: that they lie on the map is checked before the run.
    assert {finding.rule for finding in findings} <= {"index-unchecked", "int64-input"}


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_for_rtx_is_mended_for_jetpack5(name: str, small_recipe: Recipe, exports: Exports) -> None:
    model = exported(name, PLATFORMS["rtx"], small_recipe, exports)
    assert lint_fails(lint_model(model, targets=["jetpack5"]))
    mended, applied = fix_model(model, target="jetpack5")
    assert applied == ("inline", "opset", "shape_range", "narrow_indices")
    assert not lint_fails(lint_model(mended, targets=["jetpack5"]))
    onnx.checker.check_model(mended, full_check=True)
