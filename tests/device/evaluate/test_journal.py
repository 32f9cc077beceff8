import json
import math
import os
from pathlib import Path

import pytest

from lossrt.device.evaluate.journal import encoded, opened_journal
from lossrt.errors import InputError, StorageError

HEADER = {"bundle_id": "ab", "frames": 4}


def line(frame):
    return encoded({"frame": frame, "losses": {"loss": frame / 3}})


def written(path, frames=(), *, header=HEADER, resume=False, summary=False):
    """Open, append the frames, close; return the frames that were replayed."""
    seen = []

    def replay(record):
        seen.append(record["frame"])
        return line(record["frame"])

    with opened_journal(path, header, resume=resume, replay=replay) as journal:
        for frame in frames:
            journal.append(line(frame))
        if summary:
            journal.append(encoded({"summary": {"frames": len(seen) + len(frames)}}))
    return seen


def test_what_is_not_finite_is_written_as_words():
    record = {"a": [math.nan, math.inf, -math.inf, 0.1], "b": {"c": (1, math.nan)}}
    assert json.loads(encoded(record)) == {"a": ["nan", "inf", "-inf", 0.1], "b": {"c": [1, "nan"]}}


def test_a_stopped_file_goes_on_to_the_same_bytes(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    written(whole, [1, 2, 3, 4], summary=True)
    written(parts, [1, 2], summary=True)
    assert written(parts, [3], resume=True) == [1, 2]
    assert written(parts, [4], resume=True, summary=True) == [1, 2, 3]
    assert parts.read_bytes() == whole.read_bytes()


def test_cut_anywhere_it_goes_on_to_the_same_bytes(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    written(whole, [1, 2, 3], summary=True)
    content = whole.read_bytes()
    for length in range(len(content) + 1):
        cut.write_bytes(content[:length])
        seen = written(cut, (), resume=True)
        kept = cut.read_bytes()
        assert content.startswith(kept)
        assert seen == list(range(1, len(seen) + 1))
        written(cut, range(len(seen) + 1, 4), resume=True, summary=True)
        assert cut.read_bytes() == content


def test_going_on_with_nothing_begins(tmp_path):
    written(tmp_path / "new" / "o.jsonl", [1], resume=True)
    assert (tmp_path / "new" / "o.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"frame,loss\n1,2\n", "not a file that `lossrt evaluate` wrote"),
        (b'{"format":"other"}\n', "not a file that `lossrt evaluate` wrote"),
        (b"[]\n", "not a file that `lossrt evaluate` wrote"),
        (b"no line at all", "not a file that `lossrt evaluate` wrote"),
        (b"\x00" * 100, "not a file that `lossrt evaluate` wrote"),
    ],
    ids=["csv", "another format", "a list", "no line", "zeros"],
)
def test_another_programs_file_is_left_alone(tmp_path, content, said):
    path = tmp_path / "o.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"output '{path}': {said}"):
        written(path, [1], resume=True)
    assert path.read_bytes() == content


def test_another_evaluation_is_named(tmp_path):
    path = tmp_path / "o.jsonl"
    written(path, [1])
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"was begun with bundle_id \"ab\", and this run has \"cd\"; go on with the same"
    ):
        written(path, [2], header=HEADER | {"bundle_id": "cd"}, resume=True)
    assert path.read_bytes() == before


def test_without_resume_a_file_is_kept(tmp_path):
    path = tmp_path / "o.jsonl"
    written(path, [1])
    with pytest.raises(InputError, match=r"exists; go on with it by --resume, or choose another with -o"):
        written(path, [2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"frame":2', '"frame":7'), "line 3: is not what this evaluation writes"),
        (lambda text: text.replace('"frame":2', '"frame":'), "line 3: not JSON"),
        (lambda text: text.replace('{"frame":2', '[{"frame":2').replace("6}}\n{", "6}}]\n{"), "line 3: "),
    ],
    ids=["a number", "no JSON", "a list"],
)
def test_a_changed_line_is_refused_by_its_number(tmp_path, change, said):
    path = tmp_path / "o.jsonl"
    written(path, [1, 2, 3])
    path.write_text(change(path.read_text()))
    changed = path.read_bytes()
    expected = iter((1, 2, 3))
    with (
        pytest.raises(InputError, match=said),
        opened_journal(path, HEADER, resume=True, replay=lambda record: line(next(expected))),
    ):
        pass
    assert path.read_bytes() == changed


def test_two_runs_do_not_write_one_file(tmp_path):
    path = tmp_path / "o.jsonl"
    with (
        opened_journal(path, HEADER, resume=False, replay=lambda record: b""),
        pytest.raises(InputError, match="another run writes to it"),
    ):
        written(path, [1], resume=True)


def test_only_files_are_written(tmp_path):
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match="expected a file, got something else"):
            written(place, [1])


def test_a_full_disk_keeps_every_whole_line(tmp_path, monkeypatch):
    path = tmp_path / "o.jsonl"
    real, room = os.write, [400]

    def write(handle, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        done = real(handle, bytes(data)[: min(len(data), room[0], 60)])
        room[0] -= done
        return done

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match=r"No space left on device; every frame before is in it: free space, then"):
        written(path, range(1, 100))
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[1:] == [line(frame) for frame in range(1, len(lines))]
    assert len(lines) > 3
    room[0] = 10**6
    assert written(path, [len(lines)], resume=True) == list(range(1, len(lines)))


def test_it_reaches_the_disk_each_second_and_at_the_end(tmp_path, monkeypatch):
    synced, now = [], [0.0]
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(now[0]))
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with opened_journal(tmp_path / "o.jsonl", HEADER, resume=False, replay=lambda record: b"") as journal:
        synced.clear()
        for frame in range(25):
            now[0] = frame / 10
            journal.append(line(frame))
        assert synced == [1.0, 2.0]
    assert len(synced) == 3
