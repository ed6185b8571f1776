"""Constrained decoding: only tokens from which the text can still come to match a pattern.

An automaton over bytes becomes one over tokens: from each state, each token leads to a state or
nowhere. A token is allowed where it leads to a state from which the end can be reached, within the
tokens that are left. So dead ends cannot happen, and what comes out matches (Willard and Louf,
2023). Not here: the automaton (`patterns.py`), JSON schemas (`json_schema.py`). Chapter 15 teaches
this.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import require
from llmcourse.generate.decode import TokenSampler
from llmcourse.generate.patterns import DFA
from llmcourse.tokenizers.base import Tokenizer

NEVER = 1 << 30
"""Tokens to the end, from where there is no way."""
MOST_ENTRIES = 200_000_000
"""States times tokens: a table beyond this would not fit into a laptop's memory."""


@dataclass(frozen=True)
class TokenAutomaton:
    """Automaton whose steps are tokens. State 0 is where a text begins; -1 is no state.

    Attributes:
        next: the state after each state and token.
        to_end: how many tokens it takes at least from each state until the text may end.
        eot_id: the token that ends a text; it is allowed where `to_end` is 0.
    """

    next: Int[np.ndarray, "N V"]
    to_end: Int[np.ndarray, " N"]
    eot_id: int

    def allowed(self, state: int, left: int) -> Bool[np.ndarray, " V"]:
        """Tokens that may come next, if `left` tokens may be written, the end's not counted."""
        reached = self.next[state]
        allowed = (reached >= 0) & (self.to_end[reached] < left)
        allowed[self.eot_id] = self.to_end[state] == 0
        return allowed


def over_tokens(dfa: DFA, tokenizer: Tokenizer) -> TokenAutomaton:
    """Automaton over a tokenizer's tokens, from one over bytes.

    Special tokens, which stand for no text, lead nowhere; so does a token that would leave the
    pattern anywhere within its bytes.

    Raises:
        UserError: a table too large, or a pattern that no row of tokens can match.
    """
    n_states, vocab_size = len(dfa.next), tokenizer.vocab_size
    require(
        n_states * vocab_size <= MOST_ENTRIES,
        f"{n_states:,} states and {vocab_size:,} tokens make a table that is too large: "
        "let the pattern repeat less",
    )
    pieces = [tokenizer.token_bytes(token) for token in range(vocab_size)]
    longest = max(map(len, pieces))
    # A 257th byte fills the rows up, and leads from each state to itself; a state more is no state.
    steps = np.full((n_states + 1, 257), n_states, dtype=np.int32)
    steps[:-1, :256] = np.where(dfa.next < 0, n_states, dfa.next)
    steps[:, 256] = np.arange(n_states + 1)
    spelled = np.full((vocab_size, longest), 256)
    for token, piece in enumerate(pieces):
        spelled[token, : len(piece)] = list(piece)
    after = np.empty((n_states, vocab_size), dtype=np.int32)
    for state in range(n_states):
        here = np.full(vocab_size, state, dtype=np.int32)
        for column in spelled.T:
            here = steps[here, column]
        after[state] = here
    after[after == n_states] = -1
    after[:, [not piece for piece in pieces]] = -1
    to_end = _distances(after, dfa.accepting)
    require(bool(to_end[0] < NEVER), "no text that this tokenizer can write matches the pattern")
    return TokenAutomaton(after, to_end, tokenizer.eot_id)


def _distances(
    after: Int[np.ndarray, "N V"], accepting: Bool[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """The least number of steps from each state to an accepting one."""
    distances = np.where(accepting, 0, NEVER)
    neighbours = [np.unique(row[row >= 0]) for row in after]
    while True:
        through = [distances[near].min(initial=NEVER) + 1 for near in neighbours]
        better = np.minimum(distances, np.minimum(through, NEVER))
        if (better == distances).all():
            return distances
        distances = better


class Constrained:
    """A sampler that writes nothing but what matches: rules tokens out, then lets another choose.

    It remembers the state of each row, so it is made anew for each call of `generate`; hand that
    the `eot_id` among its `stop_ids`. After its end a row is given `eot_id` alone.

    Args:
        automaton: what may be written.
        sampler: takes a token from the logits that are left.
        max_new_tokens: how many tokens there will be at the most, the end's not counted: the text
            is finished within them.

    Raises:
        UserError: the pattern needs more tokens.
    """

    def __init__(
        self, automaton: TokenAutomaton, sampler: TokenSampler, max_new_tokens: int
    ) -> None:
        needed = int(automaton.to_end[0])
        require(
            needed <= max_new_tokens,
            f"max_new_tokens={max_new_tokens}, and the shortest text that matches has {needed}",
        )
        self.automaton, self.sampler, self.left = automaton, sampler, max_new_tokens
        self.states: list[int] | None = None
        self._only_end = np.arange(automaton.next.shape[1]) == automaton.eot_id

    def __call__(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """The next token of each row."""
        states = self.states or [0] * len(logits)
        rows = [
            self._only_end if state < 0 else self.automaton.allowed(state, self.left)
            for state in states
        ]
        allowed = torch.from_numpy(np.stack(rows)).to(logits.device)
        tokens = self.sampler(logits.masked_fill(~allowed, float("-inf")))
        taken = tokens.tolist()
        # No token leads on from the end, `eot_id` included: its column is -1.
        self.states = [
            -1 if state < 0 else int(self.automaton.next[state, token])
            for state, token in zip(states, taken, strict=True)
        ]
        self.left -= 1
        return tokens
