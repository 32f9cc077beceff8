import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lossrt.models.gather import gather_feat, spec
from lossrt.recipe import load_recipe
from tests.validators.samples import recipe_of


def sample(dtype: torch.dtype = torch.float64, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A map of 2 x D x 4 x 5 and indices with duplicates and both ends."""
    rng = np.random.default_rng(3)
    feat = torch.from_numpy(rng.normal(0, 1, (2, channels, 4, 5))).to(dtype)
    return feat, torch.tensor([[0, 19, 7, 7, 0], [19, 19, 19, 3, 0]])


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_every_slot_reads_its_pixel(dtype: torch.dtype, channels: int) -> None:
    feat, ind = sample(dtype, channels)
    out = gather_feat(feat, ind)
    assert out.dtype == dtype
    assert out.shape == (2, 5, channels)
    for image, slot in np.ndindex(2, 5):
        y, x = divmod(int(ind[image, slot]), 5)
        assert out[image, slot].tolist() == feat[image, :, y, x].tolist()


def test_a_map_that_is_not_contiguous_reads_the_same() -> None:
    feat, ind = sample()
    channels_last = feat.to(memory_format=torch.channels_last)
    assert torch.equal(gather_feat(channels_last, ind), gather_feat(feat, ind))
    assert gather_feat(channels_last, ind).is_contiguous()


def test_no_slots() -> None:
    feat, _ = sample()
    assert gather_feat(feat, torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0, 3)


@pytest.mark.parametrize("index", [20, -1], ids=["past-the-map", "negative"])
def test_out_of_range_raises(index: int) -> None:
    feat, ind = sample()
    ind[1, 2] = index
    with pytest.raises(RuntimeError, match="out of bounds"):
        gather_feat(feat, ind)


def test_fake_kernel_knows_the_shape() -> None:
    with FakeTensorMode():
        out = gather_feat(torch.empty(4, 7, 8, 9, dtype=torch.bfloat16), torch.empty(4, 33, dtype=torch.int64))
    assert (out.shape, out.dtype) == ((4, 33, 7), torch.bfloat16)


def test_opcheck() -> None:
    feat, ind = sample(torch.float32)
    torch.library.opcheck(gather_feat, (feat, ind))
    torch.library.opcheck(gather_feat, (feat.clone().requires_grad_(), ind))


def test_gradcheck() -> None:
    feat, ind = sample()
    torch.autograd.gradcheck(gather_feat, (feat.requires_grad_(), ind))


def test_slots_on_one_pixel_add_their_gradients_up() -> None:
    feat, ind = sample()
    weights = torch.arange(1.0, 31.0, dtype=torch.float64).view(2, 5, 3)
    (gather_feat(feat.requires_grad_(), ind) * weights).sum().backward()
    expected = np.zeros(feat.shape)
    for image, slot in np.ndindex(2, 5):
        y, x = divmod(int(ind[image, slot]), 5)
        expected[image, :, y, x] += weights[image, slot].numpy()
    assert feat.grad is not None
    np.testing.assert_array_equal(feat.grad.numpy(), expected)


def test_spec_follows_the_recipe() -> None:
    signature = spec(load_recipe("mot17"))
    assert [(t.name, t.dims) for t in signature.inputs] == [("feat", ("B", 2, "H", "W")), ("ind", ("B", "M"))]
    assert (signature.outputs[0].name, signature.outputs[0].dims) == ("gathered", ("B", "M", 2))
    heatmap_only = recipe_of(heads={"hm": 3}, weights={"hm": 1.0})
    assert spec(heatmap_only).input("feat").dims == ("B", 3, "H", "W")
