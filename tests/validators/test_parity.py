from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest, write_bundle
from lossrt.errors import BackendError, InputError
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from lossrt.validators.oracle.table import ORACLES
from lossrt.validators.parity import Step, validate
from lossrt.validators.tolerances import Policy
from tests.validators.samples import recipe_of, sample_batch

Arrays = dict[str, NDArray[Any]]
RECIPE = recipe_of()
CASES = {"nominal": {"seed": 1}, "empty": {"seed": 2, "objects": 0.0}, "full": {"seed": 3, "objects": 1.0}}


def spec_of(graph: str, arrays: Arrays, outputs: tuple[str, ...]) -> GraphSpec:
    dims = {name: tuple(array.shape) for name, array in arrays.items()}
    inputs = tuple(TensorSpec(name, array.dtype.name, dims[name], "target") for name, array in arrays.items())
    return GraphSpec(graph, inputs, tuple(OutputSpec(name) for name in outputs), RECIPE.sizes)


def inputs_of(graph: str, batch: Arrays) -> Arrays:
    if graph == "gather_feat":
        return {"feat": batch["pred_wh"], "ind": batch["ind"]}
    return batch


def fill(root: Path, graphs: tuple[str, ...], cases: Mapping[str, dict[str, Any]]) -> Manifest:
    entries = {}
    for graph in graphs:
        for name, options in cases.items():
            arrays = inputs_of(graph, sample_batch(RECIPE, **options))
            oracle = ORACLES[graph](RECIPE, arrays)
            case = Case(
                name,
                arrays,
                reference={key: part.value.astype(np.float32) for key, part in oracle.items()},
                oracle={key: part.value for key, part in oracle.items()},
                scale={key: part.scale for key, part in oracle.items()},
                terms={key: np.asarray(part.terms) for key, part in oracle.items()},
            )
            case.save(root / "cases" / f"{graph}.fp32" / f"{name}.safetensors")
        (root / "graphs").mkdir(exist_ok=True)
        (root / "graphs" / f"{graph}.fp32.onnx").write_bytes(graph.encode())
        spec = spec_of(graph, arrays if cases else {}, tuple(oracle) if cases else ())
        entries[graph] = GraphEntry(spec=spec, precisions=("fp32",), cases={"fp32": tuple(cases)})
    return Manifest(
        name=RECIPE.name,
        recipe=RECIPE,
        target="ort",
        gather="inline",
        dynamic=("B",),
        annotations="generated",
        seed=0,
        graphs=entries,
        tools={},
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    graphs = ("generic_loss", "gather_feat")
    return write_bundle(tmp_path_factory.mktemp("parity") / "small", lambda root: fill(root, graphs, CASES))


@dataclass
class FakeSession:
    """Computes a graph with the oracle, in the graph's type, then lets a test spoil the outputs."""

    path: Path
    spoil: Callable[[Arrays, Mapping[str, NDArray[Any]]], Arrays]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    backend: str = "fake"
    device: str = "paper"
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = self.path.read_text().split("+")[0]
        batch = inputs_of(self.graph, sample_batch(RECIPE))
        self.output_names = self.output_names or tuple(ORACLES[self.graph](RECIPE, batch))
        self.log.append(f"open {self.path.name}")

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        exact = ORACLES[self.graph](RECIPE, feeds)
        return self.spoil({name: part.value.astype(np.float32) for name, part in exact.items()}, feeds)

    def bound(self, feeds: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        raise NotImplementedError

    def __enter__(self) -> "FakeSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append(f"close {self.path.name}")


def honest(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    return outputs


def opener(
    spoil: Callable[[Arrays, Mapping[str, NDArray[Any]]], Arrays] = honest, **options: Any
) -> Callable[[Path], FakeSession]:
    return lambda path: FakeSession(path, spoil, **options)


def test_every_output_of_every_case_passes(bundle: Bundle) -> None:
    log: list[str] = []
    steps: list[Step] = []
    results = validate(bundle, open_session=opener(log=log), progress=steps.append)
    assert {row.verdict for row in results} == {"pass"}
    assert len(results) == 3 * 6 + 3
    assert [(row.graph, row.case, row.output) for row in results[:2]] == [
        ("generic_loss", "nominal", "loss"),
        ("generic_loss", "nominal", "loss_hm"),
    ]
    assert {(row.recipe, row.precision, row.backend, row.arch) for row in results} == {
        ("small", "fp32", "fake", "paper")
    }
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6]
    assert {step.total for step in steps} == {6}
    assert log == [
        "open generic_loss.fp32.onnx",
        "close generic_loss.fp32.onnx",
        "open gather_feat.fp32.onnx",
        "close gather_feat.fp32.onnx",
    ]


def test_a_graph_can_be_chosen(bundle: Bundle) -> None:
    results = validate(bundle, open_session=opener(), graphs=["gather_feat"], precisions=["fp32"])
    assert {(row.graph, row.output) for row in results} == {("gather_feat", "gathered")}


def test_a_scaled_mask_fails_where_it_shows(bundle: Bundle) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        return (
            outputs | {"loss_hm": np.asarray(outputs["loss_hm"] / np.float32(1.001))}
            if feeds["mask"].any()
            else outputs
        )

    results = validate(bundle, open_session=opener(spoil), graphs=["generic_loss"])
    failed = {(row.case, row.output) for row in results if row.verdict == "fail"}
    assert failed == {("nominal", "loss_hm"), ("full", "loss_hm")}


def test_one_wrong_element_is_named(bundle: Bundle) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        outputs["gathered"][1, 3, 0] += 1
        return outputs

    results = validate(bundle, open_session=opener(spoil), graphs=["gather_feat"])
    assert {(row.verdict, row.index) for row in results} == {("fail", (1, 3, 0))}
    assert all(row.error == pytest.approx(1) for row in results)


def test_the_first_batch_element_used_for_all_fails(bundle: Bundle) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        exact = ORACLES["gather_feat"](RECIPE, {"feat": feeds["feat"], "ind": np.repeat(feeds["ind"][:1], 2, axis=0)})
        return {"gathered": exact["gathered"].value.astype(np.float32)}

    results = validate(bundle, open_session=opener(spoil), graphs=["gather_feat"])
    assert {(row.verdict, row.index[0]) for row in results} == {("fail", 1)}


def test_the_policy_reaches_the_judge(bundle: Bundle) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        return {name: np.asarray(value * np.float32(1.001)) for name, value in outputs.items()}

    loose = validate(bundle, open_session=opener(spoil), policy=Policy(lam=1e6))
    assert {row.verdict for row in loose} == {"pass"}
    assert "fail" in {row.verdict for row in validate(bundle, open_session=opener(spoil))}


def test_another_model_takes_the_graphs_place(bundle: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "mine.onnx"
    other.write_text("gather_feat+of my own")
    log: list[str] = []
    results = validate(bundle, open_session=opener(log=log), graphs=["gather_feat"], model=other)
    assert log == ["open mine.onnx", "close mine.onnx"]
    assert {(row.graph, row.precision, row.verdict) for row in results} == {("gather_feat", "fp32", "pass")}


def test_a_model_needs_the_graph_that_it_stands_for(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"expected one graph whose place it takes, got generic_loss.fp32, gather_feat.fp32"
    ):
        validate(bundle, open_session=opener(), model=tmp_path / "mine.onnx")


def test_a_model_without_an_output_is_named(bundle: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "mine.onnx"
    other.write_text("generic_loss")
    with pytest.raises(InputError, match=r"output 'loss_reg': expected from .*mine\.onnx, which has loss, loss_hm"):
        validate(bundle, open_session=opener(output_names=("loss", "loss_hm")), graphs=["generic_loss"], model=other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graphs": ["generic_los"]}, r"graph 'generic_los': not in bundle .*did you mean 'generic_loss'"),
        ({"precisions": ["fp61"]}, r"precision 'fp61': graph 'generic_loss' lacks it; .*valid: fp32"),
        ({"graphs": []}, "no graph to judge"),
    ],
    ids=["graph", "precision", "none"],
)
def test_unknown_names_are_refused(bundle: Bundle, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(bundle, open_session=opener(), **options)


def test_a_graph_without_cases_is_never_a_pass(tmp_path: Path) -> None:
    bare = write_bundle(tmp_path / "bare", lambda root: fill(root, ("gather_feat",), {}))
    with pytest.raises(InputError, match="graph 'gather_feat': no golden case to judge it by"):
        validate(bare, open_session=opener())


@pytest.mark.parametrize(
    "error", [RuntimeError("out of bounds"), BackendError("out of memory")], ids=["any", "backend"]
)
def test_a_runtime_that_breaks_fails_the_case_and_says_why(bundle: Bundle, error: Exception) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        if feeds["mask"].all():
            raise error
        return outputs

    steps: list[Step] = []
    results = validate(bundle, open_session=opener(spoil), graphs=["generic_loss"], progress=steps.append)
    assert {row.case for row in results if row.verdict == "fail"} == {"full"}
    assert {row.verdict for row in results if row.case == "full"} == {"fail"}
    assert [step.problem for step in steps] == [None, None, f"{type(error).__name__}: {error}"]


def test_a_wiring_mistake_is_raised_and_closes_the_session(bundle: Bundle) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        raise InputError("tensor 'extra': expected float32[2], missing")

    log: list[str] = []
    with pytest.raises(InputError, match="tensor 'extra'"):
        validate(bundle, open_session=opener(spoil, log=log), graphs=["generic_loss"])
    assert log[-1] == "close generic_loss.fp32.onnx"


def test_another_output_shape_fails_and_says_so(bundle: Bundle) -> None:
    def spoil(outputs: Arrays, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        return {"gathered": outputs["gathered"].transpose(0, 2, 1)}

    steps: list[Step] = []
    results = validate(bundle, open_session=opener(spoil), graphs=["gather_feat"], progress=steps.append)
    assert {row.verdict for row in results} == {"fail"}
    assert {step.problem for step in steps} == {"output 'gathered': expected shape [2, 5, 2], got [2, 2, 5]"}


def test_one_case_is_in_memory_at_a_time(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[str] = []
    load = Case.load

    def spy(path: Path) -> Case:
        alive.append(f"load {path.stem}")
        return load(path)

    monkeypatch.setattr(Case, "load", spy)
    validate(
        bundle, open_session=opener(), graphs=["gather_feat"], progress=lambda step: alive.append(f"judged {step.case}")
    )
    assert alive == [f"{what} {case}" for case in CASES for what in ("load", "judged")]
