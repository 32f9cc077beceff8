"""From a network's file to a network's file, with the bundle's own step and losses as judges."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import save_file

from lossrt.arrays import read_arrays
from lossrt.device.finetune.batches import FrameArrays
from lossrt.device.finetune.partition import partition
from lossrt.device.finetune.setup import FinetuneInputs, read_inputs, wires
from lossrt.device.finetune.sources import BackboneSource, frozen_part
from lossrt.device.network_ports import frame_feeds, network_ports
from lossrt.device.preprocessing import network_heatmap, network_image, read_image
from lossrt.errors import InputError
from lossrt.passes.network_file import read_network
from lossrt.passes.split import cut, write_split
from lossrt.passes.split_heads import find_heads, named_outputs
from lossrt.runtime.ort import OrtSession
from lossrt.targets.encode import encode_batch
from tests.device.finetune.samples import options


def _tensors(path):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def _picture(setting, frame, recipe):
    return network_image(read_image(setting.images / "img1" / f"{frame.index:06d}.png"), recipe)


def _feeds(setting, ports, pair, recipe):
    frame, previous = pair
    return frame_feeds(
        ports,
        _picture(setting, frame, recipe),
        previous_image=_picture(setting, previous, recipe) if previous else None,
        previous_heatmap=network_heatmap(previous, recipe),
    )


@pytest.fixture(scope="module")
def run(setting, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "tuned.onnx"
    return setting.run(out), out


def test_only_the_heads_change_and_the_loss_falls(setting, run) -> None:
    result, out = run
    assert result.stop is None
    before, after = _tensors(setting.network), _tensors(out)
    heads = read_arrays(out.with_suffix(".safetensors"), what="heads")
    assert before.keys() == after.keys()
    assert {name for name in before if not np.array_equal(before[name], after[name])} == heads.keys()
    assert all(np.array_equal(heads[name], after[name]) for name in heads)
    assert len(out.read_bytes()) == len(setting.network.read_bytes())
    losses = [row[1] for row in result.state.history.validations]
    assert result.state.position.best_loss == min(losses) < 0.95 * losses[0]


def test_the_validation_loss_is_the_tuned_networks_own(setting, run, recipe) -> None:
    """The network runs whole, and the bundle's loss judges its outputs: no part of training is used."""
    result, out = run
    pairs = partition([setting.sequence], recipe, fraction=0.25, seed=0).validation
    session, ports = OrtSession(out), network_ports(read_network(out), recipe)
    outputs = [session.run(_feeds(setting, ports, pair, recipe)) for pair in pairs]
    predictions = {f"pred_{head}": np.concatenate([one[head] for one in outputs]) for head in recipe.heads}
    judge = OrtSession(setting.bundle.graph_path("generic_loss", "fp32"))
    losses = judge.run({**predictions, **encode_batch(pairs, recipe).arrays})
    row = dict(zip(result.state.history.loss_names, result.state.history.validations[-1][1:], strict=True))
    assert result.state.position.best_epoch == 3
    assert row.keys() == losses.keys()
    for name, loss in losses.items():
        np.testing.assert_allclose(row[name], loss, rtol=2e-5)


def test_metrics_and_features_lie_beside_the_output(setting, run) -> None:
    _, out = run
    lines = [json.loads(line) for line in out.with_name("tuned.onnx.metrics.jsonl").read_text().splitlines()]
    assert [line.get("step") for line in lines] == [None, 1, 2, 3, None, 4, 5, 6, None, 7, 8, 9, None]
    assert set(lines[1]) == {"step", "epoch", "lr", "grad_norm", "losses", "mean", "window"}
    for part in ("losses", "mean", "window"):
        assert set(lines[1][part]) >= {"loss", "loss_hm", "loss_tracking"}
    losses = [line["losses"]["loss"] for line in lines if "step" in line]
    last = [line for line in lines if "step" in line][-1]
    assert last["mean"]["loss"] == pytest.approx(np.mean(losses), rel=1e-12)
    assert last["window"]["loss"] == pytest.approx(np.mean(losses), rel=1e-12)
    kept = list(out.with_name("tuned.onnx.features").iterdir())
    assert len(kept) == len(setting.sequence.frames)
    assert read_arrays(kept[0], what="features")["features"].shape == (8, 34, 60)


def test_each_frame_is_computed_once(setting, run, monkeypatch, tmp_path) -> None:
    from lossrt.device.finetune.sources import BackboneSource

    seen = []
    maps = BackboneSource.maps
    monkeypatch.setattr(BackboneSource, "maps", lambda self, pair: seen.append(pair[0].index) or maps(self, pair))
    setting.run(tmp_path / "again.onnx")
    assert sorted(seen) == [frame.index for frame in setting.sequence.frames]
    assert (tmp_path / "again.onnx").read_bytes() == run[1].read_bytes()


def test_features_computed_elsewhere_give_the_same_network(setting, run, recipe, tmp_path) -> None:
    model = read_network(setting.network)
    heads = find_heads(model, named_outputs(model))
    write_split(model, heads, tmp_path, folder=setting.network.parent)
    session, ports = OrtSession(tmp_path / "backbone.onnx", threads=1), network_ports(model, recipe)
    folder = tmp_path / "features" / setting.sequence.name
    folder.mkdir(parents=True)
    for place, frame in enumerate(setting.sequence.frames):
        feeds = _feeds(setting, ports, (frame, setting.sequence.previous(place)), recipe)
        features = session.run(feeds)[heads.features][0]
        if place % 2:
            np.savez(folder / f"{frame.index:06d}.npz", features=features)
        else:
            save_file({"features": features}, folder / f"{frame.index:06d}.safetensors")
    setting.run(tmp_path / "out.onnx", frames=None, features=tmp_path / "features")
    assert (tmp_path / "out.onnx").read_bytes() == run[1].read_bytes()
    assert not (tmp_path / "out.onnx.features").exists()
    broken = np.zeros((8, 34, 60), np.float32)
    broken[3, 2, 1] = np.nan
    np.savez(folder / "000002.npz", features=broken)
    with pytest.raises(InputError, match="frame 2 of 'generated-1': expected finite features, got NaN or infinity"):
        setting.run(tmp_path / "broken.onnx", frames=None, features=tmp_path / "features")
    np.savez(folder / "000002.npz", features=np.zeros((8, 33, 60), np.float32))
    with pytest.raises(InputError, match=r"000002.npz': expected 'features' float32\[8, 34, 60\], got .*\[8, 33, 60\]"):
        setting.run(tmp_path / "other.onnx", frames=None, features=tmp_path / "features")
    (folder / "000002.npz").unlink()
    with pytest.raises(InputError, match="frame 2 of 'generated-1': expected its features in"):
        setting.run(tmp_path / "other.onnx", frames=None, features=tmp_path / "features")


def test_another_run_does_not_take_the_checkpoint(setting, run, tmp_path) -> None:
    with pytest.raises(InputError, match=r"is of a run with --lr 0\.01, and this one has 0\.001"):
        setting.run(run[1], chosen=options(lr=1e-3))
    other = tmp_path / "other.onnx"
    other.write_bytes(setting.network.read_bytes() + b"\x12\x01x")  # one more field: the producer's name
    with pytest.raises(InputError, match=r"is of a run with network [0-9a-f]{12}, and this one has [0-9a-f]{12};"):
        setting.run(run[1], network=other)
    shorter = replace(setting.sequence, frames=setting.sequence.frames[:-1])
    with pytest.raises(InputError, match="is of a run with frames"):
        setting.run(run[1], sequences=(shorter,))


def test_frames_and_folders_that_are_missing_are_named(setting, tmp_path) -> None:
    (tmp_path / "img1").mkdir()
    with pytest.raises(InputError, match=r"frame 1 of 'generated-1': expected its image as .*img1/000001.jpg"):
        setting.run(tmp_path / "x.onnx", frames=tmp_path)
    with pytest.raises(InputError, match=r"expected one of --frames .* got both"):
        setting.run(tmp_path / "x.onnx", features=tmp_path)
    with pytest.raises(InputError, match=r"expected one of --frames .* got neither"):
        setting.run(tmp_path / "x.onnx", frames=None)
    with pytest.raises(InputError, match=r"--frames '.*nowhere': expected a folder"):
        setting.run(tmp_path / "x.onnx", frames=tmp_path / "nowhere")
    assert not (tmp_path / "x.onnx").exists()


def test_the_last_layers_take_hidden_maps_whole_or_at_the_objects(setting, recipe) -> None:
    """Against rows and columns of the network's own hidden maps."""
    from lossrt.models import head_step_spec

    inputs = FinetuneInputs(setting.network, (setting.sequence,), frames=setting.images)
    network = read_inputs(inputs, recipe)
    chosen = options(scope="last")
    part = frozen_part(network.model, network.heads, scope="last", from_features=False)
    source = BackboneSource(
        OrtSession(part.SerializeToString(), threads=1), network_ports(part, recipe), setting.images, recipe
    )
    pairs = [(setting.sequence.frames[place], setting.sequence.previous(place)) for place in (2, 3)]
    keys = {(frame.sequence, frame.index): "" for frame, _ in pairs}
    spec = head_step_spec.spec(recipe, "last", "sgd")
    arrays = FrameArrays(source, wires(network.heads, chosen), spec, recipe, None, keys).batch(pairs)
    whole = read_network(setting.network)
    hidden = {layers.head: layers.hidden for layers in network.heads.heads}
    session = OrtSession(cut(whole, dict.fromkeys(hidden.values())).SerializeToString(), threads=1)
    for image, pair in enumerate(pairs):
        maps = session.run(_feeds(setting, network_ports(whole, recipe), pair, recipe))
        np.testing.assert_array_equal(arrays["hidden_hm"][image], maps[hidden["hm"]][0])
        rows, columns = np.divmod(arrays["ind"][image], recipe.map_size[1])
        expected = maps[hidden["tracking"]][0][:, rows, columns]
        np.testing.assert_array_equal(arrays["hidden_tracking"][image], expected)
    assert (arrays["hidden_hm"] >= 0).all()
    assert arrays["ind"].any()
