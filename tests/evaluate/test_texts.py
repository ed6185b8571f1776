"""Windows over long texts, by brute force; passages that do not hang on the tokenizer."""

import math

import numpy as np
import pytest
import torch
from numerics import in_double

from llmcourse.errors import UserError
from llmcourse.evaluate.scoring import ModelScorer, NGramScorer
from llmcourse.evaluate.texts import Window, measure_texts, text_log_probs, windows
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 20, 31])
@pytest.mark.parametrize(("longest", "stride"), [(6, 1), (6, 5), (6, 3), (2, 1), (None, 1)])
def test_every_token_is_scored_once(n, longest, stride):
    cut = list(windows(n, longest, stride))
    scored = [t for window in cut for t in range(window.new, window.end)]
    assert scored == list(range(1, n))
    assert all(window.end - window.start <= (longest or n) for window in cut)
    assert all(window.start < window.new for window in cut)
    if longest and n > longest:  # all but the first window are as long as can be
        assert all(window.end - window.start == longest for window in cut)


def test_by_hand():
    assert list(windows(8, 5, 2)) == [Window(0, 1, 5), Window(2, 5, 7), Window(3, 7, 8)]


@pytest.mark.parametrize("stride", [0, 6])
def test_a_stride_that_leaves_tokens_without_context_is_refused(stride):
    with pytest.raises(UserError, match="a stride of"):
        list(windows(20, 6, stride))


@pytest.mark.parametrize("stride", [1, 3, 6])
def test_a_token_sees_what_its_window_holds(stride):
    model = in_double(
        lambda: GPT(GPTConfig(vocab_size=9, context_length=6, d_model=8, n_layers=1, n_heads=2))
    )
    ids = torch.randint(8, (20,), generator=torch.Generator().manual_seed(0)).tolist()
    found = text_log_probs(ModelScorer(model), ids, 8, stride)
    row = [8, *ids]
    for t in range(1, len(row)):
        # Where the window of token t begins: as far back as its own end allows.
        end = 7 if t < 7 else min(len(row), 7 + math.ceil((t - 6) / stride) * stride)
        read = torch.tensor([row[max(0, end - 7) : t]])
        wanted = model(read).logits[0, -1].log_softmax(-1)[row[t]].item()
        assert found[t - 1] == pytest.approx(wanted, abs=1e-5)


def test_passages_add_up_and_are_the_same_for_all_tokenizers():
    text = "the cat sat on the mat, and the dog sat on the cat. " * 3
    byte, bpe = ByteTokenizer(), BPETokenizer.train([text], vocab_size=270)
    sizes = []
    for tokenizer in (byte, bpe):
        counts = count_ngrams([tokenizer.encode(text)], 2, tokenizer.vocab_size)
        scorer = NGramScorer(NGram(counts))
        found = measure_texts(scorer, tokenizer, [text, "the cat", ""], passage=50)
        alone = text_log_probs(scorer, tokenizer.encode(text), tokenizer.eot_id)
        first = text_log_probs(scorer, tokenizer.encode("the cat"), tokenizer.eot_id)
        bits = -(alone.sum() + first.sum()) / math.log(2)
        assert found.bits.sum() == pytest.approx(bits)
        assert found.score.bits_per_byte == pytest.approx(bits / (len(text) + 7))
        assert found.tokens == len(alone) + len(first)
        sizes.append(found.bytes.tolist())
        # A token counts where its first byte lies.
        head = [len(tokenizer.token_bytes(t)) for t in tokenizer.encode(text)]
        starts = np.cumsum([0, *head[:-1]])
        assert found.bits[0] == pytest.approx(-alone[starts < 50].sum() / math.log(2))
    assert sizes[0] == sizes[1] == [50, 50, 50, 6, 7]


def test_no_text_is_refused():
    counts = count_ngrams([[1, 2]], 1, 257)
    with pytest.raises(UserError, match="no text to score"):
        measure_texts(NGramScorer(NGram(counts)), ByteTokenizer(), ["", ""])
