"""Training goes on from any checkpoint to the same result, stops where it should, and says why."""

import errno
import json
from dataclasses import replace

import numpy as np
import pytest

from lossrt.bundle import files
from lossrt.device.finetune import checkpoint as checkpoint_module
from lossrt.device.finetune.checkpoint import load_state
from lossrt.device.finetune.loop import Divergence, Interruption
from lossrt.device.finetune.measurements import Measurements
from lossrt.errors import InputError, StorageError
from tests.device.finetune.samples import TARGET, LeastSquares, begin, features, pairs, trainer


class _Killed(BaseException):
    pass


def _killed_after(calls: int) -> LeastSquares:
    session = LeastSquares()
    run = session.run

    def stop(feeds):
        if session.calls == calls:
            raise _Killed
        return run(feeds)

    session.run = stop
    return session


def _result(folder):
    state = load_state(folder / "checkpoint", identity=trainer(folder).identity)
    return (
        (folder / "checkpoint" / "checkpoint.safetensors").read_bytes(),
        (folder / "metrics.jsonl").read_text(),
        state,
    )


def test_the_loss_falls_towards_the_solution(tmp_path) -> None:
    whole = trainer(tmp_path, epochs=60)
    state = begin(whole)
    assert whole.run(state) is None
    np.testing.assert_allclose(state.best["hm_0_weight"], TARGET, atol=0.05)
    assert state.position.best_loss < 0.01 * state.history.validations[0][1]
    assert len(state.history.steps) == 60 * 4
    assert len(state.history.validations) == 61


@pytest.mark.parametrize("calls", range(1, 31, 3))
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, calls) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = trainer(tmp_path / "whole")
    whole.run(begin(whole))
    stopped = trainer(tmp_path / "killed", _killed_after(calls))
    with pytest.raises(_Killed):
        stopped.run(begin(stopped))
    again = trainer(tmp_path / "killed")
    state = load_state(again.checkpoint, identity=again.identity)
    again.measurements.begin(state.history if state else None)
    assert again.run(state or begin(again)) is None
    assert _result(tmp_path / "killed")[:2] == _result(tmp_path / "whole")[:2]


def test_metrics_are_a_line_a_step_and_a_validation(tmp_path) -> None:
    whole = trainer(tmp_path, epochs=2, schedule="cosine")
    state = begin(whole)
    whole.run(state)
    text = (tmp_path / "metrics.jsonl").read_text()
    Measurements(tmp_path / "again.jsonl", state.history.loss_names).begin(state.history)
    assert text == (tmp_path / "again.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert ["step" if "step" in line else "validation" for line in lines] == (
        ["validation"] + (["step"] * 4 + ["validation"]) * 2
    )
    assert [line["epoch"] for line in lines] == [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert lines[0].keys() == {"epoch", "validation"}
    assert lines[0]["validation"].keys() == {"loss", "loss_hm"}
    assert lines[1].keys() == {"step", "epoch", "lr", "grad_norm", "losses", "mean", "window"}
    assert lines[1]["losses"].keys() == lines[1]["mean"].keys() == {"loss", "loss_hm"}
    assert lines[4]["lr"] < lines[1]["lr"] == 0.01


def test_each_epoch_has_every_frame_once_in_an_order_of_its_own(tmp_path) -> None:
    whole = trainer(tmp_path)
    orders = [[frame.index for some in whole.batches(epoch) for frame, _ in some] for epoch in range(3)]
    assert all(sorted(order) == list(range(1, 8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert orders[1] == [frame.index for some in whole.batches(1) for frame, _ in some]


def test_it_stops_when_nothing_gets_better(tmp_path) -> None:
    tired = trainer(tmp_path, epochs=50, patience=3, lr=1e-30)
    state = begin(tired)
    assert tired.run(state) is None
    assert (state.position.epoch, state.position.best_epoch) == (3, 0)
    np.testing.assert_array_equal(state.best["hm_0_weight"], 0)


def test_without_validation_the_last_weights_are_the_best(tmp_path) -> None:
    blind = trainer(tmp_path, validation=0, patience=1)
    state = begin(blind)
    blind.run(state)
    assert state.position.epoch == 5
    assert not state.history.validations
    np.testing.assert_array_equal(state.best["hm_0_weight"], state.carried["param_hm_0_weight"])


def _loss(weights) -> float:
    """The least squares of all frames, computed here."""
    rows = features(pairs(1, 12))["features"].astype(np.float64)
    return float(np.square(rows @ (weights - TARGET)).mean())


@pytest.mark.parametrize("validation", [4, 0], ids=["validated", "not validated"])
@pytest.mark.parametrize(
    ("lr", "batch", "what"),
    [(2.0, 2, "step "), (2.0, 8, None), (1e25, 8, None), (3e38, 2, "step 1: a weight after it ")],
    ids=["rises", "one step an epoch", "far off", "overflows"],
)
def test_divergence_is_told_and_the_checkpoint_keeps_good_weights(tmp_path, lr, batch, what, validation) -> None:
    wild = trainer(tmp_path, lr=lr, batch=batch, epochs=1 if batch == 8 else 5, validation=validation)
    with np.errstate(over="ignore", invalid="ignore"):
        found = wild.run(begin(wild))
    assert isinstance(found, Divergence)
    what = what or ("epoch 1: validation loss " if validation else "after step 1: loss ")
    assert str(found).startswith(what)
    assert str(found).endswith(": training diverged")
    kept = load_state(wild.checkpoint, identity=wild.identity)
    assert not kept.position.done
    assert _loss(kept.carried["param_hm_0_weight"]) < 11 * _loss(np.zeros(3))


def test_what_is_broken_before_the_first_step_is_no_divergence(tmp_path) -> None:
    own = trainer(tmp_path)
    own.measurements.begin(None)
    with pytest.raises(InputError, match="expected a finite loss before the first step, got nan"):
        own.start({"hm_0_weight": np.float32([np.nan, 0, 0])})
    assert not own.checkpoint.exists()


@pytest.mark.parametrize("asked", range(1, 20, 4))
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, asked) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole = trainer(tmp_path / "whole")
    whole.run(begin(whole))
    calls = []
    stopped = trainer(tmp_path / "stopped", stop=lambda: calls.append(0) or len(calls) >= asked, checkpoint_steps=100)
    found = stopped.run(begin(stopped))
    assert found == Interruption(asked - 1, 20)
    assert str(found) == f"interrupted after step {asked - 1} of 20"
    again = trainer(tmp_path / "stopped")
    state = load_state(again.checkpoint, identity=again.identity)
    assert len(state.history.steps) == asked - 1, "nothing is lost"
    again.measurements.begin(state.history)
    assert again.run(state) is None
    assert _result(tmp_path / "stopped")[:2] == _result(tmp_path / "whole")[:2]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch) -> None:
    half = trainer(tmp_path)
    state = begin(half)
    half.save(state)
    before = (half.checkpoint / "checkpoint.safetensors").read_bytes()

    def refuse(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left on device; the one before is whole"):
        half.run(state)
    assert (half.checkpoint / "checkpoint.safetensors").read_bytes() == before
    assert len(list(half.checkpoint.iterdir())) == 1


def test_a_checkpoint_of_something_else_is_refused(tmp_path) -> None:
    own = trainer(tmp_path)
    begin(own)
    with pytest.raises(InputError, match=r"is of a run with --lr 0\.01, and this one has 0\.5"):
        load_state(own.checkpoint, identity={**own.identity, "--lr": 0.5})
    with pytest.raises(InputError, match="is of a run with network a, and this one has b"):
        load_state(own.checkpoint, identity={**own.identity, "network": "b", "--lr": 0.5})
    left = own.checkpoint / f".{checkpoint_module.FILE}.x1"
    left.write_bytes(b"half")
    assert load_state(own.checkpoint, identity=own.identity) is not None
    assert not left.exists(), "a killed run's half checkpoint"
    with pytest.raises(InputError, match="expected a folder, got a file"):
        load_state(own.checkpoint / checkpoint_module.FILE, identity=own.identity)
    path = own.checkpoint / checkpoint_module.FILE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="expected one that `lossrt finetune` wrote"):
        load_state(own.checkpoint, identity=own.identity)
    assert load_state(tmp_path / "nothing", identity=own.identity) is None


def test_a_checkpoint_gives_back_all_of_a_run(tmp_path) -> None:
    own = trainer(tmp_path)
    state = begin(own)
    own.run(state)
    state.best = {"hm_0_weight": np.float32([7, 8, 9])}
    state.position = replace(state.position, best_epoch=2, best_loss=0.5, done=False)
    own.save(state)
    again = load_state(own.checkpoint, identity=own.identity)
    assert again.position == state.position
    assert again.history == state.history
    for name in ("carried", "best"):
        left, right = getattr(state, name), getattr(again, name)
        assert left.keys() == right.keys()
        assert all(left[key].dtype == right[key].dtype and (left[key] == right[key]).all() for key in left)
