import json
import os
import struct
from pathlib import Path

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.export.huggingface import from_huggingface, to_huggingface
from llmcourse.export.llama2c import neighbours_to_halves, read_llama2c
from llmcourse.models.files import load_model, save_model
from llmcourse.nn.cache import KVCache
from llmcourse.nn.positions import RoPE

needs_data = pytest.mark.skipif(
    "LLMCOURSE_DATA" not in os.environ,
    reason="real weights: point LLMCOURSE_DATA to the folder that holds weights_stories260k",
)


@pytest.fixture(scope="module")
def folder():
    return Path(os.environ["LLMCOURSE_DATA"]) / "weights_stories260k"


@pytest.fixture(scope="module")
def recorded(folder):
    """What an independent implementation made of the same file."""
    return json.loads((folder / "parity.json").read_text())


@pytest.fixture(scope="module")
def model(folder):
    return read_llama2c(folder / "stories260K.bin")


def pieces(path):
    """The tokenizer's pieces: a longest length, then score, length and bytes of each."""
    data, offset, found = path.read_bytes(), 4, []
    while offset < len(data):
        _, length = struct.unpack_from("<fi", data, offset)
        offset += 8 + length
        found.append(data[offset - length : offset])
    return found


@needs_data
class TestRealWeights:
    def test_shape(self, model, recorded):
        config, wanted = model.config, recorded["config"]
        assert (config.d_model, config.n_layers) == (wanted["dim"], wanted["n_layers"])
        assert (config.n_heads, config.kv_heads) == (wanted["n_heads"], wanted["n_kv_heads"])
        assert config.tie_embeddings == wanted["tied_embeddings"]
        assert (config.norm_eps, config.rope_theta) == (wanted["norm_eps"], wanted["rope_theta"])
        assert model.n_parameters == 260_032

    def test_recorded_logits(self, model, recorded):
        """Written down with five decimals; their sums over the vocabulary with four."""
        with torch.no_grad():
            logits = model.double()(torch.tensor([recorded["prompt_ids"]])).logits[0]
        model.float()
        last = torch.tensor(recorded["last_logits"], dtype=torch.float64)
        sums = torch.tensor(recorded["logits_sum_per_position"], dtype=torch.float64)
        torch.testing.assert_close(logits[-1], last, rtol=0, atol=2e-5)
        torch.testing.assert_close(logits.sum(-1), sums, rtol=2e-6, atol=0)

    @pytest.mark.parametrize("cached", [True, False])
    def test_recorded_greedy_continuation_token_for_token(self, model, recorded, cached):
        ids = recorded["greedy_ids"][:1]
        cache = KVCache(model.config.n_layers) if cached else None
        with torch.no_grad():
            for _ in recorded["greedy_ids"][1:]:
                new = ids[-1:] if cached else ids
                ids.append(int(model(torch.tensor([new]), cache=cache).logits[0, -1].argmax()))
        assert ids == recorded["greedy_ids"]

    def test_recorded_text(self, recorded, folder):
        words = pieces(folder / "tok512.bin")
        text = b"".join(words[token] for token in recorded["greedy_ids"][1:]).decode()
        text = text.replace("<0x0A>", "\n")  # bytes that no piece holds have pieces of their own
        assert text.removeprefix(" ") == recorded["greedy_text"]

    def test_recorded_loss(self, model, recorded):
        ids = torch.tensor(recorded["prompt_ids"])
        with torch.no_grad():
            logits = model(ids[None, :-1]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, ids[1:])
        assert loss.item() == pytest.approx(recorded["nll_of_greedy_ids"], abs=1e-5)

    def test_survives_our_format_and_hugging_faces(self, model, tmp_path):
        ids = torch.arange(40)[None]
        save_model(model, tmp_path / "ours")
        assert to_huggingface(model, tmp_path / "theirs") == "llama"
        assert not model.config.zero_init_outputs  # real weights
        for again in (load_model(tmp_path / "ours"), from_huggingface(tmp_path / "theirs")):
            assert torch.equal(again(ids).logits, model(ids).logits)

    @pytest.mark.parametrize("size", [0, 27, 28, 5000, -4])
    def test_torn(self, folder, tmp_path, size):
        torn = tmp_path / "torn.bin"
        torn.write_bytes((folder / "stories260K.bin").read_bytes()[:size])
        with pytest.raises(UserError, match=r"torn.bin is (damaged|no llama2.c checkpoint)"):
            read_llama2c(torn)


def write(path, header, generator, untied=False):
    """A file of random weights, laid out by hand."""
    dim, hidden, layers, heads, kv_heads, vocab, length = header
    width = dim // heads
    sizes = [vocab * dim, layers * dim, layers * dim * dim]
    sizes += [layers * kv_heads * width * dim] * 2
    sizes += [layers * dim * dim, layers * dim] + [layers * dim * hidden] * 3
    sizes += [dim, length * width] + [vocab * dim] * untied
    numbers = torch.randn(sum(sizes), generator=generator)
    signed = (*header[:5], -vocab if untied else vocab, length)
    path.write_bytes(struct.pack("<7i", *signed) + numbers.numpy().tobytes())
    return dict(zip(range(len(sizes)), numbers.split(sizes), strict=True))


@pytest.mark.parametrize("untied", [True, False])
def test_every_weight_lands_in_its_place(tmp_path, untied):
    path = tmp_path / "made.bin"
    parts = write(path, (8, 12, 2, 2, 1, 5, 6), torch.Generator().manual_seed(0), untied)
    model = read_llama2c(path)
    assert torch.equal(model.token_embedding.weight.flatten(), parts[0])
    block = model.blocks[1]
    assert torch.equal(block.norm1.weight, parts[1][8:])
    assert torch.equal(block.attention.v_proj.weight.flatten(), parts[4][32:])
    assert torch.equal(block.attention.o_proj.weight.flatten(), parts[5][64:])
    assert torch.equal(block.norm2.weight, parts[6][8:])
    assert torch.equal(block.mlp.gate_proj.weight.flatten(), parts[7][96:])
    assert torch.equal(block.mlp.down_proj.weight.flatten(), parts[8][96:])
    assert torch.equal(block.mlp.up_proj.weight.flatten(), parts[9][96:])
    assert torch.equal(model.norm.weight, parts[10])
    assert torch.equal(model.lm_head.weight.flatten(), parts[12] if untied else parts[0])


def test_turning_halves_of_reordered_rows_is_turning_neighbours():
    """Scores are the same whether pairs are neighbours, as in the file, or halves, as here."""
    hidden = torch.randn(1, 7, 8, dtype=torch.float64)
    query, key = torch.randn(2, 12, 8, dtype=torch.float64)  # two heads of width six
    turn = 10_000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    turns = torch.polar(torch.ones(7, 3).double(), torch.arange(7)[:, None] * turn)

    def neighbours(weight):
        pairs = (hidden @ weight.T).unflatten(-1, (2, 3, 2)).transpose(1, 2)
        return torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turns).flatten(-2)

    torch.set_default_dtype(torch.float64)
    rope = RoPE(6, context_length=7)
    torch.set_default_dtype(torch.float32)

    def halves(weight):
        moved = neighbours_to_halves(weight, 6)
        return rope((hidden @ moved.T).unflatten(-1, (2, 6)).transpose(1, 2))

    wanted = neighbours(query) @ neighbours(key).mT
    torch.testing.assert_close(halves(query) @ halves(key).mT, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((0, 12, 2, 2, 1, 5, 6), "d_model=0 must be at least 1"),
        ((8, 12, 2, 3, 1, 5, 6), "n_heads=3 does not divide d_model=8"),
        ((8, 12, -2, 2, 1, 5, 6), "n_layers=-2 must be at least 1"),
    ],
)
def test_impossible_header(header, message, tmp_path):
    (tmp_path / "x.bin").write_bytes(struct.pack("<7i", *header))
    with pytest.raises(UserError, match=f"no llama2.c checkpoint of version 0: {message}"):
        read_llama2c(tmp_path / "x.bin")


def test_no_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nothing"):
        read_llama2c(tmp_path / "nothing")
