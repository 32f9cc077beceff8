"""`report.json`: the truth of a run, from which every other report is made."""

__all__ = ["EngineRow", "NaiveRow", "Report", "Result", "Summary", "make_report", "read_report", "write_report"]

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lossrt.bundle import replace_file
from lossrt.errors import InputError, StorageError
from lossrt.validators.allowance import Allowance
from lossrt.validators.direction import Direction
from lossrt.validators.number import Number
from lossrt.validators.tolerances import Grade, Policy, whole_grade


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Result(_Row):
    """One output of one case, at its worst element; the numbers are those of `lossrt.validators.tolerances.Verdict`.

    Attributes:
        recipe: Recipe name.
        graph: Graph name.
        precision: Type of its maps, for example `fp32`.
        backend: What ran it, for example `ort`.
        arch: What it ran on, for example `cpu`.
        case: Golden case.
        output: Output name.
        verdict: `pass`, `warn` or `fail`.
        index: Where the worst element is; empty for a scalar.
        actual: The candidate's value, in the output's unit; NaN where it gave none.
        reference: PyTorch's value; None where there is no PyTorch result.
        oracle: The float64 value.
        error: |actual − oracle|; inf where no number was given or none was due.
        allowed: The allowed error; finite.
        ulp: The error in units of the last place.
        allowance: What the allowed error is made of; None where nobody kept it.
        direction: What a gradient shows as a whole; None for anything else.
    """

    recipe: str
    graph: str
    precision: str
    backend: str
    arch: str
    case: str
    output: str
    verdict: Grade
    index: tuple[int, ...]
    actual: Number
    reference: Number | None
    oracle: Number
    error: Annotated[Number, Field(ge=0)]
    allowed: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    ulp: Number
    allowance: Allowance | None = None
    direction: Direction | None = None

    @property
    def excess(self) -> float:
        """The error in units of the allowed one, the larger of the element's and the direction's; at most 1 passes."""
        whole = 0.0 if self.direction is None else self.direction.excess
        if self.allowed == 0:
            return math.inf if self.error else whole
        return max(self.error / self.allowed, whole)

    @model_validator(mode="after")
    def _verdict_follows(self) -> "Result":
        if self.verdict != whole_grade(self.error, self.allowed, self.direction):
            raise ValueError(
                f"verdict '{self.verdict}' does not follow from error {self.error:.3g} and allowed {self.allowed:.3g}"
            )
        return self


class EngineRow(_Row):
    """One compiled engine and what it costs.

    Attributes:
        graph: Graph name.
        precision: Type of its maps.
        backend: What compiled it, for example `rtx`.
        arch: The architecture that it was compiled for, for example `sm89`.
        dims: The sizes that it was compiled for, for people: `B=10`, `B=1..10`.
        bytes: Size of the engine.
        kernels: Compute kernels of one run; None where the compiler does not tell.
        scratch_bytes: Scratch memory of one run; None where the compiler does not tell.
        build_s: Seconds that the build took.
        ran: False where it was only compiled, since no such device is here.
    """

    graph: str
    precision: str
    backend: str
    arch: str
    dims: str = ""
    bytes: int = Field(ge=0)
    kernels: int | None = Field(default=None, ge=0)
    scratch_bytes: int | None = Field(default=None, ge=0)
    build_s: Number
    ran: bool


class Summary(_Row):
    """Counts: comparisons by verdict, and engines that were compiled but not run."""

    passed: int = Field(alias="pass", default=0)
    warn: int = 0
    fail: int = 0
    not_run: int = 0

    @classmethod
    def of(cls, results: Iterable[Result], engines: Iterable[EngineRow]) -> "Summary":
        """Count the rows of a report."""
        words = [result.verdict for result in results]
        counts: dict[str, int] = {word: words.count(word) for word in ("pass", "warn", "fail")}
        return cls(**counts, not_run=sum(not engine.ran for engine in engines))


class NaiveRow(_Row):
    """One loss as a graph converted whole to half precision gives it, for comparison; it is not judged.

    Attributes:
        precision: Type of its maps, and of everything in the naive graph.
        case: Golden case.
        output: Output name.
        oracle: The oracle's value on the inputs as deployed.
        actual: What our graph gave.
        naive: What upstream's formulation gives with every tensor in that type.
    """

    precision: str
    case: str
    output: str
    oracle: Number
    actual: Number
    naive: Number


class Report(_Row):
    """The whole of `report.json`.

    Attributes:
        schema_version: Version of this layout.
        bundle_id: The bundle that was judged.
        summary: Counts over `results` and `engines`.
        results: One row for each output of each case.
        engines: One row for each engine.
        naive: What naive half precision would give, beside ours.
        environment: Versions, device and settings (such as whether TF32 was on), and the policy's constants.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    bundle_id: str
    summary: Summary
    results: tuple[Result, ...]
    engines: tuple[EngineRow, ...] = ()
    naive: tuple[NaiveRow, ...] = ()
    environment: dict[str, str | int | bool | Number | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _summary_counts(self) -> "Report":
        counted = Summary.of(self.results, self.engines)
        if self.summary != counted:
            raise ValueError(f"summary: expected the counts of the rows, {counted}, got {self.summary}")
        return self

    @model_validator(mode="after")
    def _allowed_follows(self) -> "Report":
        kappa, lam = self.environment.get("kappa"), self.environment.get("lambda")
        for row in self.results:
            if row.allowance is None:
                continue
            if not isinstance(kappa, float | int) or not isinstance(lam, float | int):
                raise ValueError(f"environment: expected the constants kappa and lambda, got {kappa!r} and {lam!r}")
            if row.direction and not math.isclose(
                row.direction.allowed, allowed := row.direction.allowance.allowed(kappa, lam)
            ):
                raise ValueError(
                    f"{row.graph}.{row.precision} {row.output}[{row.case}]: direction: allowed error "
                    f"{row.direction.allowed:.9g} does not follow from its parts, which make {allowed:.9g}"
                )
            if not math.isclose(row.allowed, allowed := row.allowance.allowed(kappa, lam)):
                raise ValueError(
                    f"{row.graph}.{row.precision} {row.output}[{row.case}]: allowed error {row.allowed:.9g} does not "
                    f"follow from its parts, kappa {kappa:g} and lambda {lam:g}, which make {allowed:.9g}"
                )
        return self


def make_report(
    bundle_id: str,
    results: Iterable[Result],
    *,
    policy: Policy,
    engines: Iterable[EngineRow] = (),
    naive: Iterable[NaiveRow] = (),
    environment: Mapping[str, Any] | None = None,
) -> Report:
    """Put a report together and count its summary.

    Args:
        bundle_id: The bundle that was judged.
        results: Rows of `lossrt.validators.parity.validate`.
        policy: What judged them; its constants join the environment.
        engines: Rows of the engines, run or not.
        naive: Rows of `lossrt.validators.naive.naive_rows`.
        environment: Flat names and values: versions, device, whether TF32 was on.
    """
    constants = {"kappa": policy.kappa, "lambda": policy.lam, "accumulate": policy.accumulate}
    rows, costs = tuple(results), tuple(engines)
    return Report(
        schema=1,
        bundle_id=bundle_id,
        summary=Summary.of(rows, costs),
        results=rows,
        engines=costs,
        naive=tuple(naive),
        environment={**(environment or {}), **constants},
    )


def write_report(path: Path, report: Report) -> None:
    """Write `report.json`, beside its name and then moved into place.

    Raises:
        StorageError: The disk refused.
    """
    try:
        replace_file(path, report.model_dump_json(by_alias=True, indent=1).encode())
    except OSError as error:
        raise StorageError(f"report '{path}': cannot be written: {error}; free space or choose another -o") from error


def read_report(path: Path) -> Report:
    """Read a `report.json`.

    Raises:
        InputError: The file is missing, cut short, from another schema version, or its parts contradict each other.
    """
    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"report '{path}': cannot be read: {error}; make one with `lossrt validate`") from error
    except ValidationError as error:
        raise InputError(f"report '{path}': {_explain(error)}; run `lossrt validate` again") from error


def _explain(error: ValidationError) -> str:
    """Say the first mistake; another schema version explains all the others."""
    mistakes = sorted(error.errors(include_url=False), key=lambda mistake: mistake["loc"] != ("schema",))
    first = mistakes[0]
    where = ".".join(str(part) for part in first["loc"]) or "document"
    got = f", got {first['input']!r}" if first["loc"] and not isinstance(first["input"], dict | list) else ""
    return f"{where}: {first['msg']}{got}"
