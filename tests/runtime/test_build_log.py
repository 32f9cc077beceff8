import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.errors import BackendError
from lossrt.runtime.build_log import BOOKKEEPING, parse_build_log

LAYERS = (
    "Name: __mye23_0_myl0_0, LayerType: shape_call, Inputs: [], Outputs: [], TacticName: , StreamId: 0, Metadata: \n"
    "Name: entry^bb^signal^1_myl0_1, LayerType: signal, Inputs: [], Outputs: [], TacticName: , StreamId: 0, EventId: 5, Metadata: \n"
    "Name: __myl_MulAbsSum_myl0_2, LayerType: kgen, Inputs: [ { Name: mask, Dimensions: [2,4] }], Outputs: [ { Name: t }], "
    "TacticName: x, StreamId: 0, Metadata: [ONNX Layer: masked][ONNX Layer: part/heads[0]]\n"
    "Name: entry^bb^wait^1_myl0_3, LayerType: wait, Inputs: [], Outputs: [], TacticName: , StreamId: 1, EventId: 5, Metadata: \n"
    "Name: mm_myl0_4, LayerType: gemm, Inputs: [ { Name: t }], Outputs: [ { Name: y }], TacticName: g, StreamId: 0, "
    "Metadata: [ONNX Layer: total]\x1e[ONNX Layer: count]"
)
LOG = f"""[VERBOSE] Registering layer: masked for ONNX node: masked
[VERBOSE] Name: decoy, LayerType: kgen, Inputs: [], Metadata: [ONNX Layer: outside the listing]
[INFO] Max Scratch Memory: 5632 bytes
[INFO] Total Activation Memory: 7168 bytes
[INFO] Total Weights Memory: 136 bytes
[VERBOSE] Layers:
{LAYERS}

I/O Tensors:
 Name: mask, IOMode: Input, DataType: Float, Dimensions: [2,4]
[VERBOSE] Adding 1 engine(s) to plan file.
"""


def test_kernels_memory_and_provenance():
    cost = parse_build_log(LOG)
    assert [(kernel.kind, kernel.onnx_nodes) for kernel in cost.kernels] == [
        ("kgen", ("masked", "part/heads[0]")),
        ("gemm", ("total", "count")),
    ]
    assert [kernel.name for kernel in cost.kernels] == ["__myl_MulAbsSum_myl0_2", "mm_myl0_4"]
    assert [layer.kind for layer in cost.bookkeeping] == ["shape_call", "signal", "wait"]
    assert (cost.scratch_bytes, cost.activation_bytes, cost.weights_bytes) == (5632, 7168, 136)


def test_dated_prefixes_of_other_loggers_are_read_too():
    dated = LOG.replace("[VERBOSE] ", "[04/18/2025-03:51:19] [V] [TRT] ")
    assert parse_build_log(dated) == parse_build_log(LOG)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected one line 'Layers:', got 0"),
        (LOG.replace("[VERBOSE] Layers:", "[VERBOSE] Engine Layer Information:"), "expected one line 'Layers:', got 0"),
        (LOG + LOG, "expected one line 'Layers:', got 2"),
        (LOG.replace(LAYERS, ""), "expected layers after 'Layers:', got none"),
        (LOG.replace("LayerType: gemm", "Kind: gemm"), "got 'Name: mm_myl0_4, Kind: gemm"),
        (LOG.replace("Metadata: \nName: mm", "\nName: mm"), "Metadata: .*got 'Name: entry.bb.wait"),
        (LOG.replace("[INFO] Max Scratch Memory: 5632 bytes", ""), "one value of scratch_bytes, got none"),
        (LOG.replace("Total Weights", "Weights"), "one value of weights_bytes, got none"),
        (LOG + "[INFO] Total Activation Memory: 9 bytes", r"one value of activation_bytes, got \[9, 7168\]"),
    ],
    ids=[
        "empty",
        "older format",
        "two engines",
        "no layers",
        "layer",
        "provenance",
        "scratch",
        "weights",
        "two figures",
    ],
)
def test_what_cannot_be_read_is_an_error_and_never_zero(text, reason):
    with pytest.raises(BackendError, match=reason):
        parse_build_log(text)


WORD = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="_./[]"), min_size=1).map(
    lambda word: word.strip("[]") or "n"
)


@given(st.lists(st.tuples(WORD, st.sampled_from(["kgen", "gemm", *sorted(BOOKKEEPING)]), st.lists(WORD)), min_size=1))
def test_every_listed_layer_is_counted_once(layers):
    listing = "\n".join(
        f"Name: {name}, LayerType: {kind}, Inputs: [], Metadata: " + "".join(f"[ONNX Layer: {node}]" for node in nodes)
        for name, kind, nodes in layers
    )
    cost = parse_build_log(LOG.replace(LAYERS, listing))
    read = [(kernel.name, kernel.kind, list(kernel.onnx_nodes)) for kernel in (*cost.kernels, *cost.bookkeeping)]
    assert sorted(read) == sorted((name, kind, nodes) for name, kind, nodes in layers)
    assert all(kernel.kind not in BOOKKEEPING for kernel in cost.kernels)
