import math

from lossrt.validators.markdown import markdown_report
from lossrt.validators.report import make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import engine_row, result_row


def test_the_whole_report() -> None:
    rows = [
        result_row(),
        result_row(case="saturated", output="loss_hm", actual=math.nan, error=math.inf, ulp=math.inf),
        result_row(graph="fast_focal", error=1.1e-5),
    ]
    environment = {"device": "one | two", "tf32": False}
    report = make_report(
        "0123456789abcdef", rows, policy=DEFAULT_POLICY, engines=[engine_row()], environment=environment
    )
    text = markdown_report(report)
    assert text.startswith("# Parity of bundle 0123456789ab\n\n3 comparisons: 2 pass, 0 warn, 1 fail.\n")
    assert "- `FAIL generic_loss.fp32 loss_hm[saturated] on ort cpu: got nan" in text
    assert "| case | generic_loss | fast_focal |\n| --- | --- | --- |\n| nominal | pass 0 | pass 0.5 |" in text
    assert "| saturated | **fail** inf | – |" in text
    assert "| generic_loss.fp32 | rtx sm89 | B=10 | 3 | 5,632 | 975,684 | 4.2 | yes |" in text
    assert r"| device | one \| two |" in text
    assert "| lambda | 1.0 |" in text


def test_a_clean_report_has_no_problems_section() -> None:
    text = markdown_report(make_report("ab", [result_row()], policy=DEFAULT_POLICY))
    assert "Problems" not in text
    assert "Engines" not in text
