"""The default model as an ONNX graph, written from its safetensors file: the encoder that ONNX Runtime runs as a peer.

Uses ONNX's own LayerNormalization and Gelu, so that the runtime has its fastest kernels for them.
"""

import json
import pathlib
import struct

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


def read_safetensors(file: pathlib.Path) -> dict[str, numpy.ndarray]:
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    return {name: numpy.frombuffer(data, "<f4", int(numpy.prod(item["shape"], dtype=int)),
                                   8 + length + item["data_offsets"][0]).reshape(item["shape"])
            for name, item in header.items() if name != "__metadata__" and item["dtype"] == "F32"}


class Graph:
    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, value, dtype=numpy.float32):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(numpy.array(value, dtype=dtype), name))
        return name

    def op(self, kind, *inputs, **attributes):
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name


def build(model_folder: pathlib.Path) -> bytes:
    """Inputs ids and mask, [batch, length] int64; output vectors, [batch, dim], mean pooled and of length 1."""
    config = json.loads((model_folder / "config.json").read_text())
    weights = read_safetensors(model_folder / "model.safetensors")
    hidden, heads, eps = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    graph = Graph()

    def weight(name):
        return graph.constant(weights[name])

    def linear(x, name):
        product = graph.op("MatMul", x, graph.constant(weights[f"{name}.weight"].T))
        return graph.op("Add", product, weight(f"{name}.bias"))

    def norm(x, name):
        return graph.op("LayerNormalization", x, weight(f"{name}.weight"), weight(f"{name}.bias"), axis=-1, epsilon=eps)

    def split_heads(x, order):
        shape = graph.constant([0, 0, heads, hidden // heads], numpy.int64)
        return graph.op("Transpose", graph.op("Reshape", x, shape), perm=order)

    length = graph.op("Gather", graph.op("Shape", "ids"), graph.constant(1, numpy.int64))
    positions = graph.op("Slice", graph.constant(weights["embeddings.position_embeddings.weight"]),
                         graph.constant([0], numpy.int64), graph.op("Unsqueeze", length, graph.constant([0], numpy.int64)),
                         graph.constant([0], numpy.int64))
    x = graph.op("Add", graph.op("Gather", weight("embeddings.word_embeddings.weight"), "ids"), positions)
    x = graph.op("Add", x, graph.constant(weights["embeddings.token_type_embeddings.weight"][0]))
    x = norm(x, "embeddings.LayerNorm")
    mask = graph.op("Cast", "mask", to=TensorProto.FLOAT)
    hidden_mask = graph.op("Mul", graph.op("Sub", graph.op("Unsqueeze", mask, graph.constant([1, 2], numpy.int64)),
                                           graph.constant(1.0)), graph.constant(1e9))
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        q, k, v = (split_heads(linear(x, f"{layer}.attention.self.{part}"), order)
                   for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])))
        scores = graph.op("Mul", graph.op("MatMul", q, k), graph.constant((hidden // heads) ** -0.5))
        attention = graph.op("MatMul", graph.op("Softmax", graph.op("Add", scores, hidden_mask), axis=-1), v)
        attention = graph.op("Reshape", graph.op("Transpose", attention, perm=[0, 2, 1, 3]),
                             graph.constant([0, 0, hidden], numpy.int64))
        x = norm(graph.op("Add", linear(attention, f"{layer}.attention.output.dense"), x), f"{layer}.attention.output.LayerNorm")
        inner = graph.op("Gelu", linear(x, f"{layer}.intermediate.dense"))
        x = norm(graph.op("Add", linear(inner, f"{layer}.output.dense"), x), f"{layer}.output.LayerNorm")
    weighted = graph.op("Mul", x, graph.op("Unsqueeze", mask, graph.constant([2], numpy.int64)))
    pooled = graph.op("ReduceSum", weighted, graph.constant([1], numpy.int64), keepdims=0)  # length 1 comes next anyway
    graph.nodes.append(helper.make_node("LpNormalization", [pooled], ["vectors"], axis=-1, p=2))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "encoder",
                          [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("ids", "mask")],
                          [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", hidden])], graph.constants),
        opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
