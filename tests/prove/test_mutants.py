"""The mutants' own test: what they are made of, and that they are what they say. `make prove` judges all of them."""

from collections import Counter

import onnx
import pytest

from tests.prove.equivalents import EQUIVALENTS, excuse
from tests.prove.faults import FAULTS
from tests.prove.mutants import mutants
from tests.prove.verdicts import HeldBundle, outcome_of, same_bits


@pytest.fixture(scope="module")
def model(small_bundle):
    return onnx.load(small_bundle.graph_path("fast_focal", "fp32"))


@pytest.fixture(scope="module")
def every(model):
    return list(mutants(model))


def test_every_kind_of_fault_is_there_and_the_original_stays_whole(model, every, small_bundle):
    kinds = Counter(mutant.kind for mutant in every)
    assert set(kinds) == set(FAULTS)
    assert sum(kinds.values()) > 200
    assert model == onnx.load(small_bundle.graph_path("fast_focal", "fp32"))
    assert all(mutant.model != model for mutant in every)


def test_the_enumeration_is_the_same_each_time(model, every):
    assert [mutant.name for mutant in mutants(model)] == [mutant.name for mutant in every]


def test_outcomes_are_told_apart(every, small_bundle):
    held = HeldBundle(small_bundle)
    by_name = {mutant.name.partition("/")[2]: mutant for mutant in every}
    caught = next(mutant for name, mutant in by_name.items() if "Mul becomes Add" in name)
    refused = next(mutant for name, mutant in by_name.items() if "(Split) axis" in name)
    same = next(mutant for name, mutant in by_name.items() if "(Sub) order" in name)
    assert [outcome_of(held, mutant) for mutant in (caught, refused, same)] == ["caught", "refused", "survived"]
    assert same_bits(held, same)
    assert not same_bits(held, caught)
    assert excuse(same) in EQUIVALENTS
    assert excuse(caught) is None


def test_reasons_are_told_once():
    assert len({entry.reason for entry in EQUIVALENTS}) == len(EQUIVALENTS)
