import json
import random

import numpy as np

from tests.prove.overhead import contenders, differences
from tests.prove.soak import Soak, soak
from tests.prove.stream import command, killed, watched, write_recording


def test_a_short_soak_finds_nothing(small_bundle):
    found = soak(small_bundle, calls=2000)
    assert found.different == 0
    assert len(found.memory_mb) == 10
    assert found.growth_mb < 8


def test_growth_counts_from_the_end_of_the_warm_up():
    assert Soak(memory_mb=[50, 100, 101, 103, 102]).growth_mb == 3


def test_every_contender_computes_the_same(small_bundle):
    calls = contenders(small_bundle)
    bound = calls.pop("bare bound")
    assert bound() is None
    results = {}
    for name, call in calls.items():
        given = call()
        results[name] = [float(value) for value in (given.values() if isinstance(given, dict) else given)]
    assert len({tuple(values) for values in results.values()}) == 1
    assert all(np.all(seconds > 0) for seconds in differences(calls, rounds=3, warm_up=1).values())


def test_killed_runs_go_on_as_if_they_had_never_stopped(small_bundle, small_recipe, tmp_path):
    frames = 200
    words = write_recording(small_recipe, tmp_path, frames=frames)
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    memory, rate = watched(command(small_bundle.root, words, whole), whole, frames=frames)
    assert rate > 0
    assert all(value > 0 for value in memory)
    assert killed(command(small_bundle.root, words, parts), parts, kills=2, frames=frames, chance=random.Random(1)) >= 1
    assert parts.read_bytes() == whole.read_bytes()
    assert json.loads(whole.read_bytes().splitlines()[-1])["summary"]["frames"] == frames
