"""What naive half precision gives stands beside ours in every document, and is never judged."""

import math

import pytest

from lossrt.bundle import Bundle
from lossrt.runtime.ort import OrtSession
from lossrt.validators.html import html_report
from lossrt.validators.markdown import markdown_report
from lossrt.validators.naive import naive_rows
from lossrt.validators.parity import validate
from lossrt.validators.report import make_report, read_report, write_report
from lossrt.validators.tolerances import DEFAULT_POLICY


@pytest.fixture(scope="module")
def half_bundle(small_recipe, tmp_path_factory) -> Bundle:
    pytest.importorskip("torch", reason="exporting needs PyTorch")
    from lossrt.export.bundle_from_recipe import bundle_from_recipe
    from lossrt.export.cases import scene_source
    from lossrt.validators.oracle.table import ORACLES

    return bundle_from_recipe(
        small_recipe,
        tmp_path_factory.mktemp("half") / "small",
        oracles=ORACLES,
        source=scene_source(small_recipe, seed=1),
        precisions=("bf16", "fp32", "fp16"),
    )


def test_precisions_pass_where_the_naive_graph_turns_nan(half_bundle: Bundle, tmp_path) -> None:
    assert half_bundle.entry("generic_loss").precisions == ("fp32", "fp16", "bf16")
    results = validate(half_bundle, open_session=OrtSession)
    assert {row.verdict for row in results} == {"pass"}
    rows = naive_rows(half_bundle, results)
    assert {(row.precision, row.case) for row in rows} == {
        (precision, case) for precision in ("fp16", "bf16") for case in ("nominal", "saturated")
    }
    saturated = [row for row in rows if row.case == "saturated" and row.output == "loss_hm"]
    assert all(math.isnan(row.naive) and math.isfinite(row.actual) for row in saturated)
    nominal = [row for row in rows if row.case == "nominal"]
    assert all(abs(row.actual - row.oracle) < abs(row.naive - row.oracle) for row in nominal if row.oracle)

    report = make_report(half_bundle.bundle_id, results, policy=DEFAULT_POLICY, naive=rows)
    assert report.summary.fail == 0
    write_report(tmp_path / "report.json", report)
    assert len(read_report(tmp_path / "report.json").naive) == len(rows)
    for text in (markdown_report(report), html_report(report)):
        assert "Naive half precision" in text
        assert "loss_hm[saturated] bf16" in text


def test_fp32_alone_has_nothing_to_compare(small_bundle: Bundle) -> None:
    results = validate(small_bundle, open_session=OrtSession, graphs=["fast_focal"])
    assert naive_rows(small_bundle, results) == []
    assert "Naive" not in markdown_report(make_report(small_bundle.bundle_id, results, policy=DEFAULT_POLICY))
