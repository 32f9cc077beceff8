"""A loss that is not ours, as docs/add-a-loss.md shows it, end to end; and what is said where it is wrong."""

import re
from pathlib import Path

import pytest

from lossrt.bundle import open_bundle
from lossrt.errors import InputError
from lossrt.export.bundle_from_module import bundle_from_module
from lossrt.export.onnx_from_graph import ExportOptions
from lossrt.export.user_graph import load_user_graph
from lossrt.runtime.ort import OrtSession
from lossrt.validators.parity import validate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-loss.md"


@pytest.fixture
def source() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return code


def _load(folder: Path, text: str, name: str = "MaskedSmoothL1"):
    file = folder / "my_losses.py"
    file.write_text(text, encoding="utf-8")
    return load_user_graph(f"{file}:{name}")


@pytest.mark.parametrize("dynamic", [("batch",), ()], ids=["open-batch", "static"])
def test_the_page_is_true(source: str, tmp_path: Path, dynamic) -> None:
    graph = _load(tmp_path, source)
    bundle_from_module(graph, tmp_path / "mine", options=ExportOptions(dynamic=dynamic))
    bundle = open_bundle(tmp_path / "mine")
    results = validate(bundle, open_session=OrtSession)
    assert {result.case for result in results} == {"nominal", "empty", "lowest", "highest", "ends", "single"}
    assert {result.verdict for result in results} == {"pass"}
    assert bundle.entry("masked_smooth_l1").oracle == "float64"
    batches = {case.name: len(case.input["mask"]) for case in bundle.cases("masked_smooth_l1", "fp32")}
    assert batches["single"] == (1 if dynamic else 4)


def test_without_an_oracle_its_own_float64_run_stands_in(source: str, tmp_path: Path) -> None:
    graph = _load(tmp_path, source[: source.index("    @staticmethod")])
    bundle = bundle_from_module(graph, tmp_path / "mine")
    assert bundle.entry("masked_smooth_l1").oracle == "self"
    assert {result.verdict for result in validate(bundle, open_session=OrtSession)} == {"pass"}


def test_a_wrong_formula_fails_against_the_oracle(source: str, tmp_path: Path) -> None:
    wrong = source.replace("0.5 * bent) / BETA", "0.51 * bent) / BETA")
    assert wrong != source
    graph = _load(tmp_path, wrong)
    bundle = bundle_from_module(graph, tmp_path / "mine")
    assert "fail" in {result.verdict for result in validate(bundle, open_session=OrtSession)}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('{"loss": (', '{"cost": (', ["'loss'", "'cost'"]),
        (".sum(-1).sum() / count", ".sum(-1) / count", ["'loss'", "()", "(4,)"]),
        ("SPEC = GraphSpec(", "SIGNATURE = GraphSpec(", ["SPEC", "NoneType"]),
        ('tensors["pred"]', 'tensors["prediction"]', ["forward", "prediction"]),
        ("class MaskedSmoothL1(nn.Module)", "class Another(nn.Module)", ["no class", "Another"]),
        ("import numpy as np", "import numpyy", ["my_losses.py", "numpyy"]),
        ("(nn.Module)", "", ["torch.nn.Module"]),
        ('name="masked_smooth_l1"', 'name="../../gone"', ["SPEC.name", "'../../gone'"]),
        ('name="masked_smooth_l1"', 'name=""', ["SPEC.name", "''"]),
        ('("B", "N", 7), "prediction"', '"BN7", "prediction"', ["'pred'", "a tuple such as", "'BN7'"]),
        ('("B", "N", 7), "prediction"', '("B", "N", 0), "prediction"', ["'pred'", "sizes >= 1", "got 0"]),
        (
            '("B", "N", 7), "prediction"',
            '("B", "K", 7), "prediction"',
            ["'pred'", "no size is known for 'K'", "SPEC.sizes"],
        ),
        ('"prediction"', '"predicted"', ["'pred'", "role 'predicted'", "did you mean 'prediction'"]),
        ('"pred", "float32"', '"pred", "float64"', ["'pred'", "dtype 'float64'", "float32"]),
        ('TensorSpec("target"', 'TensorSpec("pred"', ["'pred'", "each name once"]),
        ('OutputSpec("loss")', 'OutputSpec("mask")', ["'mask'", "each name once"]),
        ("low=-50, high=50", "low=50, high=-50", ["'target'", "low <= high", "50 and high -50"]),
        ("low=-50, high=50", "low=-50, high=float('nan')", ["'target'", "high: expected a finite number"]),
        ('"N": 100', '"N": 100.0', ["SPEC.sizes['N']", "100.0"]),
        ('outputs=(OutputSpec("loss"),)', 'outputs=("loss",)', ["SPEC.outputs", "tuple of OutputSpec"]),
        ("CONSTANTS = (BETA,)", "CONSTANTS = ('0.1',)", ["CONSTANTS", "'0.1'"]),
        ("import numpy as np", "import numpy as np; raise SystemExit(0)", ["fails when it is run", "SystemExit"]),
        ('return {"loss": Estimate', 'return {"cost": Estimate', ["oracle", "['loss']", "['cost']"]),
        (
            "value=loss, scale",
            "value=loss.astype(np.float32), scale",
            ["oracle's 'loss'", "value", "float64[]", "float32[]"],
        ),
        ("terms=mask.size * 7", "terms=0", ["oracle's 'loss'", "terms", "got 0"]),
        (".sum() / count}", ".sum() / count * torch.rand(())}", ["'loss'", "the same result for the same inputs"]),
        (
            "residual = (tensors",
            "tensors['pred'].mul_(2)\n        residual = (tensors",
            ["'pred'", "changes it in place"],
        ),
        (".sum() / count}", ".sum().double() / count}", ["'loss'", "float32 tensor", "float64"]),
        ('tensors["mask"].sum().clamp', 'tensors["mask"][:, :4].reshape(4, 4).sum().clamp', ["forward fails", "B=5"]),
    ],
)
def test_what_is_wrong_is_named(source: str, tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in source
    with pytest.raises(InputError) as caught:
        _load(tmp_path, source.replace(old, new, 1))
    assert all(word in str(caught.value) for word in ["my_losses.py", *words])


def test_a_fixed_batch_is_enough_for_a_static_graph(source: str, tmp_path: Path) -> None:
    fixed = source.replace('tensors["mask"].sum().clamp', 'tensors["mask"].reshape(4, 100).sum().clamp')
    assert fixed != source
    with pytest.raises(InputError, match=r"forward fails on inputs of its SPEC \(B=5\)"):
        _load(tmp_path, fixed)
    graph = load_user_graph(f"{tmp_path / 'my_losses.py'}:MaskedSmoothL1", open_batch=False)
    bundle = bundle_from_module(graph, tmp_path / "mine", options=ExportOptions(dynamic=()))
    assert {result.verdict for result in validate(bundle, open_session=OrtSession)} == {"pass"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'count = tensors["mask"].sum().clamp(min=1)',
            'count = tensors["mask"].sum().clamp(min=1) if tensors["mask"].sum() > 1 else 1',
            ["PyTorch cannot export it", "branches on data"],
        ),
        ("CONSTANTS = (BETA,)", "CONSTANTS = (0.123,)", ["cannot go into a bundle", "0.123"]),
        (
            'residual = (tensors["pred"] - tensors["target"]).abs()',
            'residual = (tensors["pred"] - 0 * tensors["target"]).abs()',
            ["cannot go into a bundle", "no output changes with input 'target'"],
        ),
    ],
    ids=["branch", "constant", "idle input"],
)
def test_what_cannot_be_exported_is_the_users(source: str, tmp_path: Path, old: str, new: str, words) -> None:
    assert old in source
    graph = _load(tmp_path, source.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        bundle_from_module(graph, tmp_path / "mine")
    assert all(word in str(caught.value) for word in ["my_losses.py", *words]), str(caught.value)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    "place", ["nowhere.py:Loss", "losses.txt:Loss", "losses.py"], ids=["missing", "suffix", "form"]
)
def test_a_place_that_is_none(place: str) -> None:
    with pytest.raises(InputError, match=r"losses|nowhere"):
        load_user_graph(place)
