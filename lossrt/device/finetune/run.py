"""From a network's file to a network's file, with its heads tuned: `lossrt finetune`."""

__all__ = ["FinetuneFiles", "FinetuneResult", "finetune"]

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossrt.bundle import Bundle, check_outputs
from lossrt.device.backend import Backend
from lossrt.device.evaluate.sinks import Sink
from lossrt.device.evaluate.statistics import check_window
from lossrt.device.finetune.batches import FrameArrays, cache_keys, frame_digests
from lossrt.device.finetune.cache import FeatureCache
from lossrt.device.finetune.checkpoint import State, load_state
from lossrt.device.finetune.loop import Divergence, Interruption, Trainer
from lossrt.device.finetune.measurements import WINDOW, Measurements
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.device.finetune.partition import Partition, partition
from lossrt.device.finetune.setup import FinetuneInputs, Network, Runtime, feature_source, read_inputs, wires
from lossrt.device.finetune.sources import FeatureSource, FolderSource
from lossrt.device.finetune.step_graph import StepGraph, open_step, require_graph
from lossrt.errors import StorageError
from lossrt.passes.external_data import data_files
from lossrt.passes.merge import check_out_path, check_tuned, write_merged
from lossrt.passes.network_file import read_network
from lossrt.passes.split import parameter_arrays, save_heads
from lossrt.recipe import Recipe

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class FinetuneFiles:
    """What a run writes.

    Attributes:
        out: The tuned network; its heads come beside it as `.safetensors`.
        checkpoint: Folder of the checkpoint; `<out>.checkpoint` without it.
        cache: Folder of the frozen part's maps; `<out>.features` without it.
        cache_limit: Bytes that they may take; what does not fit is computed again in each epoch.
        metrics: JSON Lines, a line a step and a validation; `<out>.metrics.jsonl` without it.
    """

    out: Path
    checkpoint: Path | None = None
    cache: Path | None = None
    cache_limit: float = 4 * GIB
    metrics: Path | None = None

    def beside(self, given: Path | None, suffix: str) -> Path:
        """Return a path that was given, or one beside the output."""
        return given or self.out.with_name(f"{self.out.name}.{suffix}")


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """What a run came to.

    Attributes:
        state: Where it ended.
        stop: Why it was stopped, and nothing written; None where it was not.
        resumed: Steps that an earlier run had done; None where there was none.
    """

    state: State
    stop: Divergence | Interruption | None
    resumed: int | None


def finetune(
    inputs: FinetuneInputs,
    bundle: Bundle,
    files: FinetuneFiles,
    *,
    options: FinetuneOptions,
    backend: Backend | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    stop: Callable[[], bool] = lambda: False,
    window: int = WINDOW,
    sinks: Callable[[Sequence[str]], Sequence[Sink]] = lambda _names: (),
) -> FinetuneResult:
    """Tune a network's heads, or go on where an earlier run of the same kind was stopped.

    Args:
        inputs: Network and annotated frames.
        bundle: Exported from the network's recipe, with the step's graph.
        files: What to write, and where.
        options: How to train.
        backend: What runs the network's frozen part and the steps; None for ONNX Runtime on the CPU.
        progress: Called with what is being done, steps done and steps in all.
        stop: Asked at each step whether to stop there, with a checkpoint.
        window: Steps of the windowed means.
        sinks: Given the losses' names, opens what else is shown each step.

    Raises:
        InputError: The network's heads, the bundle, the frames or an earlier checkpoint do not fit.
        BackendError: The backend is missing or fails.
        StorageError: The disk refused; the checkpoint before is whole.
    """
    check_window(window)
    _check_places(inputs, bundle, files)
    recipe = require_graph(bundle, options)
    parts = partition(inputs.sequences, recipe, fraction=options.validation, seed=options.seed)
    network = read_inputs(inputs, recipe)
    progress("loading", 0, 1)
    chosen = backend or Backend()
    step = open_step(bundle, options, backend=chosen)
    with _scratch(files.beside(files.checkpoint, "checkpoint")) as scratch, step.session:
        runtime = Runtime(bundle, chosen, scratch, inputs.network)
        source = feature_source(inputs, network, recipe, options=options, runtime=runtime)
        digests = frame_digests((*parts.train, *parts.validation), source)
        common = _common(network, recipe, options, chosen)
        trainer = Trainer(
            step=step,
            batch=_arrays(
                network, source, step, recipe, options=options, files=files, keys=cache_keys(digests, common)
            ).batch,
            frames=parts,
            options=options,
            checkpoint=files.beside(files.checkpoint, "checkpoint"),
            identity=_identity(network, bundle, parts, options=options, backend=chosen, digests=digests),
            progress=progress,
            stop=stop,
            measurements=Measurements(
                files.beside(files.metrics, "metrics.jsonl"),
                step.loss_names,
                window=window,
                sinks=sinks(step.loss_names),
            ),
        )
        return _train(trainer, network, files)


def _check_places(inputs: FinetuneInputs, bundle: Bundle, files: FinetuneFiles) -> None:
    """Check every place before any work: a run takes hours, and ends with its output."""
    check_out_path(inputs.network, files.out)
    written = {
        "output": files.out,
        "output beside it": files.out.with_suffix(".safetensors"),
        "--metrics": files.beside(files.metrics, "metrics.jsonl"),
    }
    folders = {
        "--checkpoint": files.beside(files.checkpoint, "checkpoint"),
        "--cache": files.beside(files.cache, "features"),
    }
    weights = {
        f"network's weights {name}": inputs.network.parent / name for name in data_files(read_network(inputs.network))
    }
    read = {"network": inputs.network, **weights, "images": inputs.frames, "features": inputs.features}
    check_outputs(written, folders=folders, kept=read, bundle=bundle)


@contextmanager
def _scratch(checkpoint: Path) -> Iterator[Path]:
    """Yield a folder for parts of the network; one that a killed run left is used again, so that none pile up."""
    folder, own = checkpoint / ".lossrt-parts", not checkpoint.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"--checkpoint '{checkpoint}': cannot be made: {error.strerror or error}; choose another place"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if own:
            with suppress(OSError):
                checkpoint.rmdir()  # it stays where something was saved


def _common(network: Network, recipe: Recipe, options: FinetuneOptions, backend: Backend) -> dict[str, Any]:
    """Return what the maps of every frame follow from."""
    return {
        "network": network.digest,
        "features": network.heads.features,
        "scope": options.scope,
        "recipe": recipe.model_dump(mode="json"),
        "runtime": backend.runtime,
    }


def _arrays(
    network: Network,
    source: FeatureSource,
    step: StepGraph,
    recipe: Recipe,
    *,
    options: FinetuneOptions,
    files: FinetuneFiles,
    keys: Mapping[tuple[str, int], str],
) -> FrameArrays:
    cache = None
    if not (isinstance(source, FolderSource) and options.scope == "full"):  # else it is on the disk as it is
        folder = files.beside(files.cache, "features")
        cache = FeatureCache(folder, limit=files.cache_limit, keys=set(keys.values()))
    return FrameArrays(source, wires(network.heads, options), step.spec, recipe, cache, keys)


def _identity(
    network: Network,
    bundle: Bundle,
    parts: Partition,
    *,
    options: FinetuneOptions,
    backend: Backend,
    digests: Mapping[tuple[str, int], str],
) -> dict[str, Any]:
    """Return what the result follows from, to the bit; the number of threads too: sums are split among them."""
    chosen = {f"--{name}": value for name, value in dataclasses.asdict(options).items() if name != "checkpoint_steps"}
    listed = [[digests[f.sequence, f.index] for f, _ in pairs] for pairs in (parts.train, parts.validation)]
    return {
        "network": network.digest,
        "bundle": bundle.bundle_id,
        **chosen,
        "--backend": backend.runtime,
        "--threads": backend.threads or f"(as {os.cpu_count()} cores have it)",
        "frames": hashlib.sha256(repr(listed).encode()).hexdigest(),
    }


def _train(trainer: Trainer, network: Network, files: FinetuneFiles) -> FinetuneResult:
    names = network.initializers(trainer.step)
    own = network.heads.parameters()
    arrays = parameter_arrays(network.model, list(own.values()), network.path.parent)
    state = load_state(trainer.checkpoint, identity=trainer.identity)
    trainer.measurements.begin(state.history if state else None)
    resumed = len(state.history.steps) if state else None
    if state is None:
        state = trainer.start({wire: arrays[name] for wire, name in names.items()})
    if stop := trainer.run(state):
        return FinetuneResult(state, stop, resumed)
    tuned = {names[wire]: array for wire, array in state.best.items()}
    check_tuned(network.model, tuned, what="tuned heads")
    write_merged(network.path, tuned, files.out, heads=save_heads(arrays | tuned, network.heads))
    return FinetuneResult(state, None, resumed)
