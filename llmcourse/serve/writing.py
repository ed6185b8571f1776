"""One text being written: which token is taken, what of it is text already, and where it ends.

Tokens come one by one. They leave as pieces of text, held back while they may be the beginning of
what ends the text: a token, a turn's end of several tokens, or a string that the client named. Not
here: where the scores come from (`rows.py`), how a piece is written as JSON (`answers.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.generate import sampling
from llmcourse.randomness import torch_rng
from llmcourse.tokenizers.base import StreamDecoder, Tokenizer

SURROGATES = re.compile("[\ud800-\udfff]")
"""Halves of characters: a model of bytes can write one, and no JSON in UTF-8 can hold it."""

LEAST_TOP_P = 1e-9


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a client wants written.

    Attributes:
        max_tokens: how many tokens at the most.
        temperature: 0 takes the likeliest token.
        top_p: choose among the likeliest tokens that together have this probability.
        frequency_penalty: taken from a token's logit for each time that it was written.
        presence_penalty: taken from the logit of each token that was written.
        seed: the same seed writes the same text; None draws one.
        stop: strings before which the text ends.
        top_logprobs: how many of the likeliest tokens to tell with each token, their logarithms of
            probability, too; None tells none.
        echo: whether the prompt's tokens come first.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    echo: bool = False

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken, and nothing changes which one that is."""
        return self.temperature < sampling.COLDEST and not self.has_penalties

    @property
    def has_penalties(self) -> bool:
        """Whether what was written makes tokens less likely."""
        return bool(self.frequency_penalty or self.presence_penalty)


@dataclass(frozen=True)
class Score:
    """A token, and what the model thought of it before anything was changed.

    Attributes:
        token: its id.
        logprob: natural logarithm of its probability; None of a first token, which follows nothing.
        top: the likeliest tokens at its place, and their logarithms.
    """

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """What was added to a text.

    Attributes:
        text: the text.
        scores: its tokens, if they were asked for.
        offsets: where the text of each begins, in letters from the beginning of all pieces.
        finish: why it ended, `stop` or `length`; None while it goes on.
        is_echo: whether this is the prompt.
    """

    text: str
    scores: tuple[Score, ...] = ()
    offsets: tuple[int, ...] = ()
    finish: str | None = None
    is_echo: bool = False


def score(logits: Float[Tensor, " V"], token: int, top: int) -> Score:
    """What the raw scores say of a token, and of the `top` likeliest ones."""
    logprobs = logits.float().log_softmax(-1)
    best = logprobs.topk(min(top, len(logprobs)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Score(token, float(logprobs[token]), tuple(pairs))


def clean_text(text: str) -> str:
    """The text without halves of characters."""
    return SURROGATES.sub("\ufffd", text)


class Chooser:
    """Takes tokens as a wish has it; chance comes from a generator of its own.

    Args:
        wish: what is wanted.
        number: which of several texts by one request this is: each draws its own.
    """

    def __init__(self, wish: Wish, number: int = 0) -> None:
        self._wish = wish
        seed = int(torch.randint(2**62, ())) if wish.seed is None else wish.seed
        self._generator = torch_rng(seed, "serve", number)
        self._written: list[int] = []

    def __call__(self, logits: Float[Tensor, " V"]) -> int:
        """The next token."""
        wish = self._wish
        logits = logits.float().cpu()
        if wish.has_penalties and self._written:
            counts = torch.bincount(torch.tensor(self._written), minlength=len(logits))
            logits = logits - wish.frequency_penalty * counts - wish.presence_penalty * (counts > 0)
        if wish.temperature < sampling.COLDEST:
            token = int(sampling.greedy(logits))
        else:
            scaled = sampling.apply_temperature(logits, wish.temperature)
            # A fraction that single precision cannot hold would keep no token at all.
            kept = sampling.top_p(scaled, max(wish.top_p, LEAST_TOP_P))
            token = int(sampling.sample(kept, self._generator))
        self._written.append(token)
        return token


@dataclass
class Ending:
    """Holds tokens back while they may be the ones that end a text.

    Attributes:
        endings: the sequences of ids, each of which ends it.
    """

    endings: Sequence[Sequence[int]]
    held: list[int] = field(default_factory=list)

    def push(self, token: int) -> tuple[list[int], bool]:
        """The tokens that are text for certain, and whether the text has ended."""
        self.held.append(token)
        free: list[int] = []
        while self.held:
            if any(self.held == list(ending) for ending in self.endings):
                self.held = []
                return free, True
            if any(self.held == list(e[: len(self.held)]) for e in self.endings):
                break
            free.append(self.held.pop(0))
        return free, False


class Writer:
    """Turns tokens into pieces of text, and knows when the text has ended.

    Args:
        tokenizer: how the model reads.
        wish: where to stop.
        endings: sequences of ids, each of which ends the text.

    Attributes:
        n_tokens: how many tokens were taken, the ending's among them.
    """

    def __init__(self, tokenizer: Tokenizer, wish: Wish, endings: Sequence[Sequence[int]]) -> None:
        self._decoder, self._wish = StreamDecoder(tokenizer), wish
        self._ending = Ending(endings)
        self._scores: list[Score] = []  # of tokens that are held back
        self._waiting: list[tuple[int, Score]] = []  # where in the text a token's text begins
        self._length, self._sent, self._text = 0, 0, ""
        self.n_tokens = 0

    def push(self, scored: Score) -> Piece:
        """What can be said once this token was taken; its `finish` says whether it was the last."""
        self.n_tokens += 1
        self._scores.append(scored)
        free, ended = self._ending.push(scored.token)
        for token in free:
            self._add(self._decoder.push(token), self._scores.pop(0))
        if (cut := self._cut()) is not None:
            return self._piece(cut, "stop")
        if ended:
            self._add(self._decoder.flush())
            cut = self._cut()
            return self._piece(len(self._text) if cut is None else cut, "stop")
        if self.n_tokens >= self._wish.max_tokens:
            return self.end()
        return self._piece(len(self._text) - self._held_back())

    def end(self) -> Piece:
        """All that was held back, if nothing more comes."""
        for scored in self._scores:
            self._add(self._decoder.push(scored.token), scored)
        self._scores = []
        self._add(self._decoder.flush())
        cut = self._cut()
        return self._piece(len(self._text), "length") if cut is None else self._piece(cut, "stop")

    def _add(self, text: str, scored: Score | None = None) -> None:
        if scored is not None:
            self._waiting.append((self._length, scored))
        text = clean_text(text)
        self._length += len(text)
        self._text += text

    def _cut(self) -> int | None:
        """Where the first of the strings begins that end the text; None if none is there."""
        found = [at for stop in self._wish.stop if (at := self._text.find(stop)) >= 0]
        return min(found, default=None)

    def _held_back(self) -> int:
        """How many letters at the end may be the beginning of a string that ends the text."""
        most = 0
        for stop in self._wish.stop:
            for n in range(1, min(len(stop), len(self._text) + 1)):
                if self._text.endswith(stop[:n]):
                    most = max(most, n)
        return most

    def _piece(self, n: int, finish: str | None = None) -> Piece:
        """The next `n` letters, with the tokens that begin in them."""
        text, self._text = self._text[:n], self._text[n:]
        self._sent += n
        # What no stop cut off ends with all its tokens, those without a text, too.
        limit = self._sent + (finish == "length")
        ready = [one for one in self._waiting if one[0] < limit]
        self._waiting = [one for one in self._waiting if one[0] >= limit]
        if self._wish.top_logprobs is None:
            ready = []
        offsets = tuple(at for at, _ in ready)
        return Piece(text, tuple(scored for _, scored in ready), offsets, finish)
