"""The rules as data: read from `rules.toml`, checked, and asked by target."""

__all__ = ["AttributeRule", "Rule", "RuleSet", "Target", "find_targets", "load_rules"]

import functools
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lossrt.errors import InputError, nearest
from lossrt.validators.lint.findings import Consequence

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Version = tuple[int, int]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttributeRule(_Data):
    """An attribute and the values that a parser takes; `default` stands where a node does not give it."""

    name: str
    default: Any
    allowed: tuple[Any, ...]


class Rule(_Data):
    """One rule; all its conditions must hold (see the head of `rules.toml`)."""

    id: str
    ops: tuple[str, ...]
    tensorrt: str = ""
    rtx: bool = False
    stage: Literal["parse", "build"] = "parse"
    opset: int = 0
    attribute: AttributeRule | None = None
    attribute_given: tuple[str, ...] = ()
    const_inputs: tuple[int, ...] = ()
    static_inputs: tuple[int, ...] = ()
    without_inputs: tuple[int, ...] = ()
    max_outputs: int = 0
    types: dict[int, tuple[str, ...]] = Field(default_factory=dict)
    check: str = ""
    consequence: Consequence
    message: str
    fix: str
    sources: tuple[str, ...]


class _Target(_Data):
    runtime: str
    opset: int
    tensorrt: str = ""


class _Rtx(_Data):
    as_: str = Field(alias="as")
    adds: tuple[str, ...]
    lacks: tuple[str, ...]


class _Plugins(_Data):
    names: frozenset[str]
    deformable: frozenset[str]


class _File(_Data):
    sources: dict[str, str]
    targets: dict[str, _Target]
    aliases: dict[str, str]
    operators: dict[str, tuple[str, ...]]
    rtx: _Rtx
    plugins: _Plugins
    types: dict[str, tuple[str, ...]]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One parser to lint for.

    Attributes:
        name: What the user writes.
        runtime: What runs there, for people.
        opset: Newest ONNX opset that the parser documents.
        version: TensorRT's version that its facts are taken from.
        is_rtx: True for TensorRT for RTX, which has no plugins.
    """

    name: str
    runtime: str
    opset: int
    version: Version
    is_rtx: bool

    @property
    def functions(self) -> bool:
        """True where the parser inlines model-local functions by itself (since TensorRT 9.0)."""
        return self.version >= (9, 0)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All facts.

    Attributes:
        targets: By name, without aliases.
        aliases: Other names of targets.
        rules: The rules of the data file, in order.
        plugins: Plugins of TensorRT's own library that a node may name.
        deformable: Operator names under which deformable convolution is exported.
        sources: Text or address of every source.
    """

    targets: Mapping[str, Target]
    aliases: Mapping[str, str]
    rules: tuple[Rule, ...]
    plugins: frozenset[str]
    deformable: frozenset[str]
    sources: Mapping[str, str]
    _operators: Mapping[str, Version]
    _types: Mapping[str, Version]
    _rtx: _Rtx

    def rules_for(self, target: Target) -> tuple[Rule, ...]:
        """Return the rules that hold for a target."""
        return tuple(
            rule for rule in self.rules if (rule.rtx if target.is_rtx else _holds(rule.tensorrt, target.version))
        )

    def operator_known(self, op: str, target: Target) -> bool:
        """Say whether the parser has an importer for a standard operator."""
        if target.is_rtx and op in self._rtx.lacks:
            return False
        if target.is_rtx and op in self._rtx.adds:
            return True
        return op in self._operators and self._operators[op] <= target.version

    def operator_since(self, op: str) -> str:
        """Return the first TensorRT version that takes the operator, or nothing."""
        return ".".join(str(part) for part in self._operators.get(op, ()))

    def type_known(self, name: str, target: Target) -> bool:
        """Say whether the parser takes tensors of an element type, for example `bfloat16`."""
        return name in self._types and self._types[name] <= target.version

    def reference(self, sources: Iterable[str]) -> str:
        """Return the sources as one text."""
        return "; ".join(self.sources[source] for source in sources)


@functools.cache
def load_rules() -> RuleSet:
    """Read the data file of this package, once."""
    text = resources.files("lossrt.validators.lint").joinpath("rules.toml").read_text(encoding="utf-8")
    data = _File.model_validate(tomllib.loads(text))
    targets = {
        name: Target(name, entry.runtime, entry.opset, _version(entry.tensorrt or data.rtx.as_), not entry.tensorrt)
        for name, entry in data.targets.items()
    }
    return RuleSet(
        targets=targets,
        aliases=data.aliases,
        rules=data.rules,
        plugins=data.plugins.names,
        deformable=data.plugins.deformable,
        sources=data.sources,
        _operators={op: _version(since) for since, ops in data.operators.items() for op in ops},
        _types={kind: _version(since) for since, kinds in data.types.items() for kind in kinds},
        _rtx=data.rtx,
    )


def find_targets(names: Iterable[str], rules: RuleSet) -> tuple[Target, ...]:
    """Return the targets of these names, as they were written; `all` stands for every one without its aliases.

    Raises:
        InputError: There is none of a name, or no name is given.
    """
    found: dict[str, Target] = {}
    for name in names:
        known = rules.aliases.get(name, name)
        if name == "all":
            found |= rules.targets
        elif known in rules.targets:
            found[name] = replace(rules.targets[known], name=name)
        else:
            raise InputError(f"target '{name}': unknown; {nearest(name, [*rules.targets, *rules.aliases, 'all'])}")
    if not found:
        raise InputError(f"targets: expected at least one, got none; {nearest('', [*rules.targets, 'all'])}")
    return tuple(found.values())


def _version(text: str) -> Version:
    major, minor = (int(part) for part in text.split("."))
    return major, minor


def _holds(spec: str, version: Version) -> bool:
    """Say whether a version lies within, for example, `>=8.5,<10.0`; `*` holds for all, nothing for none."""
    if spec in ("", "*"):
        return spec == "*"
    for part in spec.split(","):
        if part.startswith(">="):
            if version < _version(part[2:]):
                return False
        elif not part.startswith("<") or version >= _version(part[1:]):
            return False
    return True
