"""What a lint finds: one consequence on one target, at one node, with the way out."""

__all__ = ["CONSEQUENCES", "FAILING", "Consequence", "Finding", "lint_fails"]

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Consequence = Literal["refused", "silently_wrong", "risk", "slow"]

CONSEQUENCES: tuple[Consequence, ...] = ("refused", "silently_wrong", "risk", "slow")
"""From the worst to the mildest."""

FAILING: frozenset[Consequence] = frozenset({"refused", "silently_wrong"})
"""Consequences for which `lossrt lint` exits with 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        target: Lint target, for example `jetpack5`.
        rule: Name of the rule.
        consequence: `refused` (no engine), `silently_wrong` (an engine with other results), `risk`, or `slow`.
        node: Path of the node (`if_1/then_branch/add_3`), or the tensor, or empty for the whole model.
        op: The operator; empty where no node is concerned.
        message: What happens there.
        fix: What to do about it.
        reference: Where that is known from.
    """

    target: str
    rule: str
    consequence: Consequence
    node: str
    op: str
    message: str
    fix: str
    reference: str


def lint_fails(findings: Iterable[Finding]) -> bool:
    """Say whether any finding fails the lint: something is refused or silently wrong."""
    return any(finding.consequence in FAILING for finding in findings)
