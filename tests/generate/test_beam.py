"""Beam search against all texts that there are, against greedy decoding, and transformers."""

import itertools

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.beam import beam_search
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy

PROMPT = torch.tensor([[2, 5, 1]])
END = 0


def all_texts(model, prompt, longest):
    """Every text that ends with END or is as long as allowed, with its log-probability."""
    vocab = model.config.vocab_size
    found = {}
    for tokens in itertools.product(range(vocab), repeat=longest):
        text = tokens[: tokens.index(END) + 1] if END in tokens else tokens
        found[text] = None
    for text in found:
        ids = torch.cat([prompt, torch.tensor([text])], dim=1)
        log_p = model(ids).logits.log_softmax(-1)[0, prompt.size(1) - 1 : -1]
        found[text] = log_p[torch.arange(len(text)), torch.tensor(text)].sum().item()
    return found


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0, -0.5])
def test_a_wide_beam_finds_the_best_of_all_texts(make_wild, penalty):
    model = make_wild(vocab_size=4)
    with torch.no_grad():
        every = all_texts(model, torch.tensor([[2, 3, 1]]), 4)
    scored = {text: log_p / len(text) ** penalty for text, log_p in every.items()}
    found = beam_search(
        model, torch.tensor([[2, 3, 1]]), n_beams=100, max_new_tokens=4, length_penalty=penalty,
        stop_ids=(END,),
    )  # fmt: skip
    ranked = sorted(scored, key=scored.__getitem__, reverse=True)
    assert [one.tokens for one in found.best[:20]] == ranked[:20]
    for one in found.best:
        assert one.log_p == pytest.approx(every[one.tokens], abs=1e-10)
        assert one.score == pytest.approx(scored[one.tokens], abs=1e-10)


def test_one_beam_is_greedy(make_wild):
    model = make_wild()
    found = beam_search(model, PROMPT, n_beams=1, max_new_tokens=12)
    by_greed = [int(t) for t in generate(model, PROMPT, max_new_tokens=12, sampler=greedy)]
    assert list(found.best[0].tokens) == by_greed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_beams", [2, 3, 5])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_its_texts_and_scores_are_those_of_transformers(seed, n_beams, penalty):
    from transformers import GPT2Config, GPT2LMHeadModel

    from llmcourse.models.base import Output

    torch.manual_seed(seed)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24, "vocab_size": 9}
    config = GPT2Config(**sizes, bos_token_id=8, eos_token_id=END, pad_token_id=END)
    theirs = GPT2LMHeadModel(config).double().eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.4)

    class Same:
        class config:
            context_length = 24

        def __call__(self, ids):
            return Output(theirs(ids).logits, torch.zeros(1, 1, 1))

    found = beam_search(
        Same(), PROMPT, n_beams=n_beams, max_new_tokens=8, length_penalty=penalty, stop_ids=(END,)
    )
    out = theirs.generate(
        PROMPT, attention_mask=torch.ones_like(PROMPT), num_beams=n_beams, max_new_tokens=8,
        do_sample=False, length_penalty=penalty, early_stopping="never",
        num_return_sequences=n_beams, output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    for ours, row, score in zip(found.best, out.sequences, out.sequences_scores, strict=True):
        text = row[PROMPT.size(1) :].tolist()
        text = text[: text.index(END) + 1] if END in text else text
        assert list(ours.tokens) == text
        assert ours.score == pytest.approx(float(score), abs=1e-5)


def test_the_cache_changes_nothing(make_wild):
    model = make_wild()

    class NoCache:
        config = model.config

        def __call__(self, ids):
            return model(ids)

    options = {"n_beams": 3, "max_new_tokens": 10, "stop_ids": (END,)}
    assert [h.tokens for h in beam_search(model, PROMPT, **options).best] == [
        h.tokens for h in beam_search(NoCache(), PROMPT, **options).best
    ]


def test_the_steps_tell_what_became_of_each_candidate(make_wild):
    found = beam_search(make_wild(), PROMPT, n_beams=2, max_new_tokens=5, stop_ids=(END,))
    for number, step in enumerate(found.steps, 1):
        assert {len(c.tokens) for c in step} == {number}
        assert sum(c.fate == "kept" for c in step) <= 2
        assert all(c.tokens[-1] == END or number == 5 for c in step if c.fate == "finished")
        kept = (
            {c.tokens for c in found.steps[number - 2] if c.fate == "kept"} if number > 1 else {()}
        )
        assert {c.tokens[:-1] for c in step} <= kept
    assert sorted((c.log_p for c in step), reverse=True) == [c.log_p for c in step]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_beams": 0, "max_new_tokens": 3}, "n_beams=0 must be at least 1"),
        ({"n_beams": 2, "max_new_tokens": 0}, "max_new_tokens=0 must be at least 1"),
        ({"n_beams": 2, "max_new_tokens": 99}, "do not fit into the context_length of 24"),
    ],
)
def test_what_cannot_be_is_said(make_wild, options, said):
    with pytest.raises(UserError, match=said):
        beam_search(make_wild(), PROMPT, **options)
