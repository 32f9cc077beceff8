"""The command line, run in this process."""

import sys
from collections.abc import Callable

import pytest

from lossrt.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(*words)` gives exit code, standard output and standard error."""

    def run_once(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lossrt", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main.main()
        return int(left.value.code or 0), *capsys.readouterr()

    return run_once
