from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import onnx
import pytest
from PIL import Image

from lossrt.device.evaluate.network import NetworkHeads, NetworkRequest, open_network
from lossrt.device.evaluate.plan import planned_frames
from lossrt.device.network_ports import NetworkPorts
from lossrt.device.preprocessing import network_heatmap, network_image
from lossrt.errors import InputError

FLOAT = np.dtype(np.float32)
NAMES = {"image": "image", "previous_image": "pre_img", "previous_heatmap": "pre_hm"}


class Recorder:
    """A network that keeps what it was fed, and gives the image's first value."""

    def __init__(self):
        self.fed = []

    def run(self, feeds):
        self.fed.append(feeds)
        return {"out": feeds["image"][:, :1, :1, :1]}


@pytest.fixture
def pictures(tmp_path):
    """Pictures 1 to 6, each of a gray level of its own."""
    folder = tmp_path / "img1"
    folder.mkdir()
    pixels = {}
    for number in range(1, 7):
        pixels[number] = np.full((64, 96, 3), 30 * number, np.uint8)
        Image.fromarray(pixels[number]).save(folder / f"{number:06d}.png")
    return tmp_path, pixels


def heads_of(session, planned, frames, recipe, *, roles=tuple(NAMES)):
    ports = NetworkPorts({role: NAMES[role] for role in roles}, dict.fromkeys(roles, FLOAT), None)
    return NetworkHeads(session, ports, {"pred_hm": "out"}, planned, frames=frames, recipe=recipe, digest="d" * 64)


def test_each_frame_is_fed_with_the_one_before_it(pictures, make_sequence, tiny_recipe):
    folder, pixels = pictures
    planned = planned_frames([make_sequence([1, 2, 4, 5])])
    session = Recorder()
    list(heads_of(session, planned, folder, tiny_recipe).images(0))
    for feeds, number, before in zip(session.fed, (1, 2, 4, 5), (None, 1, None, 4), strict=True):
        assert np.array_equal(feeds["image"][0], network_image(pixels[number], tiny_recipe))
        assert np.array_equal(feeds["pre_img"][0], network_image(pixels[before or number], tiny_recipe))
        frame = next((p.frame for p in planned if p.frame.index == before), None)
        assert np.array_equal(feeds["pre_hm"][0], network_heatmap(frame, tiny_recipe))
        assert feeds["pre_hm"].any() == (before is not None)


def test_beginning_further_on_gives_the_same(pictures, make_sequence, tiny_recipe):
    folder, _ = pictures
    sequence = make_sequence(range(1, 7))
    whole, part, chosen = Recorder(), Recorder(), Recorder()
    list(heads_of(whole, planned_frames([sequence]), folder, tiny_recipe).images(0))
    list(heads_of(part, planned_frames([sequence]), folder, tiny_recipe).images(3))
    list(heads_of(chosen, planned_frames([sequence], only=(4, 6)), folder, tiny_recipe).images(0))
    for other in (part, chosen):
        assert len(other.fed) == 3
        for one, two in zip(whole.fed[3:], other.fed, strict=True):
            assert all(np.array_equal(one[name], two[name]) for name in one)


def test_an_image_of_another_size_than_its_annotations(pictures, make_sequence, tiny_recipe):
    folder, pixels = pictures
    Image.fromarray(pixels[2][:, :90]).save(folder / "img1" / "000002.png")
    planned = planned_frames([make_sequence([1, 2, 3])])
    heads = heads_of(Recorder(), planned, folder, tiny_recipe).images(0)
    next(heads)
    with pytest.raises(
        InputError, match=r"frame 2 of 'street': expected its image '.*' to have 96 x 64 px, .*got 90 x 64"
    ):
        next(heads)


def test_a_network_that_does_not_look_back_reads_one_image_a_frame(pictures, make_sequence, tiny_recipe, monkeypatch):
    folder, _ = pictures
    read = []
    from lossrt.device.evaluate import network

    real = network.annotated_image
    monkeypatch.setattr(network, "annotated_image", lambda path, frame: (read.append(path.name), real(path, frame))[1])
    session = Recorder()
    planned = planned_frames([make_sequence([1, 2, 3])], only=(2, 3))
    list(heads_of(session, planned, folder, tiny_recipe, roles=("image",)).images(0))
    assert read == ["000002.png", "000003.png"]
    assert [set(feeds) for feeds in session.fed] == [{"image"}] * 2
    read.clear()
    list(heads_of(session, planned_frames([make_sequence([1, 2, 3])]), folder, tiny_recipe).images(0))
    assert read == ["000001.png", "000002.png", "000003.png"]


def test_a_missing_image_is_named_before_the_first_frame(pictures, make_sequence, tiny_recipe):
    folder, _ = pictures
    (folder / "img1" / "000003.png").unlink()
    with pytest.raises(InputError, match=r"frame 3 of 'street': expected its image as '.*000003.jpg'"):
        heads_of(Recorder(), planned_frames([make_sequence([1, 2, 3, 4])]), folder, tiny_recipe)


def test_networks_and_images_are_told_apart(pictures, make_sequence, tiny_recipe):
    folder, _ = pictures
    planned = planned_frames([make_sequence([1, 2])])
    one = heads_of(Recorder(), planned, folder, tiny_recipe).identity
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)).save(
        folder / "img1" / "000002.png"
    )
    two = heads_of(Recorder(), planned, folder, tiny_recipe).identity
    assert one["heads"] == two["heads"]
    assert one["images"] != two["images"]


@pytest.fixture(scope="module")
def network(small_recipe):
    """A small network of CenterTrack's form that looks back."""
    torch = pytest.importorskip("torch")
    from lossrt.export.onnx_from_network import onnx_from_network
    from lossrt.models.network import TrackingNetwork

    torch.manual_seed(0)
    return onnx_from_network(TrackingNetwork(small_recipe.heads, features=8, head_conv=4).eval(), small_recipe)


def test_its_losses_are_those_of_the_attached_network(network, small_bundle, small_recipe, make_sequence, tmp_path):
    """One file that holds network and losses says the same as the two one after the other."""
    from lossrt.device.evaluate.run import evaluate
    from lossrt.device.evaluate.statistics import Moments
    from lossrt.device.loss_session import LossSession
    from lossrt.passes.attach import attach_losses
    from lossrt.runtime.ort import OrtSession
    from lossrt.targets.encode import encode_frame

    (tmp_path / "img1").mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 2):
        Image.fromarray(rng.integers(0, 255, (64, 96, 3), np.uint8)).save(tmp_path / "img1" / f"{number:06d}.png")
    onnx.save(network, tmp_path / "network.onnx")
    planned = planned_frames([make_sequence([1, 2])])
    with ExitStack() as stack:
        request = NetworkRequest(tmp_path / "network.onnx", tmp_path)
        source, warnings = open_network(request, small_bundle, small_recipe, planned, stack)
        losses = stack.enter_context(LossSession.from_bundle(small_bundle))
        found = evaluate(planned, source, losses, small_recipe)
        fed, real = [], source._session.run
        source._session.run = lambda feeds: (fed.append(feeds), real(feeds))[1]
        list(source.images(0))
    assert warnings == ()
    attached = attach_losses(network, onnx.load(small_bundle.graph_path("generic_loss", "fp32")), small_recipe)
    session = OrtSession(attached.model.SerializeToString(), threads=1)
    expected = {name: Moments() for name in attached.outputs}
    for frame, feeds in zip(planned, fed, strict=True):
        targets = encode_frame(frame.frame, frame.previous, small_recipe).arrays
        targets = {attached.inputs[name]: array[None] for name, array in targets.items()}
        results = session.run({**feeds, **targets})
        for name, moments in expected.items():
            moments.add(float(results[name]))
    for name, moments in expected.items():
        assert found.summary["outputs"][name]["mean"] == pytest.approx(moments.mean, rel=1e-6)
        assert moments.mean > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda request: replace(request, frames=None), "--model: expected the folder of the images as well"),
        (lambda request: replace(request, outputs={"hm": "nothing"}), "nothing"),
        (lambda request: replace(request, ports={"image": "nothing"}), "nothing"),
        (lambda request: replace(request, model=request.model.with_name("none.onnx")), "network '.*none.onnx'"),
    ],
    ids=["frames", "output", "input", "file"],
)
def test_what_does_not_fit_is_explained(network, small_bundle, small_recipe, tmp_path, change, said):
    onnx.save(network, tmp_path / "network.onnx")
    request = change(NetworkRequest(tmp_path / "network.onnx", tmp_path))
    with ExitStack() as stack, pytest.raises(InputError, match=said):
        open_network(request, small_bundle, small_recipe, [], stack)
