"""The guide for the device names only verbs, flags and modules that are there."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import typer

from lossrt.cli.main import app

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "jetson.md"


def commands() -> list[str]:
    text = GUIDE.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^\$ lossrt (.+)$", text, re.MULTILINE)


def test_there_are_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_guide(line: str) -> None:
    verb, *words = line.split(" | ")[0].split()
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    flags = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    assert flags <= known, sorted(flags - known)


def test_what_the_guides_python_imports_is_there() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    imports = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("lossrt.")]
    assert ours
    for node in ours:
        if node.module.startswith(("lossrt.export", "lossrt.models")):
            pytest.importorskip("torch", reason="the torch side needs PyTorch")
        module = importlib.import_module(node.module)
        for name in node.names:
            assert hasattr(module, name.name), f"{node.module}.{name.name}"
