"""Every loss of the family, export-friendly, against the reference: values, gradients, open dimensions, signatures."""

import pytest
import torch

from lossrt.models import GRAPHS, graph_names
from lossrt.models.reference.wire import REFERENCES
from lossrt.spec import resolved_shape
from tests.models.samples import tensors_of
from tests.validators.batches import FAMILY, random_batch

GRAPHS_OF = [
    (name, graph) for name, recipe in FAMILY.items() for graph in graph_names(recipe) if graph != "gather_feat"
]
LOSSES_OF = [(name, graph) for name, graph in GRAPHS_OF if graph != "generic_loss_grad"]
every_graph = pytest.mark.parametrize(
    ("name", "graph"), GRAPHS_OF, ids=[f"{name}-{graph}" for name, graph in GRAPHS_OF]
)


@every_graph
@pytest.mark.parametrize("objects", [0.0, 0.6, 1.0], ids=["no-object", "some", "all-slots"])
def test_float64_equals_the_reference(name: str, graph: str, objects: float) -> None:
    recipe = FAMILY[name]
    tensors = tensors_of(random_batch(recipe, 7, objects=objects), torch.float64)
    exact = REFERENCES[graph](recipe, tensors)
    for dynamic in (frozenset[str](), frozenset({"B", "M", "H", "W"})):
        losses = GRAPHS[graph].module(recipe, dynamic)(dict(tensors))
        assert list(losses) == list(exact)
        for key, value in losses.items():
            assert value.shape == exact[key].shape
            torch.testing.assert_close(value, exact[key], rtol=1e-11, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize(("name", "graph"), LOSSES_OF, ids=[f"{name}-{graph}" for name, graph in LOSSES_OF])
def test_gradients_equal_the_references(name: str, graph: str) -> None:
    recipe = FAMILY[name]
    predictions = [spec.name for spec in GRAPHS[graph].spec(recipe).inputs if spec.role != "target"]
    gradients = []
    for form in (GRAPHS[graph].module(recipe, frozenset()), lambda given: REFERENCES[graph](recipe, given)):
        tensors = tensors_of(random_batch(recipe, 3, objects=0.6), torch.float64)
        for key in predictions:
            tensors[key].requires_grad_()
        form(tensors)["loss"].backward()
        gradients.append([tensors[key].grad for key in predictions])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@every_graph
def test_the_signature_is_what_the_module_takes_and_gives(name: str, graph: str) -> None:
    recipe = FAMILY[name]
    spec = GRAPHS[graph].spec(recipe)
    tensors = tensors_of(random_batch(recipe, 0))
    outputs = GRAPHS[graph].module(recipe, frozenset())({tensor.name: tensors[tensor.name] for tensor in spec.inputs})
    assert {output.name: resolved_shape(output.dims, spec.sizes) for output in spec.outputs} == {
        key: tuple(value.shape) for key, value in outputs.items()
    }
