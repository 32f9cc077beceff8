import numpy as np
import pytest
import torch

from lossrt.models import generic
from lossrt.models.reference.wire import REFERENCES
from lossrt.models.upstream import UpstreamLoss
from tests.models.samples import RECIPES, tensors_of
from tests.validators.batches import FAMILY, random_batch

ALL = RECIPES | FAMILY


@pytest.mark.parametrize("recipe", ALL.values(), ids=ALL)
@pytest.mark.parametrize("objects", [0.0, 0.6], ids=["no-object", "some"])
def test_upstreams_operators_compute_the_same(recipe, objects: float) -> None:
    tensors = tensors_of(random_batch(recipe, 4, objects=objects), torch.float64)
    losses, expected = UpstreamLoss(recipe)(tensors), REFERENCES["generic_loss"](recipe, tensors)
    assert list(losses) == list(expected)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-12, atol=0, equal_nan=True, check_dtype=False)


@pytest.mark.parametrize(("name", "head"), [("ddd", "rot"), ("fairmot", "id")])
def test_rows_that_upstream_leaves_out_stay_out(name: str, head: str) -> None:
    recipe = FAMILY[name]
    tensors = tensors_of(random_batch(recipe, 2), torch.float64)
    out = tensors["rotbin"].sum(dim=2) == 0 if head == "rot" else (tensors["mask"] == 0) | (tensors["ids"] == -1)
    pixels = torch.arange(24)[None]
    unread = torch.stack([torch.isin(pixels[0], ind[~left]) for ind, left in zip(tensors["ind"], out, strict=True)])
    columns = slice(2, 4) if head == "rot" else slice(None)
    tensors[f"pred_{head}"].flatten(2)[:, columns].masked_fill_(~unread[:, None], torch.nan)
    losses = UpstreamLoss(recipe)(tensors)
    assert out.any()
    assert tensors[f"pred_{head}"].isnan().any()
    assert not losses[f"loss_{head}"].isnan()
    assert float(losses["loss"]) == pytest.approx(float(REFERENCES["generic_loss"](recipe, tensors)["loss"]), rel=1e-12)


def test_it_exports_and_runs() -> None:
    """One recipe with all that upstream's own form is refused for: a count, rows of a bin, a boolean index."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="running a graph needs ONNX Runtime")
    from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_module

    recipe = FAMILY["fairmot-with-rot"]
    spec = generic.spec(recipe)
    model = onnx_from_module(UpstreamLoss(recipe), spec, options=ExportOptions())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for objects in (0.0, 0.6):
        arrays = random_batch(recipe, 3, objects=objects)
        feeds = {tensor.name: arrays[tensor.name] for tensor in spec.inputs}
        expected = REFERENCES["generic_loss"](recipe, tensors_of(feeds))
        for output, found in zip(spec.outputs, session.run(None, feeds), strict=True):
            np.testing.assert_allclose(found, expected[output.name].numpy(), rtol=1e-4, err_msg=output.name)
