"""The toy bundle that these tests share, and what they do to it."""

import json
from pathlib import Path

import numpy as np
import pytest

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest, open_bundle
from lossrt.errors import InputError
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from tests.validators.samples import recipe_of

RECIPE = recipe_of(weights={"hm": 1.0, "reg": 1 / 3, "wh": 0.1, "tracking": 0.0, "ltrb_amodal": 0.1})


SPEC = GraphSpec(
    name="toy",
    inputs=(
        TensorSpec("pred", "float32", ("B", 3, "H", "W"), "prediction", 1e-4, 1 - 1e-4, "probability"),
        TensorSpec("ind", "int64", ("B", "17*M"), "target", 0, "H*W"),
    ),
    outputs=(OutputSpec("loss"), OutputSpec("gathered", ("B", "M", 3))),
    sizes=RECIPE.sizes,
)


CASE = Case(
    name="nominal",
    input={"pred": np.arange(6, dtype=np.float32).reshape(1, 2, 3).transpose(0, 2, 1), "ind": np.array([[3, 2**40]])},
    reference={"loss": np.array(np.nan, np.float32), "gathered": np.zeros((1, 0, 3), np.float32)},
    oracle={"loss": np.array(1 / 3)},
    scale={"loss": np.array(np.inf)},
    terms={"loss": np.array(7)},
)


GRAPH = "graphs/toy.fp32.onnx"


def fill(root: Path, *, content: bytes = b"graph") -> Manifest:
    for name in (GRAPH, "baselines/upstream.fp32.onnx"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    CASE.save(root / "cases" / "toy.fp32" / "nominal.safetensors")
    entry = GraphEntry(spec=SPEC, precisions=("fp32",), cases={"fp32": ("nominal",)}, exempt=("ind",))
    return Manifest(
        name="small",
        recipe=RECIPE,
        target="ort",
        gather="function",
        dynamic=("B",),
        annotations="generated",
        seed=3,
        graphs={"toy": entry},
        tools={"onnx": "1"},
    )


def refusal(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_bundle(root)
    return str(caught.value)


def edit_manifest(bundle: Bundle, change) -> None:
    data = json.loads((bundle.root / "manifest.json").read_text())
    change(data)
    (bundle.root / "manifest.json").write_text(json.dumps(data))


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
