import os
import subprocess
import sys
import time

from lossrt.bundle import pack_bundle


def test_the_end_of_a_service_leaves_nothing_temporary(small_bundle, tmp_path):
    packed, place = tmp_path / "b.lossrt", tmp_path / "tmp"
    place.mkdir()
    pack_bundle(small_bundle, packed)
    code = "from lossrt.cli.main import main; main()"
    words = [sys.executable, "-c", code, "search", str(packed), "--graph", "fast_focal", "--iterations", "100000000"]
    process = subprocess.Popen(words, env=os.environ | {"TMPDIR": str(place)}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(place.glob("lossrt-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert any(place.glob("lossrt-*"))
    process.terminate()
    assert process.wait(30) == 143
    assert not any(place.glob("lossrt-*"))
    assert "interrupted" in process.stderr.read()
    process.stderr.close()
