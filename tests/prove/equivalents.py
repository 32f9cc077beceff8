"""Mutants that no golden case tells from the original, each with the reason why that is no hole.

A mutant that survives and is not here is a hole in the proof; an entry that excuses nothing is stale. Both fail the proof.
Most entries claim that the mutant is the same function on legal inputs; then it must give the same bits on every case.
"""

__all__ = ["EQUIVALENTS", "Equivalent", "excuse"]

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.prove.mutants import Mutant


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A kind of mutant that means the same.

    Attributes:
        reason: Why.
        what: Pattern of `graph/node (operator) kind: what`.
        applies: What else must hold of it.
        same_bits: Its results must be those of the original, bit by bit, on every case.
    """

    reason: str
    what: str
    applies: Callable[[Mutant], bool] = lambda _mutant: True
    same_bits: bool = True


def excuse(mutant: Mutant) -> Equivalent | None:
    """Return the entry that says why a mutant means the same; None where there is none."""
    found = (entry for entry in EQUIVALENTS if re.search(entry.what, mutant.name) and entry.applies(mutant))
    return next(found, None)


def _only_masks(mutant: Mutant) -> bool:
    return bool(mutant.sources) and all(name.endswith("mask") for name in mutant.sources)


def _only_class(mutant: Mutant) -> bool:
    return mutant.sources in ({"cat"}, {"cat", "ind"})


EQUIVALENTS = (
    Equivalent(
        "one class: cat has the one legal value 0, whatever it is multiplied by",
        r"\(Mul\) (operator: Mul becomes Div|constant: |index: .* -1$|bypass: |batch: )",
        _only_class,
    ),
    Equivalent(
        "one class: cat adds 0 to the index",
        r"\(Add\) (bypass: only its input ind|batch: )|\(GatherFeat\) rewire: reads ind ",
        _only_class,
    ),
    Equivalent(
        "one class: [B, 1, H, W] is the reshaped map already",
        r"\(GatherFeat\) rewire: reads pred_hm instead of Reshape",
    ),
    Equivalent(
        "only |a − b| or (1 − t)² is used: the sign of a difference does not matter",
        r"\(Sub\) order: ",
    ),
    Equivalent(
        "rows that are added up in the end, in another order",
        r"/cat \(Concat\) order: ",
        lambda mutant: "hm" in mutant.sources,
        same_bits=False,
    ),
    Equivalent(
        "a Reshape to [B, 4, M] follows, and the channels' rows lie one after another either way",
        r"/stack \(Concat\) axis: axis 1 becomes 2",
    ),
    Equivalent(
        "an index below 0 counts from the end: ind − 2·HW and ind + 2·HW are the same pixel of 4·HW",
        r"\(Add\) operator: Add becomes Sub",
        lambda mutant: mutant.sources == {"ind"},
    ),
    Equivalent(
        "the map has one channel here; graph gather_feat has two, and there it is caught",
        r"^fast_focal/GatherFeat/(flat \(Reshape\) constant: .*\[0, 1, -1\]$|index_shape \(Concat\) order)",
    ),
    Equivalent(
        "a mask holds 0 and 1, which every float type holds",
        r"dtype: ",
        _only_masks,
    ),
    Equivalent(
        "a count of up to 2,048 is exact in float16, and two images of 256 slots and 4 channels have no more",
        r"\((Add|Max|Div)\) dtype: .* rounded to float16$",
    ),
    Equivalent(
        "numerator and denominator scaled at once: only ε becomes 0.1 % smaller beside them",
        r"^reg_weighted_l1/.*\((Transpose|Reshape|ReduceSum|Split)\) scale: ",
        lambda mutant: mutant.sources >= {"pred_reg", "reg_mask"},
        same_bits=False,
    ),
    Equivalent(
        "0.1 % of ε is 1e-7 beside a count of 1 or more, half a rounding of float32; beside a count of 0 the loss is 0",
        r"constant: constant 0\.0001 becomes 0\.0001001$",
        same_bits=False,
    ),
)
