"""From tokens to pieces of text: where it stops, what is held back, which token is taken."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_server import TOKENIZER

from llmcourse.serve.writing import Chooser, Ending, Score, Wish, Writer, score
from llmcourse.tokenizers.base import StreamDecoder

EOT = TOKENIZER.eot_id


def written(data, endings=((EOT,),), **wish):
    """The pieces of a text whose tokens are these bytes, up to its end."""
    wish = Wish(**{"max_tokens": 100, **wish})
    writer, pieces = Writer(TOKENIZER, wish, endings), []
    for token in data:
        pieces.append(writer.push(Score(token, -1.0)))
        if pieces[-1].finish:
            break
    return pieces


def joined(pieces):
    return "".join(piece.text for piece in pieces), pieces[-1].finish


@pytest.mark.parametrize(
    ("data", "options", "text", "finish"),
    [
        (b"abc", {"max_tokens": 2}, "ab", "length"),
        ([*b"abc", EOT, *b"d"], {}, "abc", "stop"),
        (b"one. two.", {"stop": (".",)}, "one", "stop"),
        (b"one END two", {"stop": ("END", "two")}, "one ", "stop"),
        (b"one EN", {"stop": ("END",), "max_tokens": 6}, "one EN", "length"),
        (b"aab", {"stop": ("ab",)}, "a", "stop"),
        (b"xyz", {"endings": ((ord("y"), ord("z")),)}, "x", "stop"),
        (b"xyyz", {"endings": ((ord("y"), ord("z")),)}, "xy", "stop"),
        (b"xy", {"endings": ((ord("y"), ord("z")),), "max_tokens": 2}, "xy", "length"),
        ("né".encode()[:2], {"max_tokens": 2}, "n\ufffd", "length"),
        (b"\xed\xa0\x80", {"max_tokens": 3}, "\ufffd", "length"),
    ],
)
def test_a_text_ends_where_it_should(data, options, text, finish):
    assert joined(written(data, **options)) == (text, finish)


def test_what_may_become_a_stop_is_held_back_until_it_is_none():
    texts = [piece.text for piece in written(b"a ENx", stop=("END",))]
    assert texts == ["a", " ", "", "", "ENx"]


@given(
    st.text("abc. é", max_size=30), st.lists(st.text("abc.", min_size=1, max_size=3), max_size=3)
)
def test_streamed_or_whole_a_text_ends_before_the_first_stop(text, stops):
    data = [*text.encode(), EOT]
    # The first stop is the one that is whole first, wherever it began.
    begun = (text[:n] for n in range(len(text) + 1))
    cuts = (min((at for s in stops if (at := t.find(s)) >= 0), default=None) for t in begun)
    cut = next((at for at in cuts if at is not None), len(text))
    assert joined(written(data, stop=tuple(stops))) == (text[:cut], "stop")


@given(st.binary(min_size=1, max_size=30))
def test_no_bytes_are_lost_and_all_of_it_is_utf8(data):
    text, _ = joined(written(data, max_tokens=len(data)))
    decoder = StreamDecoder(TOKENIZER)
    whole = "".join(map(decoder.push, data)) + decoder.flush()
    assert text == re.sub("[\ud800-\udfff]", "\ufffd", whole)
    assert text.encode()


def test_each_token_comes_with_the_text_that_it_begins():
    pieces = written([*"né END".encode()], stop=("END",), top_logprobs=0)
    tokens = [scored.token for piece in pieces for scored in piece.scores]
    assert bytes(tokens).decode() == "né "
    assert [at for piece in pieces for at in piece.offsets] == [0, 1, 1, 2]
    assert not any(piece.scores for piece in written(b"abc"))


def test_an_ending_of_several_tokens_may_begin_twice():
    ending = Ending([(1, 1, 2)])
    assert [ending.push(token) for token in (1, 1, 1)] == [([], False), ([], False), ([1], False)]
    assert ending.push(2) == ([], True)


# --- which token ----------------------------------------------------------------------------------

LOGITS = torch.tensor([1.0, 3.0, 2.5, -1.0])


def draws(n=40, number=0, **wish):
    chooser = Chooser(Wish(max_tokens=1, **wish), number)
    return [chooser(LOGITS) for _ in range(n)]


def test_without_a_temperature_the_likeliest():
    assert set(draws(temperature=0.0)) == {1}
    assert set(draws(temperature=1e-9)) == {1}
    assert len(set(draws(temperature=1.0, seed=0))) > 1
    assert set(draws(temperature=1.0, top_p=0.1)) == {1}
    assert set(draws(temperature=1.0, top_p=5e-324)) == {1}


def test_the_same_seed_draws_the_same_and_each_text_its_own():
    assert draws(seed=3) == draws(seed=3)
    assert draws(seed=3) != draws(seed=4)
    assert draws(seed=3) != draws(seed=3, number=1)
    assert draws() != draws()


def test_penalties_move_on_to_other_tokens():
    assert draws(3, temperature=0.0, presence_penalty=0.6) == [1, 2, 1]
    assert draws(4, temperature=0.0, frequency_penalty=1.0) == [1, 2, 1, 2]
    assert not Wish(max_tokens=1, temperature=0.0, frequency_penalty=1.0).is_greedy


def test_scores_are_the_models_own():
    found = score(LOGITS, 2, 2)
    logprobs = LOGITS.log_softmax(-1)
    assert found.logprob == pytest.approx(float(logprobs[2]))
    assert [token for token, _ in found.top] == [1, 2]
    assert score(LOGITS, 0, 9).top[-1][0] == 3
