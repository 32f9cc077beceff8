"""The table: small models, one for every rule and every accepted form, with what each target is to say of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto

from tests.validators.lint.models import (
    BF16,
    F16,
    F64,
    I8,
    I32,
    I64,
    U8,
    U16,
    B,
    F,
    choice,
    function,
    in_branch,
    in_function,
    int8_out,
    loop,
    model_of,
    naive_gather_gradient,
    node,
    one,
)

TARGETS = ("jetpack5", "jetpack6.0", "jetpack6", "jetpack7", "trt11", "rtx")
OLD = TARGETS[:2]
NEW = TARGETS[2:5]
TRT = TARGETS[:5]
RTX = ("rtx",)
ALL = TARGETS


@dataclass(frozen=True)
class Case:
    """A model and, for each rule that is to speak, the targets for which it does."""

    name: str
    model: onnx.ModelProto
    expected: dict[str, Sequence[str]] = field(default_factory=dict)


X = [("x", F, [2, 3, 8, 8])]
SMALL = [("x", F, [4])]
ONES = {name: np.ones(3, np.float32) for name in ("scale", "bias", "mean", "variance")}
DCN = [("x", F, [1, 2, 8, 8]), ("w", F, [2, 2, 3, 3]), ("offset", F, [1, 18, 6, 6])]
SCATTER = {"order": ["x", "i", "u"], "constants": {"i": np.array([1, 1])}}
SCATTER_IN = [("x", F, [4]), ("u", F, [2])]
ND = {"order": ["x", "i", "u"], "constants": {"i": np.array([[1], [1]])}}
ATTENTION = [(name, F, [1, 2, 4, 8]) for name in ("q", "k", "v")]
ATTENTION_OLD = {"opset": TARGETS[:4], "unsupported-operator": TARGETS[:4]}
SCATTER_OLD = {"opset": TARGETS[:4], "unsupported-operator": TARGETS[:4]}
TOPK_OUT = (("v", F, None), ("i", I64, None))

ACCEPTED = [
    Case("relu", one("Relu", SMALL)),
    Case("relu-dynamic", one("Relu", [("x", F, ["B", 4])])),
    Case("relu-half", one("Relu", [("x", F16, [4])], outputs=(("y", F16, None),))),
    Case("gather-constant", one("Gather", X, constants={"i": np.array([0, -1])}, axis=1)),
    Case("gather-elements", one("GatherElements", [("x", F, [2, 3])], constants={"i": np.array([[0], [1]])}, axis=1)),
    Case("gather-nd-batch", one("GatherND", [("x", F, [2, 3])], constants={"i": np.array([[0], [1]])}, batch_dims=1)),
    Case(
        "gather-clipped",
        model_of(
            [node("Clip", ["i", "low", "high"], ["j"]), node("Gather", ["x", "j"], ["y"], axis=0)],
            [("x", F, [4, 2]), ("i", I32, [3])],
            [("y", F, None)],
            low=np.array(0, np.int32),
            high=np.array(3, np.int32),
        ),
    ),
    Case("scatter-plain", one("ScatterElements", SCATTER_IN, **SCATTER)),
    Case("scatter-none", one("ScatterElements", SCATTER_IN, reduction="none", **SCATTER)),
    Case("scatternd-plain", one("ScatterND", SCATTER_IN, **ND)),
    Case("onehot", one("OneHot", [("x", I32, [4])], constants={"d": np.array(5), "v": np.array([0, 1], np.float32)})),
    Case("topk", one("TopK", [("x", F, [2, 9])], constants={"k": np.array([3])}, outputs=TOPK_OUT)),
    Case("if-same-rank", choice([2, 3], [4, 3])),
    Case("loop", loop()),
    Case("where-bool-mask", one("Where", [("m", B, [4]), ("x", F, [4]), ("z", F, [4])])),
    Case("mask-cast", one("Cast", [("m", B, [4])], to=F)),
    Case("uint8-cast", one("Cast", [("m", U8, [4])], to=F)),
    Case("int8-out", int8_out()),
    Case("shape-whole", one("Shape", X, outputs=(("y", I64, None),))),
    Case("split-even", one("Split", [("x", F, [6])], outputs=(("y", F, None), ("z", F, None), ("w", F, None)))),
    Case("reduce-constant", one("ReduceSum", X, constants={"axes": np.array([1])}, keepdims=0)),
    Case("squeeze-axes", one("Squeeze", [("x", F, ["B", 1])], constants={"axes": np.array([1])})),
    Case(
        "slice-to-end", one("Slice", X, constants={"s": np.array([1]), "e": np.array([2**63 - 1]), "a": np.array([2])})
    ),
    Case("einsum", one("Einsum", [("x", F, [2, 3, 4]), ("z", F, [2, 4, 5])], equation="bij,bjk->bik")),
    Case("resize", one("Resize", X, order=["x", "", "s"], constants={"s": np.array([1, 1, 2, 2], np.float32)})),
    Case("dropout-off", one("Dropout", SMALL, constants={"r": np.array(0.5, np.float32), "t": np.array(False)})),
    Case("batchnorm", one("BatchNormalization", X, constants=ONES)),
    Case("maxpool", one("MaxPool", X, kernel_shape=[2, 2])),
]

REFUSED = [
    Case("nonzero", one("NonZero", SMALL, outputs=(("y", I64, None),)), {"unsupported-operator": RTX}),
    Case("unique", one("Unique", SMALL), {"unsupported-operator": ALL}),
    Case(
        "compress",
        one("Compress", SMALL, constants={"c": np.array([True, False, True, True])}),
        {"unsupported-operator": ALL},
    ),
    Case(
        "cross-entropy",
        one("SoftmaxCrossEntropyLoss", [("x", F, [2, 3]), ("t", I32, [2])]),
        {"unsupported-operator": ALL},
    ),
    Case("nll", one("NegativeLogLikelihoodLoss", [("x", F, [2, 3]), ("t", I32, [2])]), {"unsupported-operator": ALL}),
    Case(
        "maxunpool",
        one(
            "MaxUnpool",
            [("x", F, [1, 1, 2, 2])],
            constants={"i": np.arange(4).reshape(1, 1, 2, 2)},
            kernel_shape=[2, 2],
        ),
        {"unsupported-operator": ALL},
    ),
    Case(
        "layernorm",
        one("LayerNormalization", [("x", F, [2, 3])], constants={"s": np.ones(3, np.float32)}),
        {"unsupported-operator": ("jetpack5",)},
    ),
    Case("gelu", one("Gelu", SMALL, opset=20), {"unsupported-operator": OLD, "opset": OLD}),
    Case(
        "stft",
        one("STFT", [("x", F, [1, 32, 1])], constants={"s": np.array(8), "w": np.ones(8, np.float32)}),
        {"unsupported-operator": (*OLD, "jetpack6")},
    ),
    Case(
        "roi-align",
        one("RoiAlign", [("x", F, [1, 1, 8, 8]), ("r", F, [2, 4])], constants={"b": np.array([0, 0])}),
        {"unsupported-operator": RTX, "plugin-library": TRT},
    ),
    Case(
        "deform-conv",
        one("DeformConv", DCN, opset=19),
        {"unsupported-operator": (*OLD, "rtx"), "opset": OLD, "plugin-library": NEW},
    ),
    Case(
        "deform-conv-pads",
        one("DeformConv", DCN, opset=19, pads=[0, 0, 1, 1]),
        {"unsupported-operator": (*OLD, "rtx"), "opset": OLD, "plugin-library": NEW, "deform-pads": NEW},
    ),
    Case("dcnv2-node", one("DCNv2", DCN, domain="custom"), {"custom-operator": ALL}),
    Case("mmcv-dcn-node", one("MMCVModulatedDeformConv2d", DCN, domain="mmdeploy"), {"custom-operator": ALL}),
    Case("custom-node", one("GatherFeat", SMALL, domain="lossrt"), {"custom-operator": ALL}),
    Case(
        "standard-plugin",
        one("EfficientNMS_TRT", SMALL, domain="trt"),
        {"standard-plugin": TRT, "custom-operator": RTX},
    ),
    Case(
        "local-function",
        model_of(
            [node("Twice", ["x"], ["y"], domain="d", name="n")],
            SMALL,
            [("y", F, [4])],
            domains=["d"],
            functions=[function("d", "Twice", "Neg")],
        ),
        {"local-function": OLD},
    ),
    Case(
        "function-short-call",
        model_of(
            [node("Twice", ["x"], ["y"], domain="d", name="n")],
            SMALL,
            [("y", F, [4])],
            domains=["d"],
            functions=[function("d", "Twice", "Neg", ("a", "c"))],
        ),
        {"local-function": OLD, "function-inputs": (*NEW, "rtx")},
    ),
    Case(
        "batchnorm-statistics",
        one(
            "BatchNormalization",
            X,
            constants=ONES,
            training_mode=1,
            outputs=(("y", F, None), ("m", F, None), ("v", F, None)),
        ),
        {"batchnorm-training-ignored": OLD, "batchnorm-training": (*NEW, "rtx"), "extra-outputs": ALL},
    ),
    Case(
        "maxpool-indices",
        one("MaxPool", X, kernel_shape=[2, 2], outputs=(("y", F, None), ("i", I64, None))),
        {"extra-outputs": ALL},
    ),
    Case(
        "dropout-on",
        one("Dropout", SMALL, constants={"r": np.array(0.5, np.float32), "t": np.array(True)}),
        {"dropout-training": ALL},
    ),
    Case(
        "dropout-mode-input",
        one("Dropout", [*SMALL, ("t", B, [])], order=["x", "r", "t"], constants={"r": np.array(0.5, np.float32)}),
        {"dropout-training": ALL},
    ),
    Case("pool-dilated", one("MaxPool", X, kernel_shape=[2, 2], dilations=[2, 2]), {"pool-dilations": ALL}),
    Case("pool-1d", one("MaxPool", [("x", F, [1, 1, 8])], kernel_shape=[2]), {"pool-rank": OLD}),
    Case("lp-norm", one("LpPool", X, p=3, kernel_shape=[2, 2]), {"lp-order": ALL}),
    Case(
        "resize-crop",
        one(
            "Resize",
            X,
            order=["x", "roi", "s"],
            coordinate_transformation_mode="tf_crop_and_resize",
            constants={"roi": np.zeros(8, np.float32), "s": np.array([1, 1, 2, 2], np.float32)},
        ),
        {"resize-coordinates": ALL},
    ),
    Case(
        "resize-antialias",
        one(
            "Resize",
            X,
            order=["x", "", "s"],
            antialias=1,
            opset=18,
            constants={"s": np.array([1, 1, 0.5, 0.5], np.float32)},
        ),
        {"opset": OLD, "newer-form": OLD, "resize-antialias": (*NEW, "rtx")},
    ),
    Case(
        "resize-aspect",
        one(
            "Resize",
            X,
            order=["x", "", "", "z"],
            keep_aspect_ratio_policy="not_larger",
            opset=18,
            constants={"z": np.array([2, 3, 4, 9])},
        ),
        {"opset": OLD, "newer-form": OLD, "resize-aspect": (*NEW, "rtx")},
    ),
    Case("resize-scales-input", one("Resize", [*X, ("s", F, [4])], order=["x", "", "s"]), {"float-shape-input": RTX}),
    Case("einsum-capital", one("Einsum", [("x", F, [2, 3])], equation="Bi->iB"), {"einsum-letters": ALL}),
    Case(
        "einsum-ellipsis", one("Einsum", [("x", F, [2, 3])], equation="...i->...i"), {"einsum-form": (*OLD, "jetpack6")}
    ),
    Case("einsum-diagonal", one("Einsum", [("x", F, [3, 3])], equation="ii->i"), {"einsum-form": (*OLD, "jetpack6")}),
    Case(
        "pad-wrap",
        one("Pad", SMALL, opset=19, mode="wrap", constants={"p": np.array([1, 1])}),
        {"opset": OLD, "pad-wrap": OLD},
    ),
    Case(
        "pad-axes",
        one("Pad", X, order=["x", "p", "", "a"], opset=18, constants={"p": np.array([1, 1]), "a": np.array([3])}),
        {"opset": OLD, "pad-axes": OLD},
    ),
    Case(
        "pad-axes-input",
        one("Pad", [*X, ("a", I32, [1])], order=["x", "p", "", "a"], opset=18, constants={"p": np.array([1, 1])}),
        {"opset": OLD, "pad-axes": OLD, "pad-axes-constant": ("jetpack6",)},
    ),
    Case(
        "random-double",
        one("RandomNormalLike", SMALL, dtype=F64, outputs=(("y", F64, None),)),
        {"random-type": ALL, "type-float64": ALL},
    ),
    Case(
        "zero-point",
        one(
            "QuantizeLinear",
            SMALL,
            outputs=(("y", I8, None),),
            constants={"s": np.array(0.1, np.float32), "z": np.array(3, np.int8)},
        ),
        {"zero-point": ALL},
    ),
    Case(
        "topk-k-input",
        one("TopK", [("x", F, [2, 9]), ("k", I64, [1])], outputs=TOPK_OUT),
        {"topk-k-constant": ("jetpack5",), "int64-input": OLD},
    ),
    Case(
        "topk-large",
        one("TopK", [("x", F, [2, 9000])], constants={"k": np.array([4000])}, outputs=TOPK_OUT),
        {"topk-limit": ALL},
    ),
    Case(
        "topk-integer",
        one("TopK", [("x", I32, [2, 9])], constants={"k": np.array([3])}, outputs=(("v", I32, None), ("i", I64, None))),
        {"topk-integer": ("jetpack5",)},
    ),
    Case(
        "cumsum-axis-input",
        one("CumSum", [("x", F, [2, 9]), ("a", I32, [])]),
        {
            "cumsum-axis-constant": (*OLD, "jetpack6"),
            "cumsum-loop": (*OLD, "jetpack6"),
            "cumsum-axis-static": ("jetpack7", "trt11", "rtx"),
        },
    ),
    Case(
        "onehot-depth-input",
        one("OneHot", [("x", I32, [4]), ("d", I32, [])], constants={"v": np.array([0, 1], np.float32)}),
        {"onehot-depth": ALL},
    ),
    Case("reduce-axes-input", one("ReduceSum", [*X, ("a", I64, [1])]), {"reduce-axes": ALL, "int64-input": OLD}),
    Case(
        "squeeze-axes-input",
        one("Squeeze", [("x", F, [2, 1]), ("a", I64, [1])]),
        {"axes-static": ALL, "int64-input": OLD},
    ),
    Case(
        "slice-axes-input",
        one(
            "Slice",
            [*X, ("a", I32, [1])],
            order=["x", "s", "e", "a"],
            constants={"s": np.array([0], np.int32), "e": np.array([1], np.int32)},
        ),
        {"slice-axes": OLD},
    ),
    Case("eyelike-open", one("EyeLike", [("x", F, ["B", 3])]), {"eyelike-dynamic": ALL}),
    Case("squeeze-open", one("Squeeze", [("x", F, ["B", 1])]), {"squeeze-dynamic": TRT}),
    Case(
        "reverse-open",
        one("ReverseSequence", [("x", F, ["T", 3])], constants={"l": np.array([1, 1, 1])}),
        {"reversesequence-dynamic": ("jetpack5",)},
    ),
    Case("if-ranks", choice([2, 3], [3]), {"if-rank": ALL}),
    Case("if-names", choice([2, 3], [2, 3], ("a", "a")), {"if-names": TRT}),
    Case(
        "matmul-integer",
        one("MatMul", [("x", I32, [3, 3]), ("z", I32, [3, 3])], outputs=(("y", I32, None),)),
        {"float-only": ALL},
    ),
    Case(
        "prelu-integer",
        one("PRelu", [("x", I32, [3])], constants={"s": np.ones(1, np.int32)}, outputs=(("y", I32, None),)),
        {"prelu-integer": ALL},
    ),
    Case(
        "reduce-bool",
        one("ReduceMax", [("x", B, [3])], opset=20, outputs=(("y", B, None),)),
        {"opset": OLD, "reduce-bool": ALL},
    ),
    Case("celu-half", one("Celu", [("x", F16, [3])], opset=17, outputs=(("y", F16, None),)), {"celu-type": RTX}),
    Case(
        "gridsample-5d",
        one("GridSample", [("x", F, [1, 1, 2, 2, 2]), ("g", F, [1, 2, 2, 2, 3])], opset=20),
        {"opset": OLD, "gridsample-rank": TRT},
    ),
    Case("uint16-input", one("Cast", [("x", U16, [4])], to=F), {"type-unsupported": ALL}),
    Case(
        "int16-constant",
        model_of(
            [node("Cast", ["w"], ["v"], to=F), node("Add", ["x", "v"], ["y"])],
            SMALL,
            [("y", F, None)],
            w=np.ones(4, np.int16),
        ),
        {"type-unsupported": ALL},
    ),
    Case("bfloat16", one("Relu", [("x", BF16, [4])], outputs=(("y", BF16, None),)), {"type-unsupported": OLD}),
    Case("uint8-add", one("Add", [("x", U8, [4]), ("z", U8, [4])], outputs=(("y", U8, None),)), {"type-uint8": ALL}),
    Case(
        "uint8-inside",
        model_of([node("Cast", ["x"], ["u"], to=U8), node("Cast", ["u"], ["y"], to=F)], SMALL, [("y", F, None)]),
        {"type-uint8": ALL},
    ),
    Case(
        "constant-text",
        model_of(
            [node("Constant", [], ["t"], value_string="a", name="n"), node("Relu", ["x"], ["y"])],
            SMALL,
            [("y", F, None)],
        ),
        {"constant-value": ALL, "type-unsupported": ALL},
    ),
    Case(
        "lstm-coupled",
        one(
            "LSTM",
            [("x", F, [2, 3, 4])],
            input_forget=1,
            hidden_size=5,
            constants={"w": np.ones((1, 20, 4), np.float32), "r": np.ones((1, 20, 5), np.float32)},
        ),
        {"lstm-form": ALL},
    ),
    Case(
        "deform-bfloat16",
        one("DeformConv", [(name, BF16, shape) for name, _, shape in DCN], opset=22, outputs=(("y", BF16, None),)),
        {
            "opset": (*OLD, "jetpack6"),
            "unsupported-operator": (*OLD, "rtx"),
            "plugin-library": NEW,
            "deform-type": NEW,
            "type-unsupported": OLD,
        },
    ),
    Case("clip-int8", one("Clip", [("x", I8, [4]), ("low", I8, [])], outputs=(("y", I8, None),)), {"clip-type": RTX}),
    Case(
        "instance-norm",
        one("InstanceNormalization", [*X, ("s", F, [3])], constants={"b": np.zeros(3, np.float32)}),
        {"instance-norm-constant": OLD, "instance-norm-plugin": OLD},
    ),
    Case("mod-int8", one("Mod", [("x", I8, [4]), ("z", I8, [4])], outputs=(("y", I8, None),)), {"mod-type": RTX}),
    Case("mod-float", one("Mod", [("x", F, [4]), ("z", F, [4])]), {"mod-float": ALL}),
    Case(
        "range-half",
        model_of(
            [node("Range", ["a", "b", "c"], ["y"], name="n")],
            [],
            [("y", F16, [3])],
            a=np.float16(0),
            b=np.float16(3),
            c=np.float16(1),
        ),
        {"range-type": RTX},
    ),
    Case(
        "resize-axes-computed",
        model_of(
            [node("Mul", ["s", "s"], ["t"]), node("Resize", ["x", "", "t"], ["y"], axes=[2, 3], name="n")],
            [*X, ("s", F, [2])],
            [("y", F, None)],
            opset=18,
        ),
        {"opset": OLD, "newer-form": OLD, "resize-axes": RTX},
    ),
    Case(
        "split-empty",
        one("Split", [("x", F, [3])], opset=18, num_outputs=5, outputs=tuple((name, F, [1]) for name in "abcde")),
        {"opset": OLD, "split-uneven": OLD, "split-empty": (*NEW, "rtx")},
    ),
    Case(
        "stft-step-input",
        one("STFT", [("x", F, [1, 32, 1]), ("s", I32, [])], constants={"w": np.ones(8, np.float32)}),
        {"unsupported-operator": (*OLD, "jetpack6"), "stft-constant": ("jetpack7", "trt11", "rtx")},
    ),
    Case(
        "attention-softcap",
        one("Attention", ATTENTION, opset=23, softcap=2.0),
        ATTENTION_OLD | {"attention-form": ("trt11", "rtx")},
    ),
    Case(
        "attention-precision",
        one("Attention", ATTENTION, opset=23, softmax_precision=1),
        ATTENTION_OLD | {"attention-precision": ("trt11", "rtx")},
    ),
    Case(
        "attention-causal-mask",
        one("Attention", [*ATTENTION, ("m", F, [4, 4])], opset=23, is_causal=1),
        ATTENTION_OLD | {"attention-causal-mask": ("trt11", "rtx")},
    ),
    Case(
        "tensorscatter-circular",
        one("TensorScatter", [("x", F, [1, 1, 8, 4]), ("u", F, [1, 1, 2, 4])], opset=24, mode="circular"),
        SCATTER_OLD | {"tensorscatter-mode": ("trt11", "rtx")},
    ),
    Case(
        "tensorscatter-3d",
        one("TensorScatter", [("x", F, [1, 8, 4]), ("u", F, [1, 2, 4])], opset=24),
        SCATTER_OLD | {"tensorscatter-rank": ("trt11", "rtx")},
    ),
    Case("rank-9", one("Relu", [("x", F, [1] * 9)]), {"rank": ALL}),
    Case(
        "string",
        one("Identity", [("x", TensorProto.STRING, [3])], outputs=(("y", TensorProto.STRING, [3]),)),
        {"type-unsupported": ALL},
    ),
]

WRONG = [
    Case(
        "scatter-add",
        one("ScatterElements", SCATTER_IN, reduction="add", **SCATTER),
        {
            "scatter-reduction-ignored": OLD,
            "scatterelements-plugin": ("jetpack6", "jetpack7"),
            "scatterelements-reduction": RTX,
        },
    ),
    Case(
        "scatter-add-in-branch",
        in_branch(),
        {
            "scatter-reduction-ignored": OLD,
            "scatterelements-plugin": ("jetpack6", "jetpack7"),
            "scatterelements-reduction": RTX,
        },
    ),
    Case(
        "scatter-add-in-function",
        in_function(),
        {
            "local-function": OLD,
            "scatter-reduction-ignored": OLD,
            "scatterelements-plugin": ("jetpack6", "jetpack7"),
            "scatterelements-reduction": RTX,
        },
    ),
    Case(
        "naive-gradient",
        naive_gather_gradient(),
        {
            "scatter-reduction-ignored": OLD,
            "scatterelements-plugin": ("jetpack6", "jetpack7"),
            "scatterelements-reduction": RTX,
            "index-unchecked": ALL,
            "int64-input": OLD,
        },
    ),
    Case(
        "scatternd-add",
        one("ScatterND", SCATTER_IN, reduction="add", **ND),
        {
            "scatter-reduction-ignored": OLD,
            "scatternd-reduction-attribute": ("jetpack6",),
            "scatternd-reduction": ("jetpack7", "trt11", "rtx"),
        },
    ),
    Case(
        "scatternd-none",
        one("ScatterND", SCATTER_IN, reduction="none", **ND),
        {"scatternd-reduction-attribute": ("jetpack6",)},
    ),
    Case("shape-range", one("Shape", X, start=1, end=2, outputs=(("y", I64, None),)), {"shape-range-ignored": OLD}),
    Case(
        "batchnorm-training",
        one("BatchNormalization", X, constants=ONES, training_mode=1),
        {"batchnorm-training-ignored": OLD, "batchnorm-training": (*NEW, "rtx")},
    ),
    Case(
        "index-too-large",
        one("Gather", [("x", F, [3, 2])], constants={"i": np.array([3])}),
        {"index-out-of-range": ALL},
    ),
    Case(
        "reduce-18", one("ReduceMean", X, opset=18, constants={"a": np.array([1])}), {"opset": OLD, "newer-form": OLD}
    ),
    Case(
        "split-uneven",
        one("Split", [("x", F, [5])], opset=18, num_outputs=2, outputs=(("y", F, None), ("z", F, None))),
        {"opset": OLD, "split-uneven": OLD},
    ),
    Case("domain-ignored", one("Relu", SMALL, domain="my"), {"domain-ignored": ALL}),
    Case(
        "function-named-relu",
        model_of(
            [node("Relu", ["x"], ["y"], domain="d", name="n")],
            SMALL,
            [("y", F, [4])],
            domains=["d"],
            functions=[function("d", "Relu", "Neg")],
        ),
        {"local-function": OLD, "function-name": (*NEW, "rtx")},
    ),
    Case(
        "function-twins",
        model_of(
            [node("F", ["x"], ["t"], domain="d"), node("F", ["t"], ["y"], domain="e")],
            SMALL,
            [("y", F, [4])],
            domains=["d", "e"],
            functions=[function("d", "F", "Neg"), function("e", "F", "Exp")],
        ),
        {"local-function": OLD, "function-name": (*NEW, "rtx")},
    ),
    Case("float64-input", one("Relu", [("x", F64, [4])], outputs=(("y", F64, None),)), {"type-float64": ALL}),
    Case(
        "float64-inside",
        model_of([node("Cast", ["x"], ["d"], to=F64), node("Cast", ["d"], ["y"], to=F)], SMALL, [("y", F, None)]),
        {"type-float64": ALL},
    ),
    Case(
        "int64-too-wide",
        one("Add", [("x", I64, [1])], constants={"w": np.array([2**40])}, outputs=(("y", I64, None),)),
        {"int64-clamped": OLD, "int64-input": OLD},
    ),
    Case(
        "gru-layout",
        one(
            "GRU",
            [("x", F, [2, 3, 4])],
            layout=1,
            hidden_size=5,
            outputs=(("y", F, None),),
            constants={"w": np.ones((1, 15, 4), np.float32), "r": np.ones((1, 15, 5), np.float32)},
        ),
        {"rnn-layout": ALL},
    ),
]

RISKS = [
    Case("opset-19", one("Relu", SMALL, opset=19), {"opset": OLD}),
    Case("opset-25", one("Relu", SMALL, opset=25), {"opset": ALL}),
    Case("opset-6", one("Relu", SMALL, opset=6), {"opset": ALL}),
    Case(
        "int64-input", one("Gather", [("x", F, [4, 2]), ("i", I64, [3])]), {"int64-input": OLD, "index-unchecked": ALL}
    ),
    Case("index-unchecked", one("GatherElements", [("x", F, [4]), ("i", I32, [3])]), {"index-unchecked": ALL}),
    Case("random-seed", one("RandomUniformLike", SMALL, seed=1.0), {"random-seed": ALL}),
    Case(
        "nonzero-bool",
        one("NonZero", [("x", B, [4])], outputs=(("y", I64, None),)),
        {"type-not-listed": TRT, "unsupported-operator": RTX},
    ),
    Case(
        "transpose-gather",
        model_of(
            [
                node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
                node("Reshape", ["t", "flat"], ["f"]),
                node("GatherElements", ["f", "i"], ["y"], axis=1),
            ],
            [("x", F, [1, 2, 128, 128])],
            [("y", F, None)],
            flat=np.array([1, -1, 2]),
            i=np.zeros((1, 5, 2), np.int64),
        ),
        {"transpose-before-gather": ALL},
    ),
    Case(
        "one-hot-matmul",
        model_of(
            [node("OneHot", ["i", "d", "v"], ["h"]), node("MatMul", ["h", "x"], ["y"])],
            [("i", I32, [256]), ("x", F, [1024, 4])],
            [("y", F, None)],
            d=np.array(1024),
            v=np.array([0, 1], np.float32),
        ),
        {"one-hot-matmul": ALL},
    ),
    Case(
        "cumsum", one("CumSum", [("x", F, [2, 9])], constants={"a": np.array(1)}), {"cumsum-loop": (*OLD, "jetpack6")}
    ),
    Case(
        "cumsum-integer",
        one("CumSum", [("x", I32, [2, 9])], constants={"a": np.array(1)}, outputs=(("y", I32, None),)),
        {"cumsum-loop": (*OLD, "jetpack6"), "cumsum-integer": TRT},
    ),
]

CASES = [*ACCEPTED, *REFUSED, *WRONG, *RISKS]
