"""`report.html` in a real browser."""

import base64
import math
from pathlib import Path

import pytest

from lossrt.validators.html import html_report
from lossrt.validators.report import Report, make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.browser.page import Browser
from tests.validators.samples import engine_row, full_report, result_row

pytestmark = pytest.mark.browser

THEMES = ("light", "dark")
WIDTHS = (380, 800, 1280)
LEGIBLE = 4.5  # WCAG 2.2, 1.4.3, level AA


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mot17 with three precisions, some of it in trouble."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_report(full_report(trouble=True)), "utf-8")
    return path


def written(place: Path, report: Report) -> Path:
    place.write_text(html_report(report), "utf-8")
    return place


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_legible_and_fits(browser: Browser, page: Path, theme: str, width: int) -> None:
    browser.open(page, theme=theme, width=width)
    contrasts = browser.contrasts()
    assert len(contrasts) > 20
    assert {what: ratio for what, ratio in contrasts.items() if ratio < LEGIBLE} == {}
    assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert browser.run("return parseFloat(getComputedStyle(document.querySelector('td')).fontSize)") >= 11
    assert browser.messages() == []


def test_the_themes_differ(browser: Browser, page: Path) -> None:
    seen = set()
    for theme in THEMES:
        browser.open(page, theme=theme)
        seen.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2


def test_text_in_drawings_is_as_large_as_it_was_drawn(browser: Browser, page: Path) -> None:
    browser.open(page, width=380)
    height = "return Math.min(...[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height))"
    assert browser.run(height) >= 10
    assert browser.run("return getComputedStyle(document.querySelector('svg text')).fontFamily").startswith("system-ui")


def test_it_opens_within_a_second(browser: Browser, page: Path) -> None:
    times = []
    for _ in range(3):
        browser.open(page)
        times.append(browser.opening_ms())
    assert 0 < min(times) <= 1000
    assert browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)") == []


def verdicts(browser: Browser) -> set[str]:
    return {text.split()[-1] for text in browser.shown(".rows .chip")}


@pytest.mark.parametrize("word", ["fail", "warn", "pass"])
@pytest.mark.parametrize("width", [380, 1280])
def test_the_filter_filters(browser: Browser, page: Path, word: str, width: int) -> None:
    report = full_report(trouble=True)
    total, wanted = len(report.results), sum(row.verdict == word for row in report.results)
    browser.open(page, width=width)
    assert len(browser.shown(".rows tbody tr")) == total
    assert verdicts(browser) == {"pass", "warn", "fail"}
    browser.click(f"#filter label:has([value={word}])")
    assert verdicts(browser) == {word}
    assert len(browser.shown(".rows tbody tr")) == wanted
    assert browser.shown("#filter output") == [f"{wanted} of {total} shown"]
    browser.click("#filter label:has([value=all])")
    assert len(browser.shown(".rows tbody tr")) == total
    assert browser.messages() == []


def test_words_filter_as_well(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("#filter label:has([value=fail])")
    browser.write("#filter [type=search]", "BF16")
    assert browser.shown(".rows tbody tr") == []
    assert browser.shown("section.runtime h3") == []
    browser.write("#filter [type=search]", "FP16 huge  loss_hm")
    assert browser.shown(".rows td:nth-child(4)") == ["loss_hm"]
    assert browser.shown("section.runtime h3") == ["fp16 on ort cpu"]


def test_the_keyboard_reaches_the_filter(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    browser.run("document.querySelector('[name=verdict][value=all]').focus()")
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert verdicts(browser) == {"fail"}


def test_every_problem_leads_to_its_row(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert len(browser.shown(".problems li")) == 9
    browser.click("#filter label:has([value=pass])")
    browser.click(".problems li:first-child span a")
    target = "const row = document.querySelector(':target'); const box = row.getBoundingClientRect(); "
    name, top, bottom = browser.run(target + "return [row.className, box.top, box.bottom]")
    assert name == "fail"
    assert 0 <= top < bottom <= 900
    assert verdicts(browser) == {"pass", "warn", "fail"}


def test_a_cell_of_the_matrix_leads_to_its_row(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click(".matrix td.warn a")
    assert "dense" in browser.run("return document.querySelector(':target').textContent")


def test_without_scripts_everything_is_there(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    assert browser.shown("#filter") == []
    assert len(browser.shown(".rows tbody tr")) == len(full_report().results)


def test_paper_is_white_in_every_theme(browser: Browser, page: Path) -> None:
    browser.open(page, theme="dark")
    browser.media("print", "dark")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.shown("#filter, nav") == []
    assert min(browser.contrasts().values()) >= LEGIBLE
    sheet = browser.command("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert base64.b64decode(sheet).startswith(b"%PDF")


def test_names_cannot_act(browser: Browser, place: Path) -> None:
    nasty = "<img src=x onerror='window.acted = 1'><script>window.acted = 1</script>\"' onmouseover='window.acted = 1"
    row = result_row(
        recipe=nasty, graph=nasty, precision=nasty, backend=nasty, arch=nasty, case=nasty, output=nasty, error=1.0
    )
    engine = engine_row(graph=nasty, precision=nasty, backend=nasty, arch=nasty, dims=nasty)
    report = make_report(nasty, [row], policy=DEFAULT_POLICY, engines=[engine], environment={nasty: nasty})
    for width in WIDTHS:
        browser.open(written(place, report), width=width)
        assert browser.messages() == []
        assert browser.run("return [typeof window.acted, document.images.length, document.scripts.length]") == [
            "undefined",
            0,
            1,
        ]
        assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_the_policy_stops_a_script_that_came_in_some_other_way(browser: Browser, page: Path, place: Path) -> None:
    place.write_text(page.read_text("utf-8").replace("</main>", "<script>window.acted = 1</script></main>"), "utf-8")
    browser.open(place)
    assert browser.run("return typeof window.acted") == "undefined"
    assert any("Content Security Policy" in message for message in browser.messages())


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [result_row(actual=math.nan, reference=None, oracle=math.inf, error=math.inf, ulp=math.nan)],
        [result_row(case=f"case {number}", error=1e-6 * 1.01**number) for number in range(3000)],
        [result_row(graph="head_step_" * 12, case="a_long_case_name_" * 8, output="loss_" * 20, error=1.0)],
    ],
    ids=["no result", "not finite", "thousands", "long names"],
)
def test_unusual_reports(browser: Browser, place: Path, rows: list[object]) -> None:
    report = make_report("ab", rows, policy=DEFAULT_POLICY)  # type: ignore[arg-type]
    browser.open(written(place, report), width=380)
    assert browser.messages() == []
    assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert len(browser.shown(".rows tbody tr")) == len(rows)
