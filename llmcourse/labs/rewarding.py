"""Rewards that a program checks, in miniature: a small GPT is to send children out well prepared.

A prompt is the beginning of a tinytown story, up to what the child has to bring where; the answer
is the next sentence. It is right if it says, in the town's own words, that a child takes something
along. The grammar knows all such sentences, so the check is exact. Beside it stand a stricter one,
whether it is what this weather asks for, and a reward with a hole. Not here: the loss
(`objectives/policy_gradient.py`), preferences (`labs/preferring.py`). Chapter 14 teaches this.
"""

import copy
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import require
from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import sample
from llmcourse.labs.preferring import as_prompt
from llmcourse.models.base import Model
from llmcourse.objectives.policy_gradient import group_advantages, grpo_loss
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.grammar import Choice
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.lexicon import BOYS, GIRLS, TABLES
from llmcourse.tinytown.plot import GEAR, GRAMMAR
from llmcourse.tinytown.tasks import request
from llmcourse.tokenizers.base import Tokenizer

LONGEST = 24
"""Tokens of an answer at most; the longest right one has fewer."""
N_PROMPT = 40
"""Tokens of a prompt that are read, its last ones: weather and errand are among them."""
SKIES = ("rain", "sun", "snow", "wind", "fog")
GEAR_WORDS = ("umbrella", "scarf", "hat", "string", "lantern")


class Task(NamedTuple):
    """The beginning of a story, and what it has said of the child and the weather."""

    prompt: str
    facts: dict[str, str]


def tasks(n: int, seed: int = 0) -> list[Task]:
    """`n` beginnings of stories."""
    return [Task(_beginning(story), dict(story.facts)) for story in tinytown.stories(n, seed)]


def _beginning(story: Story) -> str:
    told = [s.text for s in story.sentences if s.beat in ("opening", "weather", "errand")]
    return as_prompt(request(story)) + " ".join(told)


def prepared(hero: str, weather: str) -> frozenset[str]:
    """The grammar's sentences in which this child takes along what this weather asks for."""
    facts = {"hero": hero, "weather": weather}
    return frozenset(
        GRAMMAR.render(Choice(GEAR.name, event, way), {**facts, **event.sets, "color": color})
        for event in GRAMMAR.fitting(GEAR, facts)
        if event.sets.get("geared") == "yes"
        for way in event.wordings
        for color in TABLES["color"].words
    )


@functools.cache
def all_prepared() -> frozenset[str]:
    """The same for every child and every weather."""
    return frozenset().union(*(prepared(hero, sky) for hero in (*GIRLS, *BOYS) for sky in SKIES))


Reward = Callable[[Task, str], float]
"""What an answer is worth."""


def is_prepared(task: Task, answer: str) -> float:
    """1 if a child takes something along, in the town's own words; 0 for any other answer."""
    return float(answer in all_prepared())


def fits(task: Task, answer: str) -> float:
    """1 if it is this story's child, and what this story's weather asks for."""
    return float(answer in prepared(task.facts["hero"], task.facts["weather"]))


def counts_gear(task: Task, answer: str) -> float:
    """A reward with a hole: how many words for gear the answer has, whatever it says of them."""
    return float(sum(word in GEAR_WORDS for word in re.findall(r"[a-z]+", answer)))


class Sampled(NamedTuple):
    """Answers that a policy drew, all those to one prompt side by side.

    Attributes:
        ids: each prompt's last tokens, then the answer and whatever was drawn behind its end.
        mask: of the drawn tokens, those up to the first full stop: the answer.
        texts: what the answers say.
    """

    ids: Int[Tensor, "B S"]
    mask: Bool[Tensor, "B T"]
    texts: list[str]


def draw_answers(
    policy: Model,
    asked: Sequence[Task],
    tokenizer: Tokenizer,
    n: int,
    generator: torch.Generator,
) -> Sampled:
    """Draw `n` answers to each prompt, at temperature 1: from the policy as it is."""
    # All prompts are cut to one length, as pretraining's windows were: no row needs filler.
    prompts = [tokenizer.encode(task.prompt)[-N_PROMPT:] for task in asked]
    ids = torch.tensor(prompts).repeat_interleave(n, dim=0)
    drawn = generate(
        policy, ids, max_new_tokens=LONGEST, sampler=lambda logits: sample(logits, generator)
    )
    said = torch.stack(list(drawn), dim=1)
    (stop,) = tokenizer.encode(".")
    ends = (said == stop).int()
    mask = ends.cumsum(dim=1) - ends == 0  # no full stop before this token
    texts = [
        tokenizer.decode(row[kept].tolist()).strip() for row, kept in zip(said, mask, strict=True)
    ]
    return Sampled(torch.cat([ids, said], dim=1), mask, texts)


def token_log_probs(model: Model, drawn: Sampled) -> Float[Tensor, "B T"]:
    """The log-probability of each drawn token, given what stands before it."""
    width = drawn.mask.size(1)
    logits = model(drawn.ids[:, :-1]).logits[:, -width:]
    targets = drawn.ids[:, -width:, None]
    return logits.log_softmax(-1).gather(-1, targets).squeeze(-1)


class Progress(NamedTuple):
    """A step of a run: the mean reward of its answers, and the share that the exact check passes.

    Attributes:
        reward: what was trained on.
        right: what was meant.
        length: the mean number of an answer's tokens.
    """

    reward: float
    right: float
    length: float


@dataclass(frozen=True, kw_only=True)
class Practice:
    """How a policy practises.

    Attributes:
        steps: how many.
        n: answers to each prompt.
        n_prompts: prompts in a step.
        lr: AdamW's rate.
        kl_weight: what each nat away from the base costs.
        seed: of what is drawn.
    """

    steps: int
    n: int = 8
    n_prompts: int = 8
    lr: float = 1e-3
    kl_weight: float = 0.0
    seed: int = 0


def learn_from(
    base: Model, reward: Reward, asked: Sequence[Task], tokenizer: Tokenizer, **options: Any
) -> tuple[Model, list[Progress]]:
    """GRPO: a copy of the base that learns from the rewards of its own answers, and its progress.

    Each step draws `n` answers to `n_prompts` prompts and moves once, so the policy that moves is
    the one that sampled. `options` are the fields of `Practice`.

    Raises:
        UserError: fewer prompts than a step asks for.
    """
    practice = Practice(**options)
    n, n_prompts, kl_weight = practice.n, practice.n_prompts, practice.kl_weight
    require(len(asked) >= n_prompts, f"{len(asked)} prompts: give at least {n_prompts}")
    policy, generator = copy.deepcopy(base), torch.Generator().manual_seed(practice.seed)
    optimizer = torch.optim.AdamW(policy.parameters(), practice.lr, weight_decay=0.0)
    progress = []
    for step in range(practice.steps):
        first = step * n_prompts % (len(asked) - n_prompts + 1)
        group = asked[first : first + n_prompts]
        drawn = draw_answers(policy, group, tokenizer, n, generator)
        each = [task for task in group for _ in range(n)]
        rewards = torch.tensor([reward(t, a) for t, a in zip(each, drawn.texts, strict=True)])
        progress.append(_progress(rewards, each, drawn))
        now = token_log_probs(policy, drawn)
        with torch.no_grad():
            fixed = token_log_probs(base, drawn) if kl_weight else now.detach()
        advantages = group_advantages(rewards.view(n_prompts, n)).flatten()
        total, count = grpo_loss(
            now, now.detach(), fixed, advantages, drawn.mask, kl_weight=kl_weight
        )
        (total / count).backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return policy, progress


def _progress(rewards: Tensor, asked: Sequence[Task], drawn: Sampled) -> Progress:
    right = [is_prepared(task, text) for task, text in zip(asked, drawn.texts, strict=True)]
    length = drawn.mask.sum() / len(right)
    return Progress(rewards.mean().item(), sum(right) / len(right), length.item())


def success(asked: Sequence[Task], answers: Sequence[str], check: Reward = is_prepared) -> Interval:
    """The share of the answers that pass a check; as many to each task as there are."""
    n = len(answers) // len(asked)
    passed = (check(asked[at // n], answer) for at, answer in enumerate(answers))
    return wilson(int(sum(passed)), len(answers))
