import pytest

from lossrt.errors import InputError
from lossrt.platforms import PLATFORMS, find_platform


def test_every_target_of_the_documentation_is_there() -> None:
    assert list(PLATFORMS) == ["ort", "jetpack5", "jetpack6.0", "jetpack6", "jetpack7", "trt11", "rtx"]
    assert all(find_platform(name).name == name for name in PLATFORMS)


@pytest.mark.parametrize("name", ["jetpack5", "jetpack6.0"])
def test_tensorrt_8_has_opset_17_and_neither_functions_nor_bfloat16(name: str) -> None:
    platform = PLATFORMS[name]
    assert (platform.opset, platform.functions, platform.bfloat16) == (17, False, False)


def test_unknown_target() -> None:
    with pytest.raises(InputError, match=r"target 'jetpack8': unknown; did you mean 'jetpack7'\? valid: .*trt11"):
        find_platform("jetpack8")
