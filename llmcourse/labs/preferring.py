"""Preferences in miniature: pairs of tinytown stories, a reward model, and DPO on a small GPT.

A pair is a request with a good story and a flawed one. The losses are `objectives/preference.py`'s;
here is what goes around them: rows with the prompt left out of the score, the frozen reference's
log-probabilities computed once, a loop of steps, and what is to be looked at while it runs. Not
here: a run on real pairs (`python -m llmcourse.finetune`), rewards that a program checks
(`labs/rewarding.py`). Chapter 14 teaches this.
"""

import copy
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import require
from llmcourse.finetune.heads import Classifier
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import sample
from llmcourse.models.base import Model
from llmcourse.nn.masks import padding
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.preference import (
    DPOResult,
    SequenceLogProbs,
    bradley_terry_loss,
    dpo_loss,
    sequence_log_probs,
)
from llmcourse.optim.schedules import linear
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tinytown.tasks import Preference
from llmcourse.tokenizers.base import Tokenizer


class Answers(NamedTuple):
    """Answers to prompts, one a row, filled up behind their ends.

    Attributes:
        ids: what the model reads: the prompt, then the answer.
        targets: the answer's tokens and END_OF_TEXT, each where it is predicted; else `IGNORE`.
        lengths: how many tokens of a row are read.
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]

    lengths: Int[Tensor, " B"]

    def rows(self, chosen: Sequence[int] | slice) -> "Answers":
        """Some of the rows, no wider than the longest of them."""
        lengths = self.lengths[chosen]
        width = int(lengths.max())
        return Answers(self.ids[chosen, :width], self.targets[chosen, :width], lengths)


def encode_answers(
    prompts: Sequence[str],
    answers: Sequence[str],
    tokenizer: Tokenizer,
    *,
    score_prompt: bool = False,
) -> Answers:
    """Prompts and answers as rows; the prompt is read and, unless asked for, not scored."""
    rows, targets = [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        asked = tokenizer.encode(prompt)
        said = [*tokenizer.encode(answer), tokenizer.eot_id]
        whole = torch.tensor([*asked, *said])
        wanted = whole[1:].clone()
        if not score_prompt:
            wanted[: len(asked) - 1] = IGNORE  # the last prompt token predicts the first answer's
        rows.append(whole[:-1])
        targets.append(wanted)
    return Answers(
        nn.utils.rnn.pad_sequence(rows, batch_first=True),
        nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORE),
        torch.tensor([len(row) for row in rows]),
    )


class Pairs(NamedTuple):
    """Pairs of answers: row b of both answers the same prompt, and the first was preferred."""

    chosen: Answers
    rejected: Answers

    def rows(self, chosen: Sequence[int] | slice) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.chosen.rows(chosen), self.rejected.rows(chosen))

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return len(self.chosen.ids)


def as_prompt(request: str) -> str:
    """The prompt of a request: a line of its own, as the stories of this chapter have it."""
    return f"{request}\n"


def encode_pairs(
    preferences: Sequence[Preference], tokenizer: Tokenizer, *, score_prompt: bool = False
) -> Pairs:
    """Preferences as pairs of rows.

    Raises:
        UserError: a pair of two equal answers, which says nothing.
    """
    for at, pair in enumerate(preferences):
        require(
            pair.chosen != pair.rejected,
            f"pair {at} has two equal answers: there is nothing to prefer; leave it out",
        )
    prompts = [as_prompt(pair.prompt) for pair in preferences]
    sides = [p.chosen for p in preferences], [p.rejected for p in preferences]
    chosen, rejected = (
        encode_answers(prompts, side, tokenizer, score_prompt=score_prompt) for side in sides
    )
    return Pairs(chosen, rejected)


class PairLogProbs(NamedTuple):
    """What a model says about both sides of some pairs."""

    chosen: SequenceLogProbs
    rejected: SequenceLogProbs


def log_probs_of(model: nn.Module, answers: Answers) -> SequenceLogProbs:
    """The log-probability of each answer given its prompt."""
    return sequence_log_probs(model(answers.ids).logits, answers.targets)


def pair_log_probs(model: nn.Module, pairs: Pairs) -> PairLogProbs:
    """The log-probabilities of both sides."""
    return PairLogProbs(log_probs_of(model, pairs.chosen), log_probs_of(model, pairs.rejected))


@torch.no_grad()
def frozen_log_probs(model: nn.Module, pairs: Pairs, n_rows: int = 32) -> PairLogProbs:
    """Those of a model that stays as it is, computed once for all pairs."""
    parts = [
        pair_log_probs(model, pairs.rows(slice(at, at + n_rows)))
        for at in range(0, pairs.n, n_rows)
    ]
    sides = zip(*parts, strict=True)
    joined = [SequenceLogProbs(*map(torch.cat, zip(*side, strict=True))) for side in sides]
    return PairLogProbs(*joined)


def implicit(policy: PairLogProbs, reference: PairLogProbs, beta: float) -> DPOResult:
    """DPO's losses and implicit rewards of some pairs."""
    return dpo_loss(
        policy.chosen.total,
        policy.rejected.total,
        reference.chosen.total,
        reference.rejected.total,
        beta,
    )


PairLoss = Callable[[PairLogProbs, PairLogProbs], Float[Tensor, " B"]]
"""From a policy's and the reference's log-probabilities to a loss for each pair."""


def dpo(beta: float = 0.1) -> PairLoss:
    """DPO's loss as what `fit_policy` minimises."""
    return lambda policy, reference: implicit(policy, reference, beta).losses


def fit_policy(
    base: Model,
    pairs: Pairs,
    loss_of: PairLoss,
    *,
    steps: int,
    batch_size: int = 8,
    lr: float = 5e-4,
    watch: Callable[[int, Model], None] | None = None,
) -> Model:
    """A copy of the base, trained on pairs; the base is its reference and stays as it is.

    Args:
        base: where training begins.
        pairs: what it learns from, drawn without repeats until all were seen.
        loss_of: DPO's loss, or another one of the two models' log-probabilities.
        steps: how many.
        batch_size: pairs in a step.
        lr: the peak of AdamW's rate, which falls straight to zero.
        watch: called before the first step and after each with the number of steps done.
    """
    reference = frozen_log_probs(base, pairs)
    policy = copy.deepcopy(base).train()

    def loss(chosen: list[int]) -> Float[Tensor, ""]:
        fixed = (SequenceLogProbs(side.total[chosen], side.count[chosen]) for side in reference)
        now = pair_log_probs(policy, pairs.rows(chosen))
        return loss_of(now, PairLogProbs(*fixed)).mean()

    descent = _Descent(policy, pairs.n, steps, batch_size, lr, seed=0)
    descent.run(loss, (lambda step: watch(step, policy)) if watch else None)
    return policy.eval()


@dataclass(frozen=True)
class _Descent:
    """AdamW for some steps on batches of pairs: a rate that rises for a tenth and then falls."""

    model: nn.Module
    n_pairs: int
    steps: int
    batch_size: int
    lr: float
    seed: int

    def run(
        self, loss: Callable[[list[int]], Tensor], watch: Callable[[int], None] | None = None
    ) -> None:
        optimizer = torch.optim.AdamW(self.model.parameters(), self.lr, weight_decay=0.0)
        schedule, batches = linear(warmup=0.1), self._batches()
        for step in range(self.steps):
            if watch:
                watch(step)
            for group in optimizer.param_groups:
                group["lr"] = self.lr * schedule((step + 0.5) / self.steps)
            loss(next(batches)).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if watch:
            watch(self.steps)

    def _batches(self) -> Iterator[list[int]]:
        """A round through all pairs in some order, and another round, without end."""
        rng = numpy_rng(self.seed, "pairs")
        while True:
            order = rng.permutation(self.n_pairs)
            for at in range(0, self.n_pairs - self.batch_size + 1, self.batch_size):
                yield order[at : at + self.batch_size].tolist()


# --- a reward model -------------------------------------------------------------------------------


def rewards_of(model: Classifier, answers: Answers) -> Float[Tensor, " B"]:
    """The reward of each answer: one number, read off the state of its last token."""
    lengths = answers.lengths
    return model(answers.ids, mask=padding(lengths, answers.ids.size(1))).logits.squeeze(-1)


def fit_reward_model(
    base: Model, pairs: Pairs, *, steps: int, batch_size: int = 8, lr: float = 1e-3, seed: int = 0
) -> Classifier:
    """A copy of the base with a head of one number, trained on Bradley and Terry's loss."""
    seed_all(seed)  # the head
    model = Classifier(copy.deepcopy(base), 1, pooling="last").train()

    def loss(chosen: list[int]) -> Float[Tensor, ""]:
        sides = (rewards_of(model, side.rows(chosen)) for side in pairs)
        return bradley_terry_loss(*sides).mean()

    _Descent(model, pairs.n, steps, batch_size, lr, seed).run(loss)
    return model.eval()


@torch.no_grad()
def told_right(model: Classifier, pairs: Pairs, n_rows: int = 32) -> Bool[Tensor, " B"]:
    """Whether a reward model gives each pair's chosen answer the larger reward."""
    parts = [pairs.rows(slice(at, at + n_rows)) for at in range(0, pairs.n, n_rows)]
    return torch.cat([rewards_of(model, p.chosen) > rewards_of(model, p.rejected) for p in parts])


def longer_is_better(preferences: Sequence[Preference]) -> float:
    """The share that is right if the longer answer is preferred; half a point where both tie."""
    gaps = [len(pair.chosen) - len(pair.rejected) for pair in preferences]
    return sum((gap > 0) + 0.5 * (gap == 0) for gap in gaps) / len(gaps)


# --- what a policy writes -------------------------------------------------------------------------


def write_texts(policy: Model, tokenizer: Tokenizer, n: int, longest: int, seed: int) -> list[str]:
    """`n` texts that a policy writes from END_OF_TEXT on, up to the next one, at temperature 1."""
    generator = torch.Generator().manual_seed(seed)
    begun = torch.full((n, 1), tokenizer.eot_id)
    drawn = generate(
        policy, begun, max_new_tokens=longest, sampler=lambda logits: sample(logits, generator)
    )
    rows = torch.stack(list(drawn), dim=1).tolist()
    ends = (row.index(tokenizer.eot_id) if tokenizer.eot_id in row else longest for row in rows)
    return [tokenizer.decode(row[:end]) for row, end in zip(rows, ends, strict=True)]


def strange_words(texts: Sequence[str], known: Collection[str]) -> float:
    """The share of the words that are not known: what is left of a language when it breaks.

    Raises:
        UserError: there are no words at all.
    """
    words = [word for text in texts for word in words_of(text)]
    require(len(words) > 0, "no words: give texts with some")
    return sum(word not in known for word in words) / len(words)


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters and without punctuation."""
    return re.findall(r"\w+", text.lower())
