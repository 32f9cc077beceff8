import enum
import io
from types import SimpleNamespace

import pytest

from lossrt.errors import BackendError
from lossrt.runtime.adapter import _start_timing_cache, load_plugins
from lossrt.runtime.compiler import compile_onnx
from tests.runtime.graphs import masked_l1, needs_rtx, product


class Registry:
    def __init__(self, known):
        self.known, self.loaded = known, []

    def load_library(self, path):
        self.loaded.append(path)
        return object() if path in self.known else None


def module(registry):
    """The module `tensorrt`, as far as loading plugins touches it."""
    return SimpleNamespace(
        __version__="10.3.0",
        init_libnvinfer_plugins=lambda logger, namespace: True,
        get_plugin_registry=lambda: registry,
        ILogger=SimpleNamespace(Severity=enum.IntEnum("Severity", "ERROR")),
    )


def test_plugins_are_loaded_in_order():
    registry = Registry({"/a.so", "/b.so"})
    load_plugins(module(registry), SimpleNamespace(errors=[]), ("/b.so", "/a.so"))
    assert registry.loaded == ["/b.so", "/a.so"]


def test_without_plugins_nothing_is_touched():
    registry = Registry({"/a.so"})
    touched = []
    unused = module(registry)
    unused.init_libnvinfer_plugins = lambda *_: touched.append("init")
    load_plugins(unused, SimpleNamespace(errors=[]), ())
    assert (registry.loaded, touched) == ([], [])


def test_a_library_that_does_not_load_says_why():
    logger = SimpleNamespace(errors=["undefined symbol: nvinfer"])
    with pytest.raises(BackendError, match=r"--plugin '/c\.so': TensorRT 10\.3\.0 cannot load it: undefined symbol"):
        load_plugins(module(Registry(set())), logger, ("/c.so",))


class Config:
    """A builder's configuration that accepts caches of its own version only."""

    def __init__(self):
        self.cache = None

    def create_timing_cache(self, content):
        return content

    def set_timing_cache(self, cache, ignore_mismatch):
        assert ignore_mismatch is False
        if cache == b"of another version":
            return False
        self.cache = cache
        return True


@pytest.mark.parametrize(
    ("content", "taken"),
    [(None, b""), (b"times", b"times"), (b"of another version", b"")],
    ids=["first build", "later build", "other version"],
)
def test_what_was_measured_before_is_used_again(tmp_path, content, taken):
    path, config = tmp_path / "timing.cache", Config()
    if content is not None:
        path.write_bytes(content)
    assert _start_timing_cache(config, path)
    assert config.cache == taken


def test_a_version_without_a_timing_cache_builds_without(tmp_path):
    assert not _start_timing_cache(SimpleNamespace(), tmp_path / "timing.cache")


@needs_rtx
def test_the_compiler_tells_its_steps():
    steps = []
    compile_onnx(product().SerializeToString(), backend="rtx", compute_capability="8.9", progress=steps.append)
    assert steps
    assert all("/" in step for step in steps)


@needs_rtx
def test_rtx_gets_neither_timing_cache_nor_plugins(tmp_path):
    path = tmp_path / "timing.cache"
    built = compile_onnx(masked_l1().SerializeToString(), backend="rtx", compute_capability="8.9", timing_cache=path)
    assert "timing cache" not in built.flags
    assert not path.exists()
    with pytest.raises(BackendError, match=r"--plugin '.*p\.so': TensorRT for RTX has no plugins"):
        compile_onnx(
            masked_l1().SerializeToString(),
            backend="rtx",
            compute_capability="8.9",
            plugins=(tmp_path / "p.so",),
        )


@needs_rtx
def test_every_line_of_progress_names_a_phase_and_a_step():
    import tensorrt_rtx

    from lossrt.runtime.adapter import _progress_monitor

    out = io.StringIO()
    monitor = _progress_monitor(tensorrt_rtx, out)
    monitor.phase_start("Timing", None, 3)
    assert monitor.step_complete("Timing", 0)
    monitor.phase_finish("Timing")
    assert out.getvalue() == "Timing 1/3\n"
