"""The data file: every fact has a source, every check exists, versions and names are understood."""

import re

import pytest
from onnx import defs

from lossrt.errors import InputError
from lossrt.platforms import PLATFORMS
from lossrt.validators.lint.checks import CHECKS
from lossrt.validators.lint.ruleset import _holds, find_targets, load_rules

RULES = load_rules()


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_every_rule_is_whole(rule) -> None:
    assert rule.rtx or rule.tensorrt
    assert rule.sources
    assert RULES.reference(rule.sources)
    assert not rule.check or rule.check in CHECKS
    assert set(re.findall(r"\{(\w+)\}", rule.message)) <= {"op", "detail", "value"}
    assert all(RULES.operator_since(op) or RULES.operator_known(op, RULES.targets["rtx"]) for op in rule.ops)


def test_rules_and_checks_are_named_once_and_all_used() -> None:
    names = [rule.id for rule in RULES.rules]
    assert len(set(names)) == len(names)
    assert set(CHECKS) == {rule.check for rule in RULES.rules if rule.check}


def test_operators_exist() -> None:
    known = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
    # Operators of ONNX's first years, which the parser still reads.
    known |= {"ImageScaler", "ParametricSoftplus", "ScaledTanh"}
    listed = {op for target in RULES.targets.values() for op in known if RULES.operator_known(op, target)}
    assert listed
    assert {op for op in RULES._operators if op not in known} == set()


def test_every_platform_of_the_export_is_a_target_that_reads_its_opset() -> None:
    for platform in PLATFORMS.values():
        if platform.name != "ort":
            target = RULES.targets[platform.name]
            assert platform.opset <= target.opset
            assert platform.functions == target.functions
            assert platform.bfloat16 == RULES.type_known("bfloat16", target)


@pytest.mark.parametrize(
    ("spec", "inside", "outside"),
    [
        ("*", [(8, 5), (11, 1)], []),
        ("", [], [(8, 5), (11, 1)]),
        ("<8.6", [(8, 5)], [(8, 6), (10, 3)]),
        (">=10.0,<10.9", [(10, 0), (10, 8)], [(9, 3), (10, 9), (10, 13)]),
        (">=10.9", [(10, 9), (10, 13), (11, 1)], [(10, 8)]),
        ("nonsense", [], [(8, 5)]),
    ],
    ids=str,
)
def test_versions(spec: str, inside: list, outside: list) -> None:
    assert all(_holds(spec, version) for version in inside)
    assert not any(_holds(spec, version) for version in outside)


def test_targets() -> None:
    assert [target.name for target in find_targets(["all"], RULES)] == list(RULES.targets)
    assert [target.name for target in find_targets(["trt10.3", "jetpack6", "trt10.3"], RULES)] == [
        "trt10.3",
        "jetpack6",
    ]
    first, second = find_targets(["trt10.3", "jetpack6"], RULES)
    assert first.version == second.version == (10, 3)
    with pytest.raises(InputError, match="target 'jetpak6': unknown; did you mean 'jetpack6'"):
        find_targets(["jetpak6"], RULES)
    with pytest.raises(InputError, match="expected at least one"):
        find_targets([], RULES)


def test_what_each_version_knows() -> None:
    t = RULES.targets
    assert RULES.operator_known("NonZero", t["jetpack5"])
    assert not RULES.operator_known("NonZero", t["rtx"])
    assert RULES.operator_known("DeformConv", t["jetpack6"])
    assert not RULES.operator_known("DeformConv", t["jetpack6.0"])
    assert RULES.operator_known("Swish", t["rtx"])
    assert not RULES.operator_known("Swish", t["trt11"])
    assert [RULES.type_known("bfloat16", target) for target in t.values()] == [False, False, True, True, True, True]
