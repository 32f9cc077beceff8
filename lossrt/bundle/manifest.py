"""`manifest.json`: what a bundle holds, how it was made, and the digest of every file that it covers."""

__all__ = ["COVERED", "MANIFEST", "MAX_MANIFEST", "SCHEMA", "GraphEntry", "Manifest"]

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec

SCHEMA = 1
COVERED = ("graphs", "baselines", "cases")
MANIFEST = "manifest.json"

MAX_MANIFEST = 16 << 20
"""Bytes of the largest manifest that is read; those of the presets have some 50 kB."""


class GraphEntry(BaseModel):
    """One graph of a bundle: its signature, the precisions it comes in, and its cases by precision.

    Attributes:
        spec: Names, types, dimensions and legal values.
        precisions: Names of the types that its maps come in, `fp32` first.
        cases: Case names by precision.
        oracle: `float64` where the torch-free oracle knows the graph, `self` where the module's own float64 run stands in.
        exempt: Inputs that have one legal value, so that no output can show that they are used.
        inputs_of: The graph whose cases hold the inputs of this one's cases of the same name; None where they hold them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: GraphSpec
    precisions: tuple[str, ...]
    cases: dict[str, tuple[str, ...]]
    oracle: Literal["float64", "self"] = "float64"
    exempt: tuple[str, ...] = ()
    inputs_of: str | None = None


class Manifest(BaseModel):
    """`manifest.json`: what the bundle holds, how it was made, and the digest of every file it covers.

    Attributes:
        schema_version: Version of this layout.
        name: Name of the recipe, or of a user's graph.
        recipe: The recipe, whole; None for a user's graph.
        target: The platform that the graphs were exported for.
        gather: How the gather is written: `function`, `inline` or `flat`; `function, inlined` where the platform has no functions.
        dynamic: Named dimensions left open.
        annotations: Where the nominal case comes from: the sequence's name, or `generated`.
        seed: Seed of everything random in the cases.
        graphs: The graphs by name.
        tools: Versions of what made the bundle.
        files: SHA-256 by path below the bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    recipe: Recipe | None
    target: str
    gather: str
    dynamic: tuple[str, ...]
    annotations: str
    seed: int
    graphs: dict[str, GraphEntry]
    tools: dict[str, str]
    files: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _inputs_are_there(self) -> "Manifest":
        for graph, entry in self.graphs.items():
            if entry.inputs_of is None:
                continue
            lender = self.graphs.get(entry.inputs_of)
            if lender is None or lender.inputs_of is not None:
                raise ValueError(
                    f"graph '{graph}': inputs_of: expected a graph that has inputs, got '{entry.inputs_of}'"
                )
            for precision, cases in entry.cases.items():
                if lacking := sorted(set(cases) - set(lender.cases.get(precision, ()))):
                    raise ValueError(f"graph '{graph}': case '{lacking[0]}': not among those of '{entry.inputs_of}'")
        return self
