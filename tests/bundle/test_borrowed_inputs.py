"""A graph whose cases read their inputs from another graph's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest, open_bundle, write_bundle
from lossrt.errors import InputError
from tests.bundle.samples import CASE, SPEC, edit_manifest, fill

SLIM = Case("nominal", {}, own_error={"loss": np.array(0.5)})


def fill_both(root: Path) -> Manifest:
    manifest = fill(root)
    (root / "graphs" / "slim.fp32.onnx").write_bytes(b"slim")
    SLIM.save(root / "cases" / "slim.fp32" / "nominal.safetensors")
    return manifest.model_copy(update={"graphs": {**manifest.graphs, "slim": slim()}})


def slim(**changes: Any) -> GraphEntry:
    plain: dict[str, Any] = {"spec": SPEC, "precisions": ("fp32",), "cases": {"fp32": ("nominal",)}, "inputs_of": "toy"}
    return GraphEntry(**{**plain, **changes})


def manifest_of(tmp_path: Path, **changes: Any) -> Manifest:
    plain = fill(tmp_path)
    return Manifest(**{**dict(plain), "graphs": {**plain.graphs, "slim": slim(**changes)}})


def test_the_case_has_the_lenders_inputs_and_its_own_results(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "both", fill_both)
    opened = open_bundle(tmp_path / "both")
    assert opened == written
    for case in (opened.case("slim", "fp32", "nominal"), *opened.cases("slim", "fp32")):
        assert case.input.keys() == CASE.input.keys()
        np.testing.assert_array_equal(case.input["ind"], CASE.input["ind"])
        assert case.oracle == {}
        assert float(case.own_error["loss"]) == 0.5
    assert opened.case("toy", "fp32", "nominal").oracle.keys() == CASE.oracle.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs_of": "nothing"}, "inputs_of: expected a graph that has inputs, got 'nothing'"),
        ({"inputs_of": "slim"}, "inputs_of: expected a graph that has inputs, got 'slim'"),
        ({"cases": {"fp32": ("nominal", "odd")}}, "case 'odd': not among those of 'toy'"),
        ({"cases": {"fp16": ("nominal",)}}, "case 'nominal': not among those of 'toy'"),
    ],
    ids=["unknown-lender", "its-own-lender", "case-without-inputs", "precision-without-inputs"],
)
def test_a_lender_that_has_no_inputs_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        manifest_of(tmp_path, **changes)


def test_opening_refuses_it_as_well(tmp_path: Path) -> None:
    bundle: Bundle = write_bundle(tmp_path / "both", fill_both)
    edit_manifest(bundle, lambda data: data["graphs"]["slim"].update(inputs_of="gone"))
    with pytest.raises(InputError, match="graph 'slim': inputs_of: expected a graph that has inputs, got 'gone'"):
        open_bundle(bundle.root)
