"""The shapes in the signatures are true: every graph runs with each of them checked at run time."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from jaxtyping import TypeCheckError, install_import_hook

with install_import_hook("lossrt.models", "beartype.beartype"):
    from lossrt.models import graph_names
    from lossrt.models.reference.wire import REFERENCES

from tests.models.samples import RECIPES, run, tensors_of
from tests.validators.samples import sample_batch

for recipe in RECIPES.values():
    arrays = sample_batch(recipe)
    tensors = tensors_of(arrays | {"feat": arrays["pred_hm"]})
    for graph in graph_names(recipe):
        run(graph, recipe, tensors)
        run(graph, recipe, tensors, "B", "H", "M", "W")
        REFERENCES[graph](recipe, tensors)

tensors["mask"] = tensors["mask"][:, 1:]
for compute in (lambda: run("fast_focal", recipe, tensors), lambda: REFERENCES["fast_focal"](recipe, tensors)):
    try:
        compute()
    except TypeCheckError:
        continue
    raise SystemExit("a wrong shape went through: nothing was checked")
"""


def test_annotated_shapes_hold() -> None:
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
