"""Mended models: they mean the same, and the parser that refused or misread them takes them as they are meant."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lossrt.errors import InputError, StorageError
from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.findings import lint_fails
from lossrt.validators.lint.fix import fix_file, fix_model
from lossrt.validators.lint.real_parser import ask_parser
from tests.passes.graphs import run
from tests.validators.lint.cases import CASES, Case
from tests.validators.lint.models import I64, F, function, model_of, naive_gather_gradient, node

BY_NAME = {case.name: case for case in CASES}

MENDED = [
    ("scatter-add", "jetpack5", ("scatter_dedupe",)),
    ("scatter-add", "rtx", ("scatter_dedupe",)),
    ("scatter-add", "jetpack6", ("scatter_dedupe",)),
    ("scatter-add-in-branch", "rtx", ("scatter_dedupe",)),
    ("scatter-add-in-function", "jetpack5", ("inline", "scatter_dedupe")),
    ("scatter-add-in-function", "rtx", ("scatter_dedupe",)),
    ("scatternd-add", "jetpack6", ("scatter_dedupe",)),
    ("scatternd-add", "rtx", ("scatter_dedupe",)),
    ("scatternd-none", "jetpack6", ("scatter_dedupe",)),
    ("naive-gradient", "jetpack5", ("scatter_dedupe", "narrow_indices")),
    ("shape-range", "jetpack6.0", ("shape_range",)),
    ("reduce-18", "jetpack5", ("opset",)),
    ("local-function", "trt8.6", ("inline",)),
    ("function-named-relu", "rtx", ("inline",)),
    ("function-twins", "jetpack7", ("inline",)),
    ("opset-19", "jetpack6.0", ("opset",)),
    ("opset-6", "rtx", ("opset",)),
    ("opset-25", "trt11", ("opset",)),
    ("int64-input", "jetpack5", ("narrow_indices",)),
    ("relu", "jetpack5", ()),
]


def feeds_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    constants = {tensor.name for tensor in model.graph.initializer}
    rng, feeds = np.random.default_rng(0), {}
    for entry in model.graph.input:
        kind = entry.type.tensor_type
        shape = [dim.dim_value or 2 for dim in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if entry.name not in constants:
            feeds[entry.name] = np.asarray(rng.integers(0, 2, shape)).astype(dtype)
    return feeds


@pytest.mark.parametrize(("name", "target", "passes"), MENDED, ids=[f"{name}-{target}" for name, target, _ in MENDED])
def test_mended(name: str, target: str, passes: tuple[str, ...]) -> None:
    model = BY_NAME[name].model
    before = model.SerializeToString()
    mended, applied = fix_model(model, target=target)
    assert model.SerializeToString() == before, "the model itself was changed"
    assert applied == passes
    assert not lint_fails(lint_model(mended, targets=[target]))
    onnx.checker.check_model(mended)
    wide, narrow = feeds_of(model), feeds_of(mended)
    # Small whole numbers: the order of summation does not show.
    for old, new in zip(run(model, wide), run(mended, narrow), strict=True):
        np.testing.assert_array_equal(new, old)


def test_the_real_parser_takes_what_was_mended_for_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="asking the real parser needs tensorrt-rtx")
    paths = []
    for name in [name for name, target, _ in MENDED if target == "rtx"]:
        mended, _ = fix_model(BY_NAME[name].model, target="rtx")
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(mended, paths[-1])
    assert [answer.status for answer in ask_parser(paths)] == ["accepted"] * len(paths)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.name in ("unique", "dcnv2-node", "batchnorm-training")],
    ids=lambda c: c.name,
)
def test_what_no_pass_mends_is_left(case: Case) -> None:
    mended, applied = fix_model(case.model, target="jetpack5")
    assert mended is case.model
    assert applied == ()
    assert lint_fails(lint_model(mended, targets=["jetpack5"]))


def test_several_at_once() -> None:
    """A function, of opset 18, that scatters onto a shape it cut, by an int64 input."""
    inner = onnx.helper.make_function(
        "d",
        "Backward",
        ["feat", "ind", "grad"],
        ["out"],
        [
            node("Shape", ["feat"], ["width"], start=1, end=2),
            node("ConstantOfShape", ["width"], ["zeros"], value=numpy_helper.from_array(np.zeros(1, np.float32))),
            node("ScatterElements", ["zeros", "ind", "grad"], ["out"], reduction="add"),
        ],
        [onnx.helper.make_opsetid("", 18)],
    )
    model = model_of(
        [node("Backward", ["x", "i", "g"], ["z"], domain="d"), node("ReduceMax", ["z", "a"], ["y"], keepdims=0)],
        [("x", F, [2, 5]), ("i", I64, [3]), ("g", F, [3])], [("y", F, None)],
        opset=18, domains=["d"], functions=[inner], a=np.array([0]),
    )  # fmt: skip
    mended, applied = fix_model(model, target="jetpack5")
    assert applied == ("inline", "scatter_dedupe", "opset", "shape_range", "narrow_indices")
    assert not lint_fails(lint_model(mended, targets=["jetpack5"]))
    feeds = {"x": np.zeros((2, 5), np.float32), "i": np.array([4, 4, -1]), "g": np.array([1, 2, 3], np.float32)}
    narrow = feeds | {"i": feeds["i"].astype(np.int32)}
    assert run(model, feeds) == run(mended, narrow) == [np.float32(6)]


def test_the_naive_gradient_is_right_after_it() -> None:
    model = naive_gather_gradient()
    mended, _ = fix_model(model, target="rtx")
    index, grad = (
        np.array([[0, 0, 0, 7, 7, 19]] * 2),
        np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32),
    )
    (got,) = run(mended, {"ind": index, "grad": grad})
    exact = np.zeros((2, 3, 20))
    for b, c, m in np.ndindex(2, 3, 6):
        exact[b, c, index[b, m]] += grad[b, c, m]
    np.testing.assert_allclose(got.reshape(2, 3, 20), exact, rtol=0, atol=6 * 2.0**-24 * np.abs(grad).sum())


def test_a_file_with_its_weights_beside_it_comes_back_whole(tmp_path: Path) -> None:
    nodes = [node("Twice", ["x"], ["t"], domain="d"), node("Add", ["t", "w"], ["y"])]
    model = model_of(
        nodes, [("x", F, [4])], [("y", F, [4])], domains=["d"], functions=[function("d", "Twice", "Neg")],
        w=np.arange(4, dtype=np.float32),
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    mended, applied = fix_model(path, target="jetpack5")
    assert applied == ("inline",)
    np.testing.assert_array_equal(run(mended, {"x": np.zeros(4, np.float32)})[0], [0, 1, 2, 3])


def test_into_a_file(tmp_path: Path) -> None:
    path, out = tmp_path / "model.onnx", tmp_path / "new.onnx"
    onnx.save(BY_NAME["shape-range"].model, path)
    before = path.read_bytes()
    assert fix_file(path, out, target="jetpack5") == ("shape_range",)
    assert path.read_bytes() == before
    assert not lint_model(out, targets=["jetpack5"])
    assert fix_file(out, out, target="jetpack5") == ()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.onnx", "new.onnx"]
    with pytest.raises(StorageError, match="cannot be written"):
        fix_file(path, path / "new.onnx", target="jetpack5")


def test_one_target_at_a_time() -> None:
    with pytest.raises(InputError, match="a rewrite is for one parser"):
        fix_model(CASES[0].model, target="all")
    with pytest.raises(InputError, match="did you mean 'jetpack5'"):
        fix_model(CASES[0].model, target="jetpac5")
