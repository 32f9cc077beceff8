import pytest
from rich.table import Table

from lossrt.cli import console


def wide_table() -> Table:
    table = Table()
    for _ in range(10):
        table.add_column(no_wrap=True)
    table.add_row(*(f"figure_{column}" for column in range(10)))
    return table


def test_a_pipe_cuts_no_figure(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    console.show(wide_table())
    out = capsys.readouterr().out
    assert all(f"figure_{column}" in out for column in range(10))


@pytest.mark.parametrize("columns", [60, 90])
def test_columns_are_the_user_s_choice(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    console.show(wide_table())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= columns
