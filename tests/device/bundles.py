"""A bundle of one small graph, made without PyTorch."""

from pathlib import Path

from lossrt.bundle import Bundle, GraphEntry, Manifest, write_bundle
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from tests.runtime.graphs import masked_l1, save


def l1_bundle(
    place: Path, *, low: float = 1e-4, target: str = "ort", graph: str = "l1", precision: str = "fp32"
) -> Bundle:
    """Σ|(pred − target)·mask| / (Σ mask + low) over [B, 4], batch open up to 10."""
    tensors = tuple(TensorSpec(tensor, "float32", ("B", 4), "target") for tensor in ("pred", "target", "mask"))
    spec = GraphSpec(graph, tensors, (OutputSpec("loss"),), {"B": 10})

    def fill(folder: Path) -> Manifest:
        (folder / "graphs").mkdir()
        save(masked_l1(batch="B", low=low), folder / "graphs" / f"{graph}.{precision}.onnx")
        return Manifest(
            name="own",
            recipe=None,
            target=target,
            gather="inline",
            dynamic=("B",),
            annotations="none",
            seed=0,
            graphs={graph: GraphEntry(spec=spec, precisions=(precision,), cases={precision: ()})},
            tools={},
        )

    return write_bundle(place, fill)
