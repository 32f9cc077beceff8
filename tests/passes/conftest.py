import onnx
import pytest

from lossrt.bundle import Bundle
from lossrt.passes.network_file import read_network


@pytest.fixture(scope="module")
def losses(small_bundle: Bundle) -> onnx.ModelProto:
    return read_network(small_bundle.graph_path("generic_loss", "fp32"))
