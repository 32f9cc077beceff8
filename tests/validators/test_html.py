import math
import re
from html.parser import HTMLParser

import pytest

from lossrt.validators.html import MOST_PROBLEMS, html_report
from lossrt.validators.report import Report, Result, make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import engine_row, full_report, result_row

pytest.importorskip("jinja2", reason="Jinja2 is not installed; it is the extra 'report'")
pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is the extra 'report'")

VOID = {"meta", "link", "br", "wbr", "input"}
NASTY = "<script>alert(1)</script>&\"'$x_1$ --> ]]> {{ 7 * 7 }} 損失"


class Page(HTMLParser):
    """Reads a page as a browser would: elements must close in order, text and attributes are collected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str, name: str) -> list[str]:
        return [value for at, found in self.elements if at == tag and (value := found.get(name)) is not None]


def report_of(*results: Result, **options: object) -> Report:
    return make_report("0123456789abcdef", results, policy=DEFAULT_POLICY, **options)  # type: ignore[arg-type]


def test_the_whole_page() -> None:
    rows = [
        result_row(),
        result_row(case="saturated", output="loss_hm", actual=math.nan, error=math.inf, ulp=math.inf),
        result_row(case="dense", error=6.6e-5),
        result_row(precision="fp16", graph="gather_feat", output="gathered", index=(0, 3, 1), reference=None),
    ]
    engines = [engine_row(ran=False, kernels=None), engine_row()]
    page = Page(html_report(report_of(*rows, engines=engines, environment={"device": "paper", "gpu": None})))
    text = " ".join(page.text.split())
    assert "4 comparisons: 2 pass, 1 warn, 1 fail; 1 engine compiled, not run." in text
    assert "FAIL · mot17 · lossrt" in text
    assert "✕ fail saturated of generic_loss.fp32 on ort cpu: loss_hm ∞×" in text
    assert "fp32 on ort cpu" in text
    assert "fp16 on ort cpu" in text
    assert "compiled, not run" in text
    assert "0, 3, 1" in text
    assert "κ = 4.0, λ = 1.0" in text
    assert "gpunone" in text
    assert len(page.all("svg", "viewbox")) == 4


def test_every_link_leads_to_one_place() -> None:
    page = Page(html_report(full_report(trouble=True)))
    names = [value for tag, found in page.elements if (value := found.get("id")) is not None]
    assert len(names) == len(set(names))
    links = page.all("a", "href")
    assert {link[1:] for link in links} <= set(names)
    failing = {f"r{at}" for at, row in enumerate(full_report(trouble=True).results) if row.verdict != "pass"}
    assert failing
    assert failing <= {link[1:] for link in links}


def test_the_page_needs_nothing_but_itself() -> None:
    page = Page(html_report(full_report()))
    assert all(link.startswith("#") for link in page.all("a", "href"))
    assert page.all("link", "href") == ["data:,"]
    assert not {"img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.elements}
    assert not [found for tag, found in page.elements if tag == "script" and found]
    assert "url(http" not in html_report(full_report())
    assert any("default-src 'none'" in policy for policy in page.all("meta", "content"))


def test_names_are_text_wherever_they_stand() -> None:
    row = result_row(
        recipe=NASTY, graph=NASTY, precision=NASTY, backend=NASTY, arch=NASTY, case=NASTY, output=NASTY, error=1.0
    )
    engine = engine_row(graph=NASTY, precision=NASTY, backend=NASTY, arch=NASTY, dims=NASTY)
    written = html_report(report_of(row, engines=[engine], environment={NASTY: NASTY}))
    page = Page(written)
    assert written.count("<script>") == 1
    assert "alert(1)" not in "".join(name for _, found in page.elements for name in found)
    assert "{{ 7 * 7 }}" in page.text
    assert "49" not in re.sub(r"[\d.]{3,}", "", page.text)
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]


def test_no_result_and_no_engine() -> None:
    page = Page(html_report(report_of()))
    assert "0 comparisons: 0 pass, 0 warn, 0 fail." in page.text
    assert "no result" in page.text
    assert "svg" not in {tag for tag, _ in page.elements}
    assert {link[1:] for link in page.all("a", "href")} == {"environment"}


def test_numbers_that_are_not_finite() -> None:
    rows = [
        result_row(actual=math.nan, reference=math.nan, oracle=math.nan),
        result_row(actual=math.inf, reference=-math.inf, oracle=math.nan, error=math.inf, ulp=math.nan),
        result_row(error=1e300, allowed=1e-300, ulp=1e300),
        result_row(error=0.0, allowed=0.0),
        result_row(error=1.0, allowed=0.0),
    ]
    page = Page(html_report(report_of(*rows)))
    assert "∞" in page.text
    assert "-inf" in page.text


def test_many_problems_are_folded() -> None:
    rows = [result_row(case=f"case {number}", error=1.0) for number in range(MOST_PROBLEMS + 5)]
    page = Page(html_report(report_of(*rows)))
    assert "5 more cases" in page.text
    assert {f"#r{number}" for number in range(len(rows))} <= set(page.all("a", "href"))


def test_equal_reports_give_equal_pages() -> None:
    report = full_report(trouble=True)
    assert html_report(report) == html_report(Report.model_validate_json(report.model_dump_json(by_alias=True)))


def test_three_precisions_of_every_case_stay_small() -> None:
    assert len(html_report(full_report(trouble=True)).encode()) <= 1_000_000


def test_thousands_of_rows() -> None:
    rows = [
        result_row(graph=f"graph_{number % 7}", case=f"case {number // 7}", error=2.2e-5 * 1.003**-number)
        for number in range(6_000)
    ]
    written = html_report(report_of(*rows))
    assert written.count('<tr id="r') == len(rows)
    assert len(written) < 4_000_000
