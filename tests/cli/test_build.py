import hashlib
import json

import pytest

from tests.device.bundles import l1_bundle
from tests.runtime.graphs import needs_rtx

DIGEST = hashlib.sha256(b"code").hexdigest()


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "lib.so"
    path.write_bytes(b"code")
    return path


@needs_rtx
def test_an_engine_is_built_and_its_log_kept(run, tmp_path):
    bundle = l1_bundle(tmp_path / "own")
    code, out, _ = run("build", bundle.root, "--compute-capability", "8.9", "--keep-log")
    assert code == 0
    assert out.startswith("l1.fp32.rtx-sm89.engine: ")
    assert out.rstrip().endswith("1 kernels, 0 scratch bytes, B=1..10")
    assert (bundle.root / "engines" / "l1.fp32.rtx-sm89.log").is_file()
    [record] = json.loads(run("build", bundle.root, "--compute-capability", "8.9", "--json")[1])
    assert record["identity"]["recipe"] == "own"


def test_trtexec_lines_alone_build_nothing(run, tmp_path):
    bundle = l1_bundle(tmp_path / "own", target="jetpack6")
    code, out, err = run("build", bundle.root, "--trtexec")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["mkdir", "trtexec"]
    assert json.loads(run("build", bundle.root, "--trtexec", "--json")[1])["trtexec"] == out.splitlines()
    assert not (bundle.root / "engines").exists()


@needs_rtx
def test_a_bundle_for_jetpack_5_says_how_to_build_it_there(run, tmp_path):
    bundle = l1_bundle(tmp_path / "own", target="jetpack5")
    code, out, err = run("build", bundle.root, "--compute-capability", "8.9", "--json")
    assert code == 0
    assert len(json.loads(out)) == 1
    assert "trtexec --onnx=graphs/l1.fp32.onnx" in err


@pytest.mark.parametrize("trust", [(), ("--trust", "0" * 64)], ids=["no digest", "another digest"])
@pytest.mark.parametrize("verb", ["build", "validate"])
def test_a_plugin_without_its_digest_is_not_loaded(run, tmp_path, library, verb, trust):
    code, _, err = run(verb, l1_bundle(tmp_path / "own").root, "--plugin", library, *trust)
    assert code == 2
    assert f"then pass --trust {DIGEST}" in err


@needs_rtx
def test_rtx_has_no_plugins(run, tmp_path, library):
    words = ("--plugin", library, "--trust", DIGEST, "--backend", "rtx", "--compute-capability", "8.9")
    code, _, err = run("build", l1_bundle(tmp_path / "own").root, *words)
    assert code == 3
    assert "TensorRT for RTX has no plugins" in err


@pytest.mark.parametrize(
    ("option", "backend", "message"),
    [("--plugin", "ort", "ONNX Runtime takes --ort-ops"), ("--ort-ops", "rtx", "TensorRT takes --plugin")],
)
def test_a_library_for_another_backend_is_wrong_use(run, tmp_path, library, option, backend, message):
    words = (option, library, "--trust", DIGEST, "--backend", backend)
    code, _, err = run("validate", l1_bundle(tmp_path / "own").root, *words)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--compute-capability", "sm89"), 2, "expected MAJOR.MINOR"),
        (("--compute-capability", "8.7"), 3, "run `lossrt build` on the device itself"),
        (("--backend", "tensort"), 2, "did you mean 'tensorrt'"),
    ],
    ids=["malformed", "not built for", "unknown backend"],
)
@needs_rtx
def test_bad_requests(run, tmp_path, words, code, message):
    found, _, err = run("build", l1_bundle(tmp_path / "own").root, *words)
    assert found == code
    assert message in err
