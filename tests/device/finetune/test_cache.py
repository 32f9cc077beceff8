"""Frames' arrays on disk: within the limit, whole or not at all, and only our own files are ever removed."""

import errno

import numpy as np
import pytest

from lossrt.bundle import files
from lossrt.device.finetune.cache import FeatureCache, read_frame_arrays
from lossrt.errors import InputError, StorageError

KEYS = [f"{number:064x}" for number in range(4)]
ARRAYS = {"features": np.arange(6000, dtype=np.float32).reshape(6, 20, 50)}


def test_what_was_put_comes_back_until_the_limit(tmp_path) -> None:
    cache = FeatureCache(tmp_path / "cache", limit=60_000, keys=KEYS)
    assert cache.get(KEYS[0]) is None
    for key in KEYS:
        cache.put(key, ARRAYS)
    assert [cache.get(key) is not None for key in KEYS] == [True, True, False, False]
    np.testing.assert_array_equal(cache.get(KEYS[1])["features"], ARRAYS["features"])
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= 60_000


def test_earlier_runs_make_room_and_other_files_stay(tmp_path) -> None:
    FeatureCache(tmp_path, limit=60_000, keys=KEYS).put(KEYS[0], ARRAYS)
    FeatureCache(tmp_path, limit=60_000, keys=KEYS).put(KEYS[1], ARRAYS)
    (tmp_path / "notes.txt").write_text("mine")
    later = FeatureCache(tmp_path, limit=60_000, keys=KEYS[1:])
    assert later.get(KEYS[0]) is None
    later.put(KEYS[2], ARRAYS)
    assert later.get(KEYS[1]) is not None
    assert later.get(KEYS[2]) is not None
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_half_a_file_counts_as_none(tmp_path) -> None:
    cache = FeatureCache(tmp_path, limit=60_000, keys=KEYS)
    cache.put(KEYS[0], ARRAYS)
    path = tmp_path / f"{KEYS[0]}.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    assert cache.get(KEYS[0]) is None


def test_a_full_disk_is_said_so(tmp_path, monkeypatch) -> None:
    def refuse(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(StorageError, match="free space, choose another folder with --cache"):
        FeatureCache(tmp_path, limit=60_000, keys=KEYS).put(KEYS[0], ARRAYS)
    assert not list(tmp_path.iterdir())


def test_numpy_files_are_read_without_objects(tmp_path) -> None:
    np.savez(tmp_path / "sound.npz", **ARRAYS)
    np.testing.assert_array_equal(read_frame_arrays(tmp_path / "sound.npz")["features"], ARRAYS["features"])
    np.savez(tmp_path / "objects.npz", features=np.array([{}]))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("objects", "text"):
        with pytest.raises(InputError, match=f"{name}.npz': expected an .npz file of arrays"):
            read_frame_arrays(tmp_path / f"{name}.npz")
