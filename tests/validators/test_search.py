import itertools
import math
from functools import partial

import numpy as np
import onnx
import pytest

from lossrt.bundle import Case
from lossrt.errors import BackendError, InputError
from lossrt.runtime.ort import OrtSession
from lossrt.spec import check_arrays
from lossrt.validators.oracle.table import ORACLES
from lossrt.validators.search import case_of, search
from tests.prove.surgery import edited, insert_before, sites

GRAPH = "reg_weighted_l1"


@pytest.fixture
def given(small_bundle):
    return {
        "spec": small_bundle.entry(GRAPH).spec,
        "oracle": partial(ORACLES[GRAPH], small_bundle.manifest.recipe),
        "starts": list(small_bundle.cases(GRAPH, "fp32")),
    }


@pytest.fixture
def session(small_bundle):
    return OrtSession(small_bundle.graph_path(GRAPH, "fp32"), threads=1)


def run(given, session, **options):
    return search(given["spec"], session, given["oracle"], starts=given["starts"], **{"iterations": 60, **options})


def test_it_finds_worse_than_the_golden_cases_and_stays_legal(given, session):
    golden = run(given, session, iterations=1)[0]
    finds = run(given, session, iterations=150)
    assert finds[0].excess > golden.excess
    assert [find.excess for find in finds] == sorted({find.excess for find in finds}, reverse=True)
    for find in finds:
        check_arrays(given["spec"], find.inputs)
        assert all(np.isfinite(array).all() for array in find.inputs.values())
        # A correct graph stays within the policy whatever the search does.
        assert find.excess < 4


def test_the_same_seed_finds_the_same(given, session):
    first, again, other = (run(given, session, seed=seed) for seed in (1, 1, 2))
    assert [find.changes for find in first] == [find.changes for find in again]
    assert [find.excess for find in first] == [find.excess for find in again]
    assert [find.changes for find in first] != [find.changes for find in other]


def test_it_finds_a_fault_that_no_start_shows(given, small_bundle):
    model = onnx.load(small_bundle.graph_path(GRAPH, "fp32"))
    site = next(site for site in sites(model) if site.node.op_type == "Abs")

    def clip(nodes, node):
        # Wrong only beyond 2,000 px, further than these golden cases go.
        top = insert_before(nodes, node, "Constant", [], value=onnx.numpy_helper.from_array(np.float32(2e3)))
        node.input[0] = insert_before(nodes, node, "Clip", [node.input[0], "", top])

    broken = OrtSession(edited(model, site, clip).SerializeToString(), threads=1)
    near = [case for case in given["starts"] if case.name not in ("huge", "cancelling", "infinite")]
    found = run(given | {"starts": near}, broken, iterations=400)[0]
    assert found.verdict.verdict == "fail"
    assert found.changes[0].startswith("case ")
    assert len(found.changes) > 1


def test_kept_inputs_are_cases(given, session, tmp_path):
    find = run(given, session)[0]
    case_of(find, "worst1").save(tmp_path / "worst1.safetensors")
    loaded = Case.load(tmp_path / "worst1.safetensors")
    assert loaded.name == "worst1"
    assert loaded.oracle["loss"] == find.expected["loss"].value
    assert loaded.terms["loss"] == find.expected["loss"].terms
    assert all(np.array_equal(loaded.input[name], array) for name, array in find.inputs.items())


def test_time_ends_it_and_progress_is_told(given, session):
    told = []
    run(given, session, iterations=10**9, seconds=0.3, progress=lambda done, worst: told.append((done, worst)))
    assert 1 <= len(told) < 10**6
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert all(a <= b for (_, a), (_, b) in itertools.pairwise(told))


@pytest.mark.parametrize("options", [{"iterations": 0}, {"seconds": 0}, {"keep": 0}, {"seconds": math.nan}], ids=str)
def test_a_budget_must_be_positive(given, session, options):
    with pytest.raises(InputError, match="iterations, seconds and keep > 0"):
        run(given, session, **options)


def test_without_a_finite_case_there_is_nothing_to_start_from(given, session):
    spoiled = [case for case in given["starts"] if case.name == "infinite"]
    with pytest.raises(InputError, match="finite inputs to start from"):
        run(given | {"starts": spoiled}, session)


def test_a_graph_that_breaks_on_legal_inputs_says_so(given, small_bundle):
    model = onnx.load(small_bundle.graph_path(GRAPH, "fp32"))
    site = next(site for site in sites(model) if "ind" in site.node.input)

    def shift(nodes, node):
        one = insert_before(nodes, node, "Constant", [], value=onnx.numpy_helper.from_array(np.array(1)))
        node.input[1] = insert_before(nodes, node, "Add", ["ind", one])

    broken = OrtSession(edited(model, site, shift).SerializeToString(), threads=1)
    with pytest.raises(BackendError, match="fails on these arrays"):
        run(given, broken)
