import json
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from lossrt.device.evaluate.image_file import open_image_file
from lossrt.errors import InputError

A = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
B = np.arange(4, dtype=np.int64)


def save(path, **arrays):
    """Write the arrays in the format that the name says."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


def read_all(path):
    with open_image_file(path, what="heads", names={"a"}) as file:
        return [file.part("a", image, 4) for image in range(4)]


@pytest.fixture(params=["h.safetensors", "h.npz"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_images_come_one_by_one(path):
    with open_image_file(save(path, a=A, b=B, c=A), what="heads", names={"a", "b", "missing"}) as file:
        assert {name: str(layout) for name, layout in file.layouts.items()} == {
            "a": "float32[4, 2, 3]",
            "b": "int64[4]",
        }
        for image in (0, 1, 3):
            assert np.array_equal(file.part("a", image, 4), A[image].ravel())
        assert file.part("b", 0, 1).tolist() == [0, 1, 2, 3]
        assert np.array_equal(file.part("a", 1, 4), A[1].ravel())  # and back


def test_a_compressed_archive_is_read_too(tmp_path):
    np.savez_compressed(tmp_path / "h.npz", a=A)
    with open_image_file(tmp_path / "h.npz", what="heads", names={"a"}) as file:
        assert np.array_equal(file.part("a", 2, 4), A[2].ravel())


def test_bfloat16_is_read(tmp_path):
    values = np.array([[1.5, -2.0], [3.0, 0.25]], dtype=ml_dtypes.bfloat16)
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "h.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + values.tobytes())
    with open_image_file(tmp_path / "h.safetensors", what="heads", names={"a"}) as file:
        assert file.part("a", 1, 2).tolist() == [3.0, 0.25]


def test_a_scalar_and_an_empty_array(path):
    with open_image_file(save(path, a=np.array(7), b=np.zeros((2, 0))), what="heads", names={"a", "b"}) as file:
        assert file.part("a", 0, 1).tolist() == [7]
        assert file.part("b", 1, 2).size == 0


def test_python_objects_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('loaded')",))

    np.savez(tmp_path / "h.npz", a=np.array([Trap()], dtype=object))
    with pytest.raises(InputError, match=r"heads '.*h.npz': array 'a': holds Python objects, which could run code"):
        open_image_file(tmp_path / "h.npz", what="heads", names={"a"})


def test_fortrans_order_is_refused(tmp_path):
    np.savez(tmp_path / "h.npz", a=np.asfortranarray(A))
    with pytest.raises(InputError, match=r"array 'a': in Fortran's order"):
        open_image_file(tmp_path / "h.npz", what="heads", names={"a"})


def test_every_cut_is_refused_or_read_whole(path):
    """Not one length of a cut-off file gives other numbers."""
    content = save(path, a=A).read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            with open_image_file(path, what="heads", names={"a"}) as file:
                if "a" in file.layouts:
                    assert np.array_equal(file.part("a", 3, 4), A[3].ravel())
        except InputError as error:
            assert f"heads '{path}'" in str(error)  # noqa: PT017
        else:
            assert "a" not in file.layouts


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "the bytes of 'a' do not fit its shape"),
        ({"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, "the bytes of 'a' do not fit"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, "the bytes of 'a' do not fit"),
        ({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}, "the bytes of 'a' do not fit"),
        ({"a": {"dtype": "F8", "shape": [1], "data_offsets": [0, 4]}}, "tensor 'a': type F8: expected F64"),
        ({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": 3}, "the entry of 'a' is malformed"),
        ([1], "its header is no object"),
    ],
    ids=["short", "negative", "before", "huge", "type", "shape", "entry", "list"],
)
def test_a_malformed_header_is_refused(tmp_path, header, said):
    text = json.dumps(header).encode()
    (tmp_path / "h.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(InputError, match=said):
        open_image_file(tmp_path / "h.safetensors", what="heads", names={"a"})


@pytest.mark.parametrize("length", [0, 4, 10**12], ids=["empty", "short", "longer than the file"])
def test_a_header_that_is_not_there_is_refused(tmp_path, length):
    (tmp_path / "h.safetensors").write_bytes(b"" if length < 8 else struct.pack("<Q", length))
    with pytest.raises(InputError, match="its header is longer than the file"):
        open_image_file(tmp_path / "h.safetensors", what="heads", names={"a"})


@pytest.mark.parametrize("content", [b"", b"no zip", b"\x93NUMPY"], ids=["empty", "text", "npy"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "h.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"heads '.*h.npz': expected an npz file, but .*; write it again"):
        open_image_file(tmp_path / "h.npz", what="heads", names={"a"})


def test_an_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("a.npy", b"not an array")
    with pytest.raises(InputError, match="'a' is damaged"):
        open_image_file(tmp_path / "h.npz", what="heads", names={"a"})


@pytest.mark.parametrize("size", [24, 10**6], ids=["small", "large"])
def test_a_flipped_bit_in_an_archive_is_found(tmp_path, size):
    values = np.arange(size, dtype=np.float32)
    np.savez(tmp_path / "h.npz", a=values)
    content = bytearray((tmp_path / "h.npz").read_bytes())
    content[content.index(values.tobytes()) + 90] ^= 1
    (tmp_path / "h.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"'a' is damaged .*CRC"):
        read_all(tmp_path / "h.npz")
