"""The committed costs: `python -m tests.device.cost_baseline` measures every recipe and checks; `--write` writes them anew.

One recipe's graphs are exported without golden cases, and compiled for one GPU, as `lossrt build` does it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from lossrt.bundle import Bundle, GraphEntry, Manifest, replace_file, write_bundle
from lossrt.cli import console
from lossrt.device.build import BuildOptions, build_engines
from lossrt.device.cost import Ledger, compare_costs, ledger_of, read_ledger
from lossrt.recipe import Recipe, load_recipe, preset_names

BASELINE = Path(__file__).with_name("cost_baseline.json")
GPU = "8.9"
PRECISIONS = ("fp32", "fp16", "bf16")
WHOLE = "mot17"
"""The recipe all of whose graphs are listed; of the others, the total in fp32."""


def graphs_bundle(recipe: Recipe, place: Path, *, graphs: Sequence[str], precisions: Sequence[str]) -> Bundle:
    """Export graphs of a recipe, batch open, into a bundle without golden cases."""
    from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
    from lossrt.models import GRAPHS
    from lossrt.passes.precision import cast_maps, map_names

    def fill(folder: Path) -> Manifest:
        (folder / "graphs").mkdir()
        entries = {}
        for name in graphs:
            spec = GRAPHS[name].spec(recipe)
            model = onnx_from_graph(GRAPHS[name], recipe, options=ExportOptions())
            for precision in precisions:
                typed = model if precision == "fp32" else cast_maps(model, map_names(spec), to=precision)
                onnx.save(typed, folder / "graphs" / f"{name}.{precision}.onnx")
            entries[name] = GraphEntry(spec=spec, precisions=tuple(precisions), cases=dict.fromkeys(precisions, ()))
        return Manifest(
            name=recipe.name,
            recipe=recipe,
            target="ort",
            gather="function",
            dynamic=("B",),
            annotations="none",
            seed=0,
            graphs=entries,
            tools={},
        )

    return write_bundle(place, fill)


def measured(bundle: Bundle) -> Ledger:
    """Compile a bundle for the baseline's GPU; figures only."""
    notes = build_engines(bundle, options=BuildOptions("rtx", (GPU,)))
    return ledger_of(bundle, notes).figures_only()


def measured_recipe(name: str) -> Ledger:
    """Export and compile what the baseline holds of a recipe."""
    from lossrt.models import graph_names

    recipe = load_recipe(name)
    graphs = graph_names(recipe) if name == WHOLE else ("generic_loss",)
    with tempfile.TemporaryDirectory(prefix="lossrt-cost-") as place:
        precisions = PRECISIONS if name == WHOLE else ("fp32",)
        return measured(graphs_bundle(recipe, Path(place) / name, graphs=graphs, precisions=precisions))


def main() -> None:
    """Measure and check, or write."""
    parser = argparse.ArgumentParser(description="Costs of every recipe's engines against the committed ones.")
    parser.add_argument("--write", action="store_true", help="write the baseline anew")
    write = parser.parse_args().write
    rows = []
    for name in preset_names():
        console.note(f"{name} ...")
        rows += measured_recipe(name).rows
    ledger = Ledger(rows=tuple(rows))
    before = read_ledger(BASELINE) if BASELINE.is_file() else ledger
    changes = [change for change in compare_costs(before, ledger) if change.change != "same"]
    for change in changes:
        console.say(change.message)
    if write:
        replace_file(BASELINE, _one_line_a_row(ledger).encode())
    elif any(change.change in ("dearer", "new", "gone") for change in changes):
        sys.exit("cost: the baseline does not hold; if that is meant, write it anew: make cost WRITE=1")


def _one_line_a_row(ledger: Ledger) -> str:
    rows = (json.dumps(row.model_dump(exclude={"kernel_nodes"})) for row in ledger.rows)
    return '{"schema": 1, "rows": [\n' + ",\n".join(rows) + "\n]}\n"


if __name__ == "__main__":
    main()
