"""Keep a network's weights that lie in other files beside a new ONNX file.

Requires: a model opened without its external data. Ensures: the model is not changed; what it names lies below the new
file's folder as it lay below the old one's.
"""

__all__ = ["keep_external_data"]

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto

from lossrt.bundle import file_digest
from lossrt.errors import InputError, StorageError
from lossrt.passes.walk import tensors_in


def keep_external_data(model: onnx.ModelProto, *, source: Path, place: Path) -> tuple[Path, ...]:
    """Copy the files that hold a model's weights beside its new place.

    Args:
        model: The model.
        source: Folder that it was read from.
        place: Folder that it goes to.

    Returns:
        The files at their new place; empty where the model holds its weights itself.

    Raises:
        InputError: A file is missing, is named outside the folder, or another file of its name is there already.
        StorageError: The disk refused.
    """
    files = []
    for location in sorted(set(_locations(model))):
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts or "\\" in location:
            raise InputError(
                f"network: weights '{location}': expected a file below the network's folder, got a path that leaves it; "
                "save the network anew: onnx.save(onnx.load(PATH), OTHER, save_as_external_data=True)"
            )
        old, new = source / path, place / path
        if not old.is_file():
            raise InputError(f"network: weights '{old}': expected beside the network, but missing; copy it there too")
        if source.resolve() != place.resolve():
            _copy(old, new)
        files.append(new)
    return tuple(files)


def _copy(old: Path, new: Path) -> None:
    if new.exists():
        if file_digest(new) == file_digest(old):
            return
        raise InputError(
            f"output '{new}': expected no other file there, got one of other content; choose another folder"
        )
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{new.name}.", dir=new.parent)
        os.close(handle)
        try:
            shutil.copyfile(old, scratch)
            Path(scratch).chmod(0o644)
            Path(scratch).replace(new)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"output '{new}': writing failed: {error}; free space or choose another folder") from error


def _locations(model: onnx.ModelProto) -> Iterator[str]:
    for tensor in tensors_in(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            yield next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
