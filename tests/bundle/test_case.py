from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from lossrt.bundle import Case
from lossrt.errors import InputError


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int32, np.int64, np.float16, ml_dtypes.bfloat16, np.float32, np.float64], ids=str
)
def test_case_types(tmp_path: Path, dtype: type) -> None:
    array = np.array([[0, 1, 0], [1, 1, 3]]).astype(dtype)
    Case("odd", {"x": array, "scalar": array[1, 2]}).save(tmp_path / "odd.safetensors")
    loaded = Case.load(tmp_path / "odd.safetensors")
    assert loaded.name == "odd"
    assert loaded.input["x"].dtype == loaded.input["scalar"].dtype == dtype
    assert loaded.input["scalar"].shape == ()
    assert loaded.input["x"].tobytes() == array.tobytes()
    loaded.input["x"][0, 0] = 1  # a copy of its own, to be written to


def test_a_case_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\x10\x00")
    with pytest.raises(InputError, match=r"case '.*bad\.safetensors': expected a safetensors file"):
        Case.load(path)
    Case("bad", {"x": np.zeros(4)}).save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="expected a safetensors file"):
        Case.load(path)
    path.unlink()
    with pytest.raises(InputError, match="expected a safetensors file"):
        Case.load(path)


@pytest.mark.parametrize("key", ["inputs/x", "input/", "x"])
def test_a_case_with_a_key_of_no_section(tmp_path: Path, key: str) -> None:
    from safetensors.numpy import save_file

    save_file({key: np.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=rf"key '{key}': expected input\|reference\|oracle\|scale\|terms.*/<name>"):
        Case.load(tmp_path / "odd.safetensors")


def test_the_own_error_of_what_is_not_kept_travels(tmp_path: Path) -> None:
    Case("slim", {}, own_error={"grad_pred_hm": np.array(1e-9)}).save(tmp_path / "slim.safetensors")
    loaded = Case.load(tmp_path / "slim.safetensors")
    assert (loaded.input, loaded.oracle) == ({}, {})
    assert float(loaded.own_error["grad_pred_hm"]) == 1e-9
