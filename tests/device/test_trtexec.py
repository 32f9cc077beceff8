import shlex

import pytest

from lossrt.device.trtexec import trtexec_lines
from tests.device.bundles import l1_bundle

SHAPES = ("--minShapes=pred:1x4,target:1x4,mask:1x4", "--maxShapes=pred:10x4,target:10x4,mask:10x4")


def words(bundle, **options):
    return [shlex.split(line) for line in trtexec_lines(bundle, **options)]


def test_a_line_names_files_and_the_shapes_of_every_open_input(tmp_path):
    [line] = words(l1_bundle(tmp_path / "own"))
    assert line[:3] == ["trtexec", "--onnx=graphs/l1.fp32.onnx", "--saveEngine=engines/l1.fp32.tensorrt.engine"]
    assert set(SHAPES) <= set(line)
    assert "--optShapes=pred:10x4,target:10x4,mask:10x4" in line


def test_the_total_gets_a_line_for_each_size_that_we_compile(tmp_path):
    lines = words(l1_bundle(tmp_path / "own", graph="generic_loss"))
    assert [line[2] for line in lines] == [
        f"--saveEngine=engines/generic_loss.fp32{size}.tensorrt.engine" for size in ("", ".b1", ".b10")
    ]
    assert {word.partition("=")[2] for word in lines[1] if "Shapes" in word} == {"pred:1x4,target:1x4,mask:1x4"}


@pytest.mark.parametrize(
    ("target", "there", "absent"),
    [
        ("jetpack5", {"--noTF32", "--buildOnly"}, {"--stronglyTyped", "--skipInference"}),
        ("jetpack6.0", {"--noTF32", "--skipInference"}, {"--stronglyTyped"}),
        ("jetpack6", {"--noTF32", "--stronglyTyped", "--skipInference"}, {"--fp16"}),
    ],
)
def test_options_are_those_of_the_targets_version(tmp_path, target, there, absent):
    [line] = words(l1_bundle(tmp_path / "own", target=target))
    assert there <= set(line)
    assert not absent & set(line)


def test_half_maps_on_8_x_keep_the_arithmetic_in_float32(tmp_path):
    [line] = words(l1_bundle(tmp_path / "own", target="jetpack5", precision="fp16"))
    assert {"--fp16", "--precisionConstraints=obey", "--layerPrecisions=*:fp32"} <= set(line)


def test_the_workspace_and_plugins_go_along(tmp_path):
    [line] = words(l1_bundle(tmp_path / "own", target="jetpack5"), workspace_bytes=3 << 19, plugins=("/a b.so",))
    assert {"--memPoolSize=workspace:1.5", "--plugins=/a b.so"} <= set(line)
