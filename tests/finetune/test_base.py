"""Bases of other libraries: a tiny random model of each family, saved as its library saves it."""

import functools
import json
from dataclasses import replace

import pytest
import tokenizers
import torch
import transformers

from llmcourse.errors import UserError
from llmcourse.export.huggingface import to_huggingface
from llmcourse.finetune.base import load_base
from llmcourse.finetune.fit import fit
from llmcourse.finetune.settings import DataSettings, Settings
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.registry import train_tokenizer

TEXTS = [f"a text of number {n} and {n % 7}" for n in range(60)]
SIZES = {"d_model": 16, "n_layers": 2, "n_heads": 2, "context_length": 32}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "all.jsonl"
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def word_piece_bert(folder):
    """A BERT as `transformers` saves one, with a WordPiece tokenizer."""
    words = sorted({word for text in TEXTS for word in text.split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: place for place, word in enumerate([*special, *words])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    torch.manual_seed(0)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return vocabulary


def small(base, data, out):
    return Settings(
        base=str(base),
        out=str(out),
        epochs=0.5,
        evaluations=1,
        device="cpu",
        data=DataSettings(source=str(data)),
    )


def test_a_bert_of_transformers_is_read_with_its_own_words(data, tmp_path):
    vocabulary = word_piece_bert(tmp_path / "bert")
    base = load_base(str(tmp_path / "bert"))
    assert base.encode("a text") == [vocabulary["a"], vocabulary["text"]]
    assert (base.before, base.behind) == ((vocabulary["[CLS]"],), (vocabulary["[SEP]"],))
    assert base.blank == vocabulary["[MASK]"]
    result = fit(small(tmp_path / "bert", data, tmp_path / "run"))
    assert result.test is not None


RECIPES = {
    "gpt2": gpt2_recipe,
    "llama": functools.partial(modern_recipe, mlp="swiglu", qk_norm=False),
}


@pytest.mark.parametrize("family", RECIPES)
def test_a_gpt_in_their_format_is_read_back(family, data, tmp_path):
    tokenizer = train_tokenizer("bpe", TEXTS, 300)
    torch.manual_seed(0)
    model = GPT(RECIPES[family](vocab_size=tokenizer.vocab_size, **SIZES))
    assert to_huggingface(model, tmp_path / family, tokenizer) == family
    base = load_base(str(tmp_path / family))
    assert base.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    for name, value in model.state_dict().items():
        assert torch.equal(base.model.state_dict()[name], value)
    settings = replace(small(tmp_path / family, data, tmp_path / "run"), method="gradual")
    assert fit(settings).test is not None


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    tokenizer = train_tokenizer("bpe", TEXTS, 300)
    assert isinstance(tokenizer, BPETokenizer)
    model = GPT(gpt2_recipe(vocab_size=tokenizer.vocab_size, **SIZES))
    to_huggingface(model, tmp_path / "gpt2", tokenizer)
    larger = train_tokenizer("bpe", TEXTS, 310)
    larger_at = tmp_path / "larger"
    to_huggingface(GPT(gpt2_recipe(vocab_size=310, **SIZES)), larger_at, larger)
    (tmp_path / "gpt2" / "tokenizer.json").write_bytes((larger_at / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match="has 310 tokens, and the model 300"):
        load_base(str(tmp_path / "gpt2"))


def test_word_pieces_of_another_model_are_refused(tmp_path):
    word_piece_bert(tmp_path / "bert")
    path = tmp_path / "bert" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"] |= {f"word{n}": len(content["model"]["vocab"]) + n for n in range(9)}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="they do not belong together"):
        load_base(str(tmp_path / "bert"))
