import math
import socket
import sys
import urllib.request

import pytest

from lossrt.device.evaluate.record import FrameRecord
from lossrt.device.evaluate.sinks import CurveFile, prometheus_sink, tensorboard_sink
from lossrt.device.evaluate.statistics import Flag, Reading
from lossrt.errors import BackendError, InputError, StorageError
from tests.device.evaluate.events import events_of


def record(frame, loss, *flags):
    return FrameRecord("street", frame, {"loss": loss}, Reading({"loss": 0.5}, {"loss": 0.25}, tuple(flags)))


def show_all(sink):
    sink.show(record(1, 2.0), number=0, again=True)
    sink.show(record(2, math.nan, Flag("loss", "nan")), number=1, again=False)
    sink.show(record(3, 4.0, Flag("loss", "drift", 3.5)), number=2, again=False)


EXPECTED = (
    'lossrt_loss{output="loss"} 4.0',
    'lossrt_loss_mean{output="loss"} 0.5',
    'lossrt_loss_window{output="loss"} 0.25',
    'lossrt_flags_total{kind="nan",output="loss"} 1.0',
    'lossrt_flags_total{kind="drift",output="loss"} 1.0',
    "lossrt_frames_total 3.0",
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_prometheus_reads_the_figures_over_http():
    pytest.importorskip("prometheus_client")
    port = free_port()
    with prometheus_sink(port=port, host="127.0.0.1", textfile=None) as sink:
        show_all(sink)
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert all(line in text.splitlines() for line in EXPECTED)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port))


def test_a_taken_port_is_the_users():
    pytest.importorskip("prometheus_client")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=rf"--prometheus {port}: cannot listen on 127.0.0.1: .*choose another port"),
            prometheus_sink(port=port, host="127.0.0.1", textfile=None),
        ):
            pass


def test_prometheus_reads_the_figures_from_a_file(tmp_path):
    pytest.importorskip("prometheus_client")
    path = tmp_path / "lossrt.prom"
    with prometheus_sink(port=None, host="", textfile=path) as sink:
        show_all(sink)
        assert 'lossrt_loss{output="loss"} 2.0' in path.read_text().splitlines()  # a second has not gone by
    assert all(line in path.read_text().splitlines() for line in EXPECTED)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    pytest.importorskip("prometheus_client")
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="--prometheus-textfile"),
        prometheus_sink(port=None, host="", textfile=tmp_path / "file" / "x.prom") as sink,
    ):
        show_all(sink)


def test_tensorboard_gets_the_frames_of_this_run(tmp_path):
    pytest.importorskip("tensorboardX")
    with tensorboard_sink(tmp_path / "runs") as sink:
        show_all(sink)
    [events] = (tmp_path / "runs").iterdir()
    content = events.read_bytes()
    assert content.count(b"frame/loss") == 2
    assert content.count(b"window/loss") == 2
    assert content.count(b"flag/drift/loss") == 1


def test_a_run_that_goes_on_tells_tensorboard_to_drop_what_was_past_it(tmp_path):
    pytest.importorskip("tensorboardX")
    with tensorboard_sink(tmp_path) as sink:
        show_all(sink)
    version, start, second, third = events_of(tmp_path)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (1, start.session_log.START)
    assert (second.step, third.step) == (1, 2)
    assert {value.tag: value.simple_value for value in third.summary.value} == {
        "frame/loss": 4.0,
        "window/loss": 0.25,
        "flag/drift/loss": 1.0,
    }


def test_a_full_disk_ends_the_run_instead_of_a_thread(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr("lossrt.device.evaluate.sinks.FLUSH_S", 0)

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    said = r"--tensorboard '.*': cannot be written: No space left on device; free space"
    with pytest.raises(StorageError, match=said), tensorboard_sink(tmp_path / "runs") as sink:
        show_all(sink)


@pytest.mark.parametrize(
    ("module", "open_sink", "package"),
    [
        ("tensorboardX", lambda place: tensorboard_sink(place), "tensorboardX"),
        ("prometheus_client", lambda place: prometheus_sink(port=0, host="", textfile=None), "prometheus-client"),
    ],
    ids=["tensorboard", "prometheus"],
)
def test_a_missing_package_is_named(monkeypatch, tmp_path, module, open_sink, package):
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(BackendError, match=rf"{package} is not installed .*; run `pip install {package}`"),
        open_sink(tmp_path),
    ):
        pass


def test_a_curve_is_written(tmp_path):
    picture = CurveFile(tmp_path / "c.svg", ["loss"], title="street")
    show_all(picture)
    picture.write()
    assert (tmp_path / "c.svg").read_text().startswith("<svg")
    (tmp_path / "file").write_text("")
    refused = CurveFile(tmp_path / "file" / "c.svg", ["loss"], title="street")
    refused.write()  # nothing to draw, nothing to write
    show_all(refused)
    with pytest.raises(StorageError, match="--curve"):
        refused.write()
