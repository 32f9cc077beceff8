"""Every name of TensorRT's API that we touch exists in each version that we serve, or is asked for before it is used.

The names are read from our sources: chains from the module, and attributes of the variables that hold its objects. The
dumps are made by `tests/api/dump.py` from the binding wheels.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DUMPS = sorted(Path(__file__).parent.glob("*.json"))
MODULE = ""

# What holds which of TensorRT's objects, by file. Other variables hold none: a test below sees to that.
OBJECTS = {
    "lossrt/runtime/adapter.py": {
        "trt": MODULE,
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "config": "IBuilderConfig",
        "error": "ParserError",
        "severity": "ILogger.Severity",
        "logger": "ILogger",
    },
    "lossrt/runtime/trt.py": {
        "module": MODULE,
        "self._runtime": "Runtime",
        "self._engine": "ICudaEngine",
        "self._context": "IExecutionContext",
        "self._logger": "ILogger",
    },
    "lossrt/validators/lint/parser_process.py": {
        "trt": MODULE,
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "error": "ParserError",
        "logger": "ILogger",
    },
}
RTX_ONLY = {"lossrt/validators/lint/parser_process.py"}

# Our own attributes on our own logger.
OURS = {("ILogger", "errors")}


@dataclass(frozen=True)
class Touched:
    """A member that a source uses; `probed` where the same source asks for it with hasattr."""

    owner: str
    name: str
    line: int
    probed: bool


def touched_in(source: str, objects: Mapping[str, str]) -> Iterator[Touched]:
    """Yield every member of TensorRT's API that a source names."""
    tree = ast.parse(source)
    probed = set(probed_names(tree))
    for entry in ast.walk(tree):
        if isinstance(entry, ast.Attribute) and not entry.attr.startswith("_"):
            owner = owner_of(entry.value, objects)
            if owner is not None and (owner, entry.attr) not in OURS:
                yield Touched(owner, entry.attr, entry.lineno, entry.attr in probed)


def owner_of(value: ast.expr, objects: Mapping[str, str]) -> str | None:
    """Return the class that an expression is an instance of, or is itself; None where it is not TensorRT's."""
    text = ast.unparse(value)
    if text in objects:
        return objects[text]
    if isinstance(value, ast.Attribute):
        owner = owner_of(value.value, objects)
        if owner == MODULE or (owner is not None and value.attr[0].isupper()):
            return f"{owner}.{value.attr}".lstrip(".")
    return None


def probed_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that hasattr is asked for, written out or taken from a tuple beside it."""
    for entry in ast.walk(tree):
        if (
            isinstance(entry, ast.Call)
            and ast.unparse(entry.func) == "hasattr"
            and isinstance(entry.args[1], ast.Constant)
        ):
            yield entry.args[1].value
        if isinstance(entry, ast.GeneratorExp) and "hasattr" in ast.unparse(entry):
            for loop in entry.generators:
                if isinstance(loop.iter, ast.Tuple):
                    yield from (name.value for name in loop.iter.elts if isinstance(name, ast.Constant))


def missing_from(names: Mapping[str, list[str] | None], touched: Touched) -> bool:
    if touched.owner == MODULE:
        return touched.name not in names
    return touched.name not in (names.get(touched.owner) or ())


def served(path: str) -> list[Path]:
    return [dump for dump in DUMPS if "rtx" in dump.name or path not in RTX_ONLY]


CHECKED = [(path, dump) for path in OBJECTS for dump in served(path)]


@pytest.mark.parametrize(("path", "dump"), CHECKED, ids=lambda value: value.stem if isinstance(value, Path) else value)
def test_every_name_exists_or_is_probed(path: str, dump: Path) -> None:
    names = json.loads(dump.read_text())["names"]
    touched = list(touched_in((ROOT / path).read_text(), OBJECTS[path]))
    assert len(touched) >= 8
    lost = [
        f"{path}:{entry.line}: {entry.owner}.{entry.name}"
        for entry in touched
        if missing_from(names, entry) and not entry.probed
    ]
    assert lost == []


@pytest.mark.parametrize("path", OBJECTS)
def test_what_comes_out_of_the_api_is_known_here(path: str) -> None:
    """A new variable that holds one of TensorRT's objects has to be added to `OBJECTS`."""
    values = {
        "number",
        "accepted",
        "names",
        "mode",
        "shape",
        "kind",
        "name",
        "errors",
        "reasons",
        "known",
        "wanted",
        "results",
    }
    for entry in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(entry, ast.Assign) and isinstance(entry.value, ast.Call):
            source = entry.value.func.value if isinstance(entry.value.func, ast.Attribute) else None
            if source is not None and owner_of(source, OBJECTS[path]) is not None:
                held = {ast.unparse(target) for target in entry.targets}
                assert held <= set(OBJECTS[path]) | values, f"{path}:{entry.lineno}"


def test_five_apis() -> None:
    versions = {dump.stem: json.loads(dump.read_text())["version"] for dump in DUMPS}
    assert versions == {
        "tensorrt-8.6": "8.6.1",
        "tensorrt-10.3": "10.3.0",
        "tensorrt-10.13": "10.13.0.35",
        "tensorrt-11.4": "11.4.0.106",
        "tensorrt-rtx-1.7": "1.7.1.116",
    }


def test_what_the_dumps_differ_in() -> None:
    """The differences that the adapter bridges, so that a dump of nothing cannot pass."""
    names = {dump.stem: json.loads(dump.read_text())["names"] for dump in DUMPS}
    has = {
        version: {
            "STRONGLY_TYPED": "STRONGLY_TYPED" in known["NetworkDefinitionCreationFlag"],
            "FP16": "FP16" in known["BuilderFlag"],
            "BF16": "BF16" in known["DataType"],
            "node_name": "node_name" in known["ParserError"],
            "execute_async_v3": "execute_async_v3" in known["IExecutionContext"],
            "ComputeCapability": "ComputeCapability" in known,
        }
        for version, known in names.items()
    }
    expected = ("STRONGLY_TYPED", "FP16", "BF16", "node_name", "execute_async_v3", "ComputeCapability")
    assert has == {
        "tensorrt-8.6": dict(zip(expected, (False, True, False, False, True, False), strict=True)),
        "tensorrt-10.3": dict(zip(expected, (True, True, True, True, True, False), strict=True)),
        "tensorrt-10.13": dict(zip(expected, (True, True, True, True, True, False), strict=True)),
        "tensorrt-11.4": dict(zip(expected, (True, False, True, True, True, False), strict=True)),
        "tensorrt-rtx-1.7": dict(zip(expected, (True, False, True, True, True, True), strict=True)),
    }


def test_a_name_that_is_not_there_is_seen() -> None:
    """The reader itself: chains, objects, enums; probed and not."""
    source = """
def build(trt, network):
    builder = trt.Builder(trt.ILogger.Severity.NONSENSE)
    builder.build_everything()
    if hasattr(network, "get_flag"):
        network.get_flag(0)
    known = trt.Gone
    flags = sum(1 for name in ("A", "B") if hasattr(known, name))
    network.A
"""
    found = {
        (entry.owner, entry.name, entry.probed) for entry in touched_in(source, OBJECTS["lossrt/runtime/adapter.py"])
    }
    assert found == {
        (MODULE, "Builder", False),
        (MODULE, "ILogger", False),
        ("ILogger", "Severity", False),
        ("ILogger.Severity", "NONSENSE", False),
        ("Builder", "build_everything", False),
        ("INetworkDefinition", "get_flag", True),
        (MODULE, "Gone", False),
        ("INetworkDefinition", "A", True),
    }
    names = json.loads((Path(__file__).parent / "tensorrt-10.3.json").read_text())["names"]
    lost = {
        name for owner, name, probed in found if missing_from(names, Touched(owner, name, 0, probed)) and not probed
    }
    assert lost == {"NONSENSE", "build_everything", "Gone"}
