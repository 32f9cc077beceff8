import hashlib
import shutil
import subprocess

import pytest

from lossrt.errors import InputError
from lossrt.runtime.libraries import trusted_library
from lossrt.runtime.ort import OrtSession
from tests.runtime.graphs import masked_l1

DIGEST = hashlib.sha256(b"code").hexdigest()


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "lib.so"
    path.write_bytes(b"code")
    return path


@pytest.mark.parametrize(
    "given", [(DIGEST,), (DIGEST.upper(),), ("0" * 64, DIGEST)], ids=["it", "capitals", "among others"]
)
def test_a_library_whose_digest_is_named_is_taken(library, given):
    assert trusted_library(library, trust=given, option="--plugin") == library.resolve()


@pytest.mark.parametrize("given", [(), ("0" * 64,), (DIGEST[:-1],), ("",)], ids=["none", "another", "a part", "empty"])
def test_any_other_is_refused_and_the_message_has_the_digest(library, given):
    with pytest.raises(InputError, match=rf"--plugin '.*lib\.so': .*expected {DIGEST}, .*then pass --trust {DIGEST}"):
        trusted_library(library, trust=given, option="--plugin")


def test_a_byte_later_it_is_refused(library):
    library.write_bytes(b"codf")
    with pytest.raises(InputError, match=r"pass --trust"):
        trusted_library(library, trust=(DIGEST,), option="--ort-ops")


def test_a_missing_library_is_named(tmp_path):
    with pytest.raises(InputError, match=r"--ort-ops '.*absent\.so': expected a shared library, got: No such file"):
        trusted_library(tmp_path / "absent.so", trust=(DIGEST,), option="--ort-ops")


def test_onnx_runtime_registers_the_operators(tmp_path):
    pytest.importorskip("onnxruntime")
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler here")
    mark, source, path = tmp_path / "registered", tmp_path / "ops.c", tmp_path / "ops.so"
    source.write_text(
        "#include <stdio.h>\n"
        "void *RegisterCustomOps(void *options, const void *api) {\n"
        f'  FILE *mark = fopen("{mark}", "w");\n'
        "  if (mark) fclose(mark);\n"
        "  return 0;\n"
        "}\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, source], check=True)
    OrtSession(masked_l1().SerializeToString())
    assert not mark.exists()
    OrtSession(masked_l1().SerializeToString(), operators=path)
    assert mark.exists()
