import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.errors import InputError, StorageError
from lossrt.validators.allowance import Allowance, Rival
from lossrt.validators.report import EngineRow, Report, Result, make_report, read_report, write_report
from lossrt.validators.tolerances import DEFAULT_POLICY, grade
from tests.validators.samples import engine_row, result_row

NAN, INF = math.nan, math.inf
FIELDS = "recipe graph precision backend arch case output verdict index actual reference oracle error allowed ulp allowance direction"
PARTS = {"baseline": 5.5e-6, "growth": 1e-6, "place": 1e-7, "floor": 0.0}
ENGINE_FIELDS = "graph precision backend arch bytes kernels scratch_bytes build_s ran"


def report_of(*results: Result, engines: tuple[EngineRow, ...] = ()) -> Report:
    environment = {"onnxruntime": "1.2", "tf32": False, "cpus": 2, "note": None}
    return make_report("ab" * 32, results, policy=DEFAULT_POLICY, engines=engines, environment=environment)


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)


def test_the_file_has_the_agreed_fields(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "report.json"
    write_report(path, report_of(result_row(index=(0, 3)), engines=(engine_row(ran=False), engine_row())))
    data = json.loads(path.read_text())
    assert list(data) == ["schema", "bundle_id", "summary", "results", "engines", "naive", "environment"]
    assert data["schema"] == 1
    assert data["summary"] == {"pass": 1, "warn": 0, "fail": 0, "not_run": 1}
    assert list(data["results"][0]) == FIELDS.split()
    assert data["results"][0]["index"] == [0, 3]
    assert set(ENGINE_FIELDS.split()) < set(data["engines"][0])
    assert data["environment"]["kappa"] == DEFAULT_POLICY.kappa
    assert data["environment"]["tf32"] is False
    assert same(read_report(path), report_of(result_row(index=(0, 3)), engines=(engine_row(ran=False), engine_row())))


def test_non_finite_numbers_are_strings(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    row = result_row(actual=NAN, reference=INF, oracle=-INF, error=INF, allowed=1e-7, ulp=INF)
    write_report(path, report_of(row))
    written = json.loads(path.read_text(), parse_constant=pytest.fail)["results"][0]
    assert [written[key] for key in ("actual", "reference", "oracle", "error")] == ["nan", "inf", "-inf", "inf"]
    assert written["verdict"] == "fail"
    assert same(read_report(path).results[0], row)


@given(
    st.lists(
        st.tuples(st.floats(), st.none() | st.floats(), st.floats(), st.floats(0), st.floats(0, 1e300)), max_size=4
    )
)
def test_any_numbers_come_back_as_they_were(rows: list[tuple[float, float | None, float, float, float]]) -> None:
    results = [
        result_row(actual=a, reference=r, oracle=o, error=e, allowed=limit, verdict=grade(e, limit))
        for a, r, o, e, limit in rows
    ]
    report = report_of(*results)
    assert same(Report.model_validate_json(report.model_dump_json(by_alias=True)), report)


@pytest.mark.parametrize(
    ("error", "allowed", "excess"), [(1.0, 4.0, 0.25), (INF, 1e-7, INF), (0.0, 0.0, 0.0), (1.0, 0.0, INF)]
)
def test_excess(error: float, allowed: float, excess: float) -> None:
    assert result_row(error=error, allowed=allowed).excess == excess


def edited(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "report.json"
    write_report(path, report_of(result_row(), engines=(engine_row(),)))
    data = json.loads(path.read_text())
    for key, value in changes.items():
        place, *rest = key.split("__")
        if not rest:
            data[place] = value
        elif place == "summary":
            data[place][rest[0]] = value
        else:
            data[place][0][rest[0]] = value
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2, "results": "elsewhere"}, r"schema: Input should be 1, got 2; run `lossrt validate` again"),
        ({"results__verdict": "fail"}, r"results\.0: .*verdict 'fail' does not follow from error"),
        ({"results__verdict": "fine"}, r"results\.0\.verdict: .*got 'fine'"),
        ({"results__error": "small"}, r"results\.0\.error: .*got 'small'"),
        ({"results__extra": 1}, r"results\.0\.extra: Extra inputs are not permitted"),
        ({"results": []}, r"summary: expected the counts of the rows"),
        ({"summary__fail": 3}, r"summary: expected the counts of the rows"),
        ({"engines__bytes": -1}, r"engines\.0\.bytes: .*got -1"),
        ({"bundle_id": 7}, r"bundle_id: .*got 7"),
        ({"results__allowance": {**PARTS, "growth": 1e-4}}, r"loss\[nominal\]: allowed error 2\.2e-05 does not follow"),
        ({"results__allowance": {**PARTS, "place": 0.0}}, r"results\.0\.allowance\.place: .*got 0"),
        ({"results__allowance": {"place": 1.0}}, r"results\.0\.allowance\.baseline: Field required"),
        ({"results__allowance": PARTS, "environment": {}}, r"environment: expected the constants kappa and lambda"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_hand_edited_report_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_report(edited(tmp_path, **changes))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99], ids=["empty", "a third", "almost whole"])
def test_a_truncated_report_is_refused(tmp_path: Path, share: float) -> None:
    path = edited(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match=r"report '.*report\.json': document: Invalid JSON"):
        read_report(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1, 2]", b"null"], ids=["binary", "list", "null"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="run `lossrt validate` again"):
        read_report(path)


def test_the_parts_of_an_allowance_come_back(tmp_path: Path) -> None:
    rival = Rival(index=(1,), actual=NAN, reference=None, oracle=-INF, error=INF, growth=0.0, place=PARTS["place"])
    row = result_row(allowance=Allowance(**PARTS, rivals=(rival,)))
    write_report(tmp_path / "report.json", report_of(row))
    assert same(read_report(tmp_path / "report.json").results[0], row)


def test_a_missing_report_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: .*make one with `lossrt validate`"):
        read_report(tmp_path / "report.json")


def test_an_unwritable_place_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        write_report(tmp_path / "reports" / "report.json", report_of())
