"""Options out of range are refused, and the learning rate follows its schedule."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.device.finetune.options import FinetuneOptions, learning_rate
from lossrt.errors import InputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scope": "ful"}, "--scope 'ful': unknown; did you mean 'full'"),
        ({"optimizer": "adam"}, "--optimizer 'adam': unknown; did you mean 'adamw'"),
        ({"schedule": "cos"}, "--schedule 'cos': unknown"),
        ({"epochs": 0}, "--epochs: expected at least 1, got 0"),
        ({"checkpoint_steps": 0}, "--checkpoint-steps: expected at least 1"),
        ({"validation": 1.0}, r"--validation: expected a fraction in \[0, 1\), got 1.0"),
        *(
            ({"lr": lr}, "--lr: expected a learning rate that float32 holds, > 0, got")
            for lr in (math.nan, 0, 1e39, 1e-60)
        ),
    ],
    ids=["scope", "optimizer", "schedule", "epochs", "checkpoint-steps", "validation", "nan", "0", "1e39", "1e-60"],
)
def test_what_cannot_be_is_refused(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        FinetuneOptions(**changes)


@given(st.integers(1, 500), st.floats(1e-6, 1))
def test_schedules_begin_at_lr_and_never_rise(total, lr) -> None:
    for schedule in ("constant", "cosine", "step"):
        options = FinetuneOptions(schedule=schedule, lr=lr)
        rates = [learning_rate(options, done, total) for done in range(total)]
        assert rates[0] == lr
        assert all(0 < after <= before for before, after in itertools.pairwise(rates))


def test_schedules_take_their_form() -> None:
    assert learning_rate(FinetuneOptions(schedule="cosine", lr=2), 50, 100) == pytest.approx(1)
    assert learning_rate(FinetuneOptions(schedule="cosine", lr=2), 25, 100) == pytest.approx(1 + math.sqrt(0.5))
    step = FinetuneOptions(schedule="step", lr=2)
    assert [learning_rate(step, done, 70) for done in (0, 59, 60, 69)] == pytest.approx([2, 2, 0.2, 0.2])
    assert learning_rate(FinetuneOptions(lr=2), 99, 100) == 2
