import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.errors import InputError
from lossrt.validators.compare import Change, compare
from lossrt.validators.report import EngineRow, Report, Result, make_report
from lossrt.validators.tolerances import DEFAULT_POLICY, Policy
from tests.validators.samples import engine_row, full_report, result_row

ALLOWED = 1e-6


def row(excess: float = 0.1, **changes: Any) -> Result:
    return result_row(error=excess * ALLOWED, allowed=ALLOWED, **changes)


def report_of(
    *rows: Result, engines: tuple[EngineRow, ...] = (), bundle: str = "ab", policy: Policy = DEFAULT_POLICY
) -> Report:
    return make_report(bundle, rows, policy=policy, engines=engines)


@pytest.mark.parametrize(
    ("before", "after", "kind", "ratio"),
    [
        (0.1, 0.19, "alike", 1.9),
        (0.1, 0.3, "grew", 3.0),
        (0.3, 0.1, "shrank", 1 / 3),
        (0.9, 1.1, "worse", 1.1 / 0.9),
        (1.1, 8.5, "worse", 8.5 / 1.1),
        (9.0, 0.5, "better", 0.5 / 9),
        (2.0, 7.0, "grew", 3.5),
        (0.0, 0.0, "alike", 1.0),
        (0.0, 0.5, "grew", math.inf),
        (0.5, 0.0, "shrank", 0.0),
        (math.inf, math.inf, "alike", 1.0),
        (9.0, math.inf, "grew", math.inf),
        (None, 0.5, "new", math.nan),
        (None, 2.0, "worse", math.nan),
        (None, math.inf, "worse", math.nan),
        (9.0, None, "gone", math.nan),
    ],
)
def test_what_became_of_a_comparison(before: float | None, after: float | None, kind: str, ratio: float) -> None:
    change = Change(None if before is None else row(before), None if after is None else row(after))
    assert change.kind == kind
    assert change.ratio == pytest.approx(ratio, nan_ok=True)


def test_the_runtime_may_differ() -> None:
    before = report_of(row(backend="ort", arch="cpu"), row(backend="ort", arch="cpu", case="full"))
    after = report_of(row(0.7, backend="rtx", arch="sm89"), row(9.0, backend="rtx", arch="sm89", case="full"))
    found = compare(before, after)
    assert [(change.kind, change.row.case) for change in found.changes] == [("worse", "full"), ("grew", "nominal")]
    assert found.worse


def test_the_same_runtime_is_matched_first() -> None:
    cpu, old_gpu, gpu = ({"backend": b, "arch": a} for b, a in (("ort", "cpu"), ("rtx", "sm80"), ("rtx", "sm89")))
    before = report_of(row(0.1, **cpu), row(0.2, **old_gpu), row(0.3, **gpu))
    after = report_of(row(0.3, **gpu), row(0.1, **cpu))
    pairs = {
        (change.before.arch if change.before else None, change.after.arch if change.after else None)
        for change in compare(before, after).changes
    }
    assert pairs == {("sm89", "sm89"), ("cpu", "cpu"), ("sm80", None)}
    # Without its own, the device of the same backend is the nearest.
    assert [
        (change.before.arch, change.after.arch)
        for change in compare(report_of(row(**cpu), row(**old_gpu)), report_of(row(**gpu))).changes
        if change.before and change.after
    ] == [("sm80", "sm89")]


@pytest.mark.parametrize("name", ["recipe", "graph", "precision", "case", "output"])
def test_another_comparison_is_not_matched(name: str) -> None:
    before, after = report_of(row(), row(**{name: "one"})), report_of(row(), row(**{name: "other"}))
    found = compare(before, after)
    assert {kind: count for kind, count in found.counts.items() if count} == {"gone": 1, "new": 1, "alike": 1}
    assert not found.worse


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(InputError, match=r"the first has mot17 generic_loss\.fp32, the second coco generic_loss\.fp32"):
        compare(report_of(row()), report_of(row(recipe="coco")))
    with pytest.raises(InputError, match="the second none"):
        compare(report_of(row()), report_of())


def test_a_report_is_like_itself() -> None:
    report = full_report(trouble=True)
    found = compare(report, report)
    assert found.counts["alike"] == len(report.results)
    assert not found.worse
    assert all(change.alike for change in found.engines)
    assert found.notes == []


def test_what_got_worse_comes_first_and_the_worst_of_it_first() -> None:
    found = compare(full_report(), full_report(trouble=True, backend="rtx"))
    kinds = [change.kind for change in found.changes]
    worse = kinds.count("worse")
    assert worse == full_report(trouble=True).summary.fail + full_report(trouble=True).summary.warn
    assert set(kinds[:worse]) == {"worse"}
    excess = [change.row.excess for change in found.changes[:worse]]
    assert excess == sorted(excess, reverse=True)


@pytest.mark.parametrize(
    ("changes", "alike"),
    [({}, True), ({"build_s": 99.0}, True), ({"kernels": 4}, False), ({"bytes": 1}, False), ({"ran": False}, False)],
    ids=["same", "build time", "kernels", "bytes", "ran"],
)
def test_engine_costs(changes: dict[str, Any], alike: bool) -> None:
    before = report_of(row(), engines=(engine_row(),))
    (engine,) = compare(before, report_of(row(), engines=(engine_row(arch="sm87", **changes),))).engines
    assert engine.alike == alike


def test_an_engine_of_one_report_only() -> None:
    engines = (engine_row(), engine_row(dims="B=1"))
    found = compare(report_of(row(), engines=engines), report_of(row(), engines=engines[:1]))
    assert [(change.alike, change.after is None) for change in found.engines] == [(True, False), (False, True)]


def test_what_makes_runs_less_alike_is_noted() -> None:
    found = compare(report_of(row()), report_of(row(), bundle="cd", policy=Policy(kappa=9.0)))
    assert [note.split(":")[0].split(";")[0] for note in found.notes] == [
        "two bundles",
        "judged with different constants",
    ]


rows = st.lists(
    st.builds(
        lambda case, arch, excess: row(excess, case=case, arch=arch),
        st.sampled_from("abc"),
        st.sampled_from(["cpu", "sm80", "sm89"]),
        st.sampled_from([0.0, 0.1, 0.9, 2.0, 9.0, math.inf]),
    ),
    max_size=6,
)


@given(rows, rows)
def test_every_row_is_in_one_change(before: list[Result], after: list[Result]) -> None:
    found = compare(report_of(row(), *before), report_of(row(), *after))
    assert sum(change.before is not None for change in found.changes) == len(before) + 1
    assert sum(change.after is not None for change in found.changes) == len(after) + 1
    assert sum(found.counts.values()) == len(found.changes)
