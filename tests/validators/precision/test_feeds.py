from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest
from lossrt.errors import InputError
from lossrt.passes.precision import cast_maps
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from lossrt.validators.precision import feeds_from_bundle
from tests.validators.precision.graphs import model_of

X = np.ones((2, 3), np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Two graphs: `first` takes x, `second` takes x and z; only `second` comes in fp16."""
    entries = {}
    for graph, names, precisions in (("first", ("x",), ("fp32",)), ("second", ("x", "z"), ("fp32", "fp16"))):
        inputs = tuple(TensorSpec(name, "float32", ("B", 3), "prediction") for name in names)
        spec = GraphSpec(graph, inputs, (OutputSpec("loss"),), {"B": 2})
        cases = dict.fromkeys(precisions, ("nominal", "single"))
        entries[graph] = GraphEntry(spec=spec, precisions=precisions, cases=cases)
    manifest = Manifest.model_construct(graphs=entries)
    made = Bundle(root=tmp_path, manifest=manifest, bundle_id="")
    for number, (graph, entry) in enumerate(entries.items()):
        for precision, cases in entry.cases.items():
            dtype = np.float16 if precision == "fp16" else np.float32
            for case in cases:
                arrays = {tensor.name: np.full((2, 3), number, dtype) for tensor in entry.spec.inputs}
                Case(case, arrays).save(made.case_path(graph, precision, case))
    return made


def test_the_first_graph_that_covers_the_model_in_the_models_own_precision(bundle: Bundle) -> None:
    one = model_of([helper.make_node("Abs", ["x"], ["out"])], {"x": X})
    feeds = feeds_from_bundle(one, bundle)
    assert (set(feeds), feeds["x"].dtype, feeds["x"].max()) == ({"x"}, np.float32, 0)
    assert feeds_from_bundle(cast_maps(one, ["x"], to="fp16"), bundle)["x"].dtype == np.float32
    two = model_of([helper.make_node("Add", ["x", "z"], ["out"])], {"x": X, "z": X})
    feeds = feeds_from_bundle(cast_maps(two, ["x", "z"], to="fp16"), bundle, case="single")
    assert (set(feeds), feeds["z"].dtype, feeds["z"].max()) == ({"x", "z"}, np.float16, 1)


def test_refusals(bundle: Bundle) -> None:
    other = model_of([helper.make_node("Abs", ["image"], ["out"])], {"image": X})
    with pytest.raises(InputError, match=r"model 'graph': no graph of bundle .* has its inputs image; "):
        feeds_from_bundle(other, bundle)
    one = model_of([helper.make_node("Abs", ["x"], ["out"])], {"x": X})
    with pytest.raises(InputError, match=r"case 'nominl': graph 'first' has none; did you mean 'nominal'"):
        feeds_from_bundle(one, bundle, case="nominl")
