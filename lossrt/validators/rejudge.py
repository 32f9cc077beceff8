"""Saved results judged again with other constants: nothing runs, since every row keeps what its allowance is made of."""

__all__ = ["rejudge"]

from dataclasses import replace

from lossrt.errors import InputError
from lossrt.validators.allowance import Rival
from lossrt.validators.report import Report, Result, Summary
from lossrt.validators.tolerances import Policy, whole_grade


def rejudge(report: Report, *, kappa: float | None = None, lam: float | None = None) -> Report:
    """Judge the results of a report again.

    The verdicts are those that a new run with these constants would give, the worst elements included
    (`lossrt.validators.allowance` says why); where two elements are equally bad, a new run may name the other one.

    Args:
        report: The saved report.
        kappa: The new κ; None: the report's own.
        lam: The new λ; None: the report's own.

    Returns:
        The report with new verdicts, summary and constants; engines and the rest of the environment as they were.

    Raises:
        InputError: A constant makes no sense, or a row lacks what is needed to judge it again.
    """
    policy = Policy(
        kappa=_constant(report, "kappa") if kappa is None else kappa,
        lam=_constant(report, "lambda") if lam is None else lam,
    )
    rows = tuple(_judged_again(row, policy) for row in report.results)
    return Report(
        schema=1,
        bundle_id=report.bundle_id,
        summary=Summary.of(rows, report.engines),
        results=rows,
        engines=report.engines,
        environment={**report.environment, "kappa": policy.kappa, "lambda": policy.lam},
    )


def _constant(report: Report, name: str) -> float:
    value = report.environment.get(name)
    if not isinstance(value, float | int):
        raise InputError(f"environment: {name}: expected the constant of the run, got {value!r}; give --{name}")
    return float(value)


def _judged_again(row: Result, policy: Policy) -> Result:
    parts = row.allowance
    what = f"{row.graph}.{row.precision} {row.output}[{row.case}]"
    if parts is None:
        raise InputError(f"{what}: expected the parts of its allowed error, got none; run `lossrt validate` again")
    if not parts.complete:
        raise InputError(
            f"{what}: more than {len(parts.rivals)} elements could be its worst one, too many to keep; "
            "run `lossrt validate` with these constants"
        )
    own = Rival(row.index, row.actual, row.reference, row.oracle, row.error, parts.growth, parts.place)
    everyone = (own, *parts.rivals)
    excess = [one.error / parts.allowed(policy.kappa, policy.lam, at=one) for one in everyone]
    worst = everyone[excess.index(max(excess))]
    allowed = parts.allowed(policy.kappa, policy.lam, at=worst)
    rivals = tuple(one for one in everyone if one is not worst)
    direction = row.direction
    if direction is not None:
        direction = replace(direction, allowed=direction.allowance.allowed(policy.kappa, policy.lam))
    changed = {
        "verdict": whole_grade(worst.error, allowed, direction),
        "index": worst.index,
        "actual": worst.actual,
        "reference": worst.reference,
        "oracle": worst.oracle,
        "error": worst.error,
        "allowed": allowed,
        "ulp": worst.error / worst.place,
        "allowance": replace(parts, growth=worst.growth, place=worst.place, rivals=rivals),
        "direction": direction,
    }
    return row.model_copy(update=changed)
