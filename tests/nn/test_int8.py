"""Int8: the two libraries' own weights, bit for bit; errors within half a step; tied stays tied."""

import pytest
import torch
from torch import nn
from torch.ao.quantization import PerChannelMinMaxObserver

from llmcourse.models.files import load_model, save_model, unique_state
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.models.registry import FAMILIES
from llmcourse.nn.int8 import (
    Int8Linear,
    Quantized,
    int8_matmul,
    is_quantized,
    quantize_model,
    quantize_rows,
)

SIZES = {"vocab_size": 50, "context_length": 16, "d_model": 32, "n_layers": 2, "n_heads": 4}


def test_by_hand():
    found = quantize_rows(torch.tensor([[1.27, -0.5, 0.004], [0.0, 0.0, 0.0]]))
    assert found.values.tolist() == [[127, -50, 0], [0, 0, 0]]
    torch.testing.assert_close(found.scales, torch.tensor([[0.01], [1.0]]))


def test_weights_are_those_of_torch_ao():
    torch.manual_seed(0)
    weight = torch.randn(24, 40) * torch.logspace(-3, 2, 24)[:, None]
    observer = PerChannelMinMaxObserver(
        ch_axis=0,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        quant_min=-127,
        quant_max=127,
    )
    observer(weight)
    scales, zeros = observer.calculate_qparams()
    theirs = torch.fake_quantize_per_channel_affine(weight, scales, zeros.int(), 0, -127, 127)
    ours = quantize_rows(weight)
    torch.testing.assert_close(ours.scales.squeeze(-1), scales, rtol=1e-6, atol=0)
    torch.testing.assert_close(ours.dequantize(), theirs, rtol=1e-6, atol=0)


def test_weights_are_those_of_onnx_runtime(tmp_path):
    onnx = pytest.importorskip("onnx")
    quantization = pytest.importorskip("onnxruntime.quantization")
    torch.manual_seed(0)
    weight = torch.randn(24, 40)
    sides = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 40), ("y", 24))
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "W"], ["y"])],
        "linear",
        sides[:1],
        sides[1:],
        [onnx.numpy_helper.from_array(weight.T.contiguous().numpy(), "W")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    quantization.quantize_dynamic(
        tmp_path / "m.onnx",
        tmp_path / "q.onnx",
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )
    theirs = {
        each.name: torch.tensor(onnx.numpy_helper.to_array(each))
        for each in onnx.load(tmp_path / "q.onnx").graph.initializer
    }
    ours = quantize_rows(weight)
    torch.testing.assert_close(ours.scales.squeeze(-1), theirs["W_scale"], rtol=1e-6, atol=0)
    assert torch.equal(ours.values.T, theirs["W_quantized"])
    # Its activations have a zero point, ours have none: outputs agree as far as steps are fine.
    x = torch.randn(1, 40)
    said = onnx.reference.ReferenceEvaluator(str(tmp_path / "q.onnx")).run(None, {"x": x.numpy()})
    torch.testing.assert_close(Int8Linear(ours)(x), torch.tensor(said[0]), atol=0.2, rtol=0)
    torch.testing.assert_close(x @ weight.T, torch.tensor(said[0]), atol=0.2, rtol=0)


@pytest.mark.parametrize("scale", [1e-30, 1e-4, 1.0, 1e6])
def test_the_error_is_at_most_half_a_step(scale):
    torch.manual_seed(0)
    x = torch.randn(30, 20, dtype=torch.float64) * scale
    found = quantize_rows(x)
    steps = found.scales.to(x.dtype)
    assert ((found.dequantize() - x).abs() <= steps * (0.5 + 1e-6)).all()
    assert found.values.abs().max() == 127
    assert found.values.min() >= -127


def test_negating_a_row_negates_its_values():
    x = torch.randn(5, 8)
    assert torch.equal(quantize_rows(-x).values, -quantize_rows(x).values)


@pytest.mark.parametrize("width", [3, 1000, 5000])
def test_the_product_is_exact(width):
    x = torch.full((2, width), 127, dtype=torch.int8)
    weight = torch.full((3, width), 127, dtype=torch.int8)
    weight[:, 0] = -1
    exact = x.long() @ weight.long().T
    assert torch.equal(int8_matmul(x, weight), exact.float())


def test_a_linear_layer_is_near_its_original_in_floating_point():
    torch.manual_seed(0)
    linear = nn.Linear(64, 48)
    x = torch.randn(2, 7, 64)
    ours = Int8Linear(quantize_rows(linear.weight), linear.bias)(x)
    exact = linear(x)
    # each product is off by half a step of either factor; errors of 64 products mostly cancel
    steps = quantize_rows(x).scales * linear.weight.abs().mean() + linear.weight.abs().amax() / 127
    assert ((ours - exact).abs() < steps * 64**0.5).all()
    assert (ours - exact).abs().max() > 1e-5  # rounded it is


def test_each_token_has_a_scale_of_its_own():
    linear = nn.Linear(8, 4)
    layer = Int8Linear(quantize_rows(linear.weight), linear.bias)
    x = torch.randn(3, 8)
    louder = x * torch.tensor([[1.0], [1000.0], [1.0]])
    torch.testing.assert_close(layer(louder)[::2], layer(x)[::2], rtol=0, atol=0)


@pytest.mark.parametrize("recipe", [gpt2_recipe, modern_recipe])
def test_a_model_says_nearly_the_same_in_a_quarter_of_the_bytes(recipe, tmp_path):
    torch.manual_seed(0)
    model = GPT(recipe(**{**SIZES, "zero_init_outputs": False})).eval()
    small = quantize_model(model)
    assert is_quantized(small)
    assert not is_quantized(model)
    ids = torch.randint(50, (2, 16))
    logits, rounded = model(ids).logits, small(ids).logits
    assert 1e-6 < (logits - rounded).abs().max() < 0.05 * logits.std() + 0.02
    save_model(small, tmp_path)
    assert torch.equal(load_model(tmp_path)(ids).logits, rounded)
    bytes_of = [
        sum(each.numel() * each.element_size() for each in unique_state(one).values())
        for one in (model, small)
    ]
    assert bytes_of[1] < 0.36 * bytes_of[0]


@pytest.mark.parametrize("name", ["encoder_decoder", "mlp_lm", "rnn_lm"])
def test_other_families_too(name):
    torch.manual_seed(0)
    kind = FAMILIES[name]
    sizes = {key: value for key, value in SIZES.items() if key in kind.config.__dataclass_fields__}
    model = kind.model(kind.config(**sizes)).eval()
    ids = torch.randint(50, (2, 8))
    rows = (ids, ids) if model.reads_source else (ids,)
    logits, rounded = model(*rows).logits, quantize_model(model)(*rows).logits
    assert 0 < (logits - rounded).abs().max() < 0.05 * logits.std() + 0.02


def test_a_tied_matrix_is_kept_once():
    model = GPT(gpt2_recipe(**SIZES))
    small = quantize_model(model)
    assert small.lm_head.values is small.token_embedding.values
    assert sum(name.endswith("values") for name in unique_state(small)) == 1 + 2 * 6


def test_dequantised_is_scale_times_value():
    one = Quantized(torch.tensor([[3, -2]], dtype=torch.int8), torch.tensor([[0.5]]))
    assert one.dequantize().tolist() == [[1.5, -1.0]]
