"""ONNX: the graph says what the model says, with any batch, past and length, token by token."""

import subprocess
import sys

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.export import onnx as export
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.models.rnn_lm import RNNLM, RNNLMConfig

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SIZES = {"vocab_size": 60, "context_length": 256, "d_model": 32, "n_layers": 2, "n_heads": 4}
FAMILIES = {
    "gpt2": lambda: gpt2_recipe(**SIZES),
    "llama": lambda: modern_recipe(
        **SIZES, n_kv_heads=2, mlp="swiglu", qk_norm=False, zero_init_outputs=False
    ),
    "apertus": lambda: modern_recipe(**SIZES, zero_init_outputs=False),
}


EXPORT = """
import sys
from llmcourse.export.onnx import to_onnx
from llmcourse.models.files import load_model
for folder in sys.argv[1:]:
    to_onnx(load_model(folder), folder)
"""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A model and a graph of each family; in a process without the checks of shapes, which would
    ask the exporter's symbols whether they are whole numbers."""
    models = {}
    for name, config in FAMILIES.items():
        torch.manual_seed(0)
        models[name] = GPT(config()).eval()
        with torch.no_grad():  # far from the first weights, so that texts do not stand still
            for parameter in models[name].parameters():
                parameter.mul_(3.0)
    folders = {name: tmp_path_factory.mktemp(name) for name in models}
    for name, model in models.items():
        save_model(model, folders[name])
    words = [sys.executable, "-c", EXPORT, *map(str, folders.values())]
    subprocess.run(words, check=True, capture_output=True, timeout=250)
    return {name: (model, export.OnnxModel(folders[name])) for name, model in models.items()}


@pytest.fixture(params=FAMILIES)
def pair(request, graphs):
    return graphs[request.param]


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 7), (3, 2), (2, 256), (1, 200)])
def test_any_batch_and_length(pair, batch, length):
    model, graph = pair
    ids = torch.randint(60, (batch, length))
    with torch.no_grad():
        torch.testing.assert_close(graph(ids).logits, model(ids).logits, atol=2e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [(5, 1, 1, 3), (1, 1, 8), (100, 1, 20)])
def test_reading_in_pieces_is_reading_at_once(pair, cuts):
    model, graph = pair
    ids = torch.randint(60, (2, sum(cuts)))
    cache = graph.new_cache()
    pieces = [graph(part, cache=cache).logits for part in ids.split(cuts, dim=1)]
    assert cache.length == sum(cuts)
    with torch.no_grad():
        whole = model(ids).logits
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=2e-4, rtol=1e-4)


@pytest.mark.slow
def test_only_the_end_is_scored(pair):
    ids = torch.randint(60, (2, 5))
    for reader in pair:
        with torch.no_grad():
            close = torch.testing.assert_close
            close(reader(ids, n_scored=2).logits, reader(ids).logits[:, -2:], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_two_hundred_greedy_tokens_are_the_same(pair):
    model, graph = pair
    parity = export.compare(model, graph, torch.tensor([[1, 2, 3]]), max_new_tokens=200)
    assert parity.holds
    assert (parity.tokens, parity.agreeing) == (200, 200)
    assert parity.difference < 1e-4
    written = generate(model, torch.tensor([[1, 2, 3]]), max_new_tokens=200, sampler=greedy)
    assert len({int(token) for token in written}) > 5, "a text that stands still would prove little"


def test_parity_sees_a_difference():
    torch.manual_seed(0)
    model, other = (GPT(modern_recipe(**SIZES, zero_init_outputs=False)).eval() for _ in range(2))
    parity = export.compare(model, other, torch.tensor([[1, 2, 3]]), max_new_tokens=20)
    assert not parity.holds
    assert parity.agreeing < parity.tokens
    same = export.compare(model, model, torch.tensor([[1, 2, 3]]), max_new_tokens=20)
    assert same.holds
    assert same.difference == 0


def test_what_has_no_past_is_refused(tmp_path):
    model = RNNLM(RNNLMConfig(vocab_size=20, context_length=16, d_model=8))
    with pytest.raises(UserError, match="RNNLM has no past to hand over"):
        export.to_onnx(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_graph_is_one_line(tmp_path):
    (tmp_path / "onnx_config.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"model\.onnx cannot be read") as caught:
        export.OnnxModel(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_library_that_is_missing_is_named():
    with pytest.raises(UserError, match=r"needs no_such_library.*llmcourse\[export\]"):
        export.require_library("no_such_library")
