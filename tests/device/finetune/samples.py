"""A run without a network: features drawn at random, and a step written in numpy."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lossrt.device.finetune.loop import Trainer
from lossrt.device.finetune.measurements import Measurements
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.device.finetune.partition import Partition
from lossrt.device.finetune.step_graph import StepGraph
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from lossrt.targets.annotations import Frame

SPEC = GraphSpec(
    "head_step_full_sgd",
    (
        TensorSpec("features", "float32", ("B", 3), "prediction"),
        TensorSpec("param_hm_0_weight", "float32", (3,), "parameter"),
        TensorSpec("momentum_hm_0_weight", "float32", (3,), "parameter"),
        TensorSpec("lr", "float32", (), "parameter"),
    ),
    tuple(
        OutputSpec(name)
        for name in ("loss", "loss_hm", "grad_norm", "new_param_hm_0_weight", "new_momentum_hm_0_weight")
    ),
    {"B": 2},
)
TARGET = np.float32([1, -2, 3])


class LeastSquares:
    """Fits (w − target)·feature by SGD with momentum 0.9: loss = mean of squares."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        rows, weight = feeds["features"], feeds["param_hm_0_weight"]
        error = rows @ (weight - TARGET)
        gradient = 2 * error @ rows / np.float32(len(rows))
        momentum = np.float32(0.9) * feeds["momentum_hm_0_weight"] + gradient
        loss = np.float32(np.square(error).mean())
        return {
            "loss": loss,
            "loss_hm": loss,
            "grad_norm": np.float32(np.linalg.norm(gradient)),
            "new_param_hm_0_weight": weight - feeds["lr"] * momentum,
            "new_momentum_hm_0_weight": momentum,
        }


def frame(index: int, *, objects: int = 1, sequence: str = "street", class_id: int = 1) -> Frame:
    boxes = np.tile(np.float64([10, 10, 30, 50]), (objects, 1))
    ids = np.full(objects, class_id, dtype=np.int64)
    return Frame(sequence, index, 100, 200, boxes, np.arange(1, objects + 1), ids)


def pairs(first: int, last: int) -> tuple:
    return tuple((frame(index), None) for index in range(first, last))


def features(some: Sequence) -> dict[str, np.ndarray]:
    rows = [np.random.default_rng(frame.index).normal(size=3) for frame, _ in some]
    return {"features": np.float32(rows)}


def trainer(
    folder: Path, session: LeastSquares | None = None, *, validation=4, stop=lambda: False, **options
) -> Trainer:
    chosen = FinetuneOptions(**{"epochs": 5, "batch": 2, "lr": 0.01, "patience": 0, "checkpoint_steps": 2, **options})
    return Trainer(
        step=StepGraph(session or LeastSquares(), SPEC),
        batch=features,
        frames=Partition(pairs(1, 8), pairs(8, 8 + validation)),
        options=chosen,
        checkpoint=folder / "checkpoint",
        identity={"network": "a", "--lr": chosen.lr},
        progress=lambda _what, _done, _total: None,
        stop=stop,
        measurements=Measurements(folder / "metrics.jsonl", ("loss", "loss_hm")),
    )


def begin(trainer_: Trainer):
    trainer_.measurements.begin(None)
    return trainer_.start({"hm_0_weight": np.zeros(3, np.float32)})


def options(**changes) -> FinetuneOptions:
    """Three steps an epoch, two frames to validate on."""
    return FinetuneOptions(**{"epochs": 3, "batch": 2, "validation": 0.25, "patience": 0, "lr": 1e-2, **changes})
