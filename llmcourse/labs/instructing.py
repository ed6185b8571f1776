"""Instructions in miniature: a base that has read pages, chats about a sentence, and their tuning.

A page is the first sentence of a tinytown story with notes on it (`pet = Button`). A chat asks for
what stands in the sentence. A base that has read pages knows the answers, and does not know that it
is asked: instruction tuning, an adapter or a soft prompt are to tell it. Not here: templates and
masks (`tokenizers/chat.py`), adapters (`nn/lora.py`, `nn/soft_prompts.py`), a run on real data
(`python -m llmcourse.finetune`). Chapter 13 teaches this.
"""

import copy
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor, nn

from llmcourse.errors import require
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.adapters import AdapterConfig, attach
from llmcourse.models.base import Model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.optim.schedules import linear
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.chat import ChatTemplate, Message, encode_chat
from llmcourse.train.optimizers import build_optimizers
from llmcourse.train.settings import OptimizerSettings

FIELDS = {"pet": "pet", "child": "hero", "animal": "animal", "look": "look"}
"""What the notes call the facts of a story's first sentence."""
ASKED = ("pet", "child", "animal")
"""What chats ask for, unless told otherwise; the fourth field is kept for an exam."""
WAYS = ("Tell me the {}.", "What is the {}?")
"""How chats ask."""
NEW_WAY = ("Please say the {}.",)
"""How they ask in an exam on other words."""
ROLES = ("<|user|>", "<|assistant|>")
"""The special tokens that begin a turn."""
TEMPLATE = """\
{% for message in messages %}
{{- '<|' + message['role'] + '|>' -}}
{%- if message['role'] == 'assistant' -%}
{{- ' ' + message['content'] + eos_token -}}
{%- else -%}
{{- message['content'] -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""
"""How a chat is written as one text."""
MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")
"""All that LoRA can stand beside in a block."""


# --- texts ----------------------------------------------------------------------------------------


def opening(story: Story) -> str:
    """The first sentence of a story, which says who lives with whom."""
    return story.sentences[0].text


def page(story: Story, rng: np.random.Generator) -> str:
    """A first sentence, and notes on it in some order."""
    notes = [f"{name} = {story.facts[fact]}" for name, fact in FIELDS.items()]
    return f"{opening(story)} Notes: {', '.join(notes[n] for n in rng.permutation(len(notes)))}."


def library(n: int, seed: int = 0) -> list[str]:
    """`n` texts for a base to read: five pages, then the beginning of a story, and so on."""
    rng = numpy_rng(seed, "instructing", "pages")
    beginning = ("opening", "weather")
    return [
        page(story, rng)
        if number % 6
        else " ".join(s.text for s in story.sentences if s.beat in beginning)
        for number, story in enumerate(stories(n, seed))
    ]


class Chat(NamedTuple):
    """A chat about a story's first sentence; the last turn is the assistant's.

    Attributes:
        field: what the last request asks for.
        turns: who says what.
    """

    field: str
    turns: tuple[Message, ...]

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.turns[-1].content


def chats(
    n: int,
    seed: int,
    fields: Sequence[str] = ASKED,
    ways: Sequence[str] = WAYS,
    followed: float = 0.0,
) -> list[Chat]:
    """`n` chats, each about a story of its own.

    Args:
        n: how many.
        seed: of the stories, and of what is asked.
        fields: what may be asked for.
        ways: how.
        followed: the share that have a second request, for another field, without the sentence.
    """
    rng = numpy_rng(seed, "instructing", "chats")
    made = []
    for story in stories(n, seed):
        field, other = (fields[n] for n in (*rng.permutation(len(fields)), 0)[:2])
        way = ways[int(rng.integers(len(ways)))]
        turns = [_asks(f"{opening(story)} {way.format(field)}"), _says(story, field)]
        if rng.random() < followed:
            field = other
            turns += [_asks(f"And the {field}?"), _says(story, field)]
        made.append(Chat(field, tuple(turns)))
    return made


def _asks(request: str) -> Message:
    return Message("user", request)


def _says(story: Story, field: str) -> Message:
    return Message("assistant", story.facts[FIELDS[field]])


def tokenizer_of(texts: Sequence[str]) -> Tokenizer:
    """A small tokenizer for pages and chats, with special tokens for the roles.

    It is so small that rare names are spelled in several tokens. Who has to spell what stood there
    before learns to look back, and does so sooner than one who copies whole words.
    """
    words = " ".join(way.format(field) for way in (*WAYS, *NEW_WAY) for field in FIELDS)
    some = [*texts[:600], *[f"{words} And?"] * 10]
    return BPETokenizer.train(some, vocab_size=400).with_special_tokens(ROLES)


# --- rows -----------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Texts, one a row, filled up behind their ends.

    Attributes:
        ids: what a model reads.
        targets: what it is to predict at each place, or `IGNORE`.
        lengths: how many tokens of a row are read.
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]

    def rows(self, chosen: Sequence[int]) -> "Rows":
        """Some of the rows, no wider than the longest of them."""
        lengths = self.lengths[chosen]
        width = int(lengths.max())
        return Rows(self.ids[chosen, :width], self.targets[chosen, :width], lengths)


def _as_rows(ids: Sequence[Sequence[int]], learned: Sequence[Sequence[bool]]) -> Rows:
    """Ids, and for each whether it is to be predicted; the first never is."""
    whole = [torch.tensor(row) for row in ids]
    wanted = [
        row.masked_fill(~torch.tensor(which), IGNORE)
        for row, which in zip(whole, learned, strict=True)
    ]
    pad = nn.utils.rnn.pad_sequence
    return Rows(
        pad([row[:-1] for row in whole], batch_first=True),
        pad([row[1:] for row in wanted], batch_first=True, padding_value=IGNORE),
        torch.tensor([len(row) - 1 for row in whole]),
    )


def text_rows(texts: Sequence[str], tokenizer: Tokenizer) -> Rows:
    """Texts between two END_OF_TEXTs, of which every token is learned."""
    ends = [tokenizer.eot_id]
    ids = [[*ends, *tokenizer.encode(text), *ends] for text in texts]
    return _as_rows(ids, [[True] * len(row) for row in ids])


def chat_rows(
    some: Sequence[Chat],
    tokenizer: Tokenizer,
    template: ChatTemplate,
    *,
    requests: bool = False,
    ends: bool = True,
) -> Rows:
    """Chats behind an END_OF_TEXT, of which the assistant's tokens and their ends are learned.

    Args:
        some: the chats.
        tokenizer: reads them.
        template: writes them.
        requests: whether all else is learned, too.
        ends: whether the end of an answer is.
    """
    ids, learned = [], []
    for one in some:
        encoded = encode_chat(tokenizer, template, one.turns)
        ids.append([tokenizer.eot_id, *encoded.ids])
        learned.append(
            [False]
            + [
                (said or requests) and (ends or token != tokenizer.eot_id)
                for token, said in zip(*encoded, strict=True)
            ]
        )
    return _as_rows(ids, learned)


# --- training -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Course:
    """How something learns.

    Attributes:
        steps: how many.
        lr: the peak of AdamW's rate; up in a tenth of the steps, then straight down to zero.
        matrix_lr: the peak of Muon's, for the hidden matrices; None for AdamW alone.
        batch_size: rows in a step.
        seed: of the rows' order, and of what an adapter begins as.
    """

    steps: int
    lr: float
    matrix_lr: float | None = None
    batch_size: int = 16
    seed: int = 0


READING = Course(steps=500, lr=2e-2, matrix_lr=4e-2)
"""How the base reads its library."""
TUNING = Course(steps=150, lr=3e-3)
"""How a whole base learns from chats."""
ADAPTING = {
    "lora": Course(steps=150, lr=1e-2),
    "prompt": Course(steps=160, lr=1e-1),
    "prefix": Course(steps=160, lr=1e-1),
}
"""How what stands beside a base learns from them, by the kind of adapter."""


def read_base(texts: Sequence[str], tokenizer: Tokenizer, course: Course = READING) -> GPT:
    """A small GPT that has read texts and no chat."""
    seed_all(course.seed)
    sizes = {"context_length": 256, "d_model": 64, "n_layers": 2, "n_heads": 2}
    base = GPT(modern_recipe(vocab_size=tokenizer.vocab_size, **sizes))
    fit(base, text_rows(texts, tokenizer), course)
    return base


def tuned(base: Model, rows: Rows, course: Course = TUNING) -> Model:
    """A copy of a base that has learned from rows, all of it."""
    model = copy.deepcopy(base)
    fit(model, rows, course)
    return model


def adapted(base: Model, rows: Rows, config: AdapterConfig, course: Course | None = None) -> Model:
    """A copy of a base that is held still, and beside it an adapter that has learned from rows."""
    course = course or ADAPTING[config.kind]
    seed_all(course.seed)
    model = attach(copy.deepcopy(base), config).model
    fit(model, rows, course)
    return model


def fit(model: nn.Module, rows: Rows, course: Course) -> list[float]:
    """Train what is not held still; returns the loss of each step, in nats a learned token.

    Raises:
        UserError: fewer rows than a batch has.
    """
    n, size = len(rows.ids), course.batch_size
    require(n >= size, f"{n} rows are fewer than a batch of {size}: give more")
    moving = [p for p in model.parameters() if p.requires_grad]
    optimizers = _optimizers(model, course)
    schedule, rng = linear(warmup=0.1), numpy_rng(course.seed, "instructing", "order")
    order: list[int] = []
    losses = []
    model.train()
    for step in range(course.steps):
        for group in (g for optimizer in optimizers for g in optimizer.param_groups):
            group["lr"] = group["peak_lr"] * schedule((step + 0.5) / course.steps)
        if len(order) < size:
            order = rng.permutation(n).tolist()
        batch, order = rows.rows(order[:size]), order[size:]
        logits = model(batch.ids).logits  # B T V
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE)
        loss.backward()
        nn.utils.clip_grad_norm_(moving, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    model.eval()
    return losses


def _optimizers(model: nn.Module, course: Course) -> list[torch.optim.Optimizer]:
    settings = OptimizerSettings(name="adamw", lr=course.lr, weight_decay=0.0)
    if course.matrix_lr is not None:
        settings = dataclasses.replace(settings, name="muon", matrix_lr=course.matrix_lr)
    return build_optimizers(model, settings)


def n_trained(model: nn.Module) -> int:
    """How many numbers of a model are not held still."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# --- exams ----------------------------------------------------------------------------------------


@torch.no_grad()
def are_right(model: Model, rows: Rows) -> Bool[Tensor, " B"]:
    """Whether a model's likeliest tokens are, in each row, all that it is to predict.

    Then a greedy model that is asked writes exactly this, and stops where it is to.
    """
    said = model(rows.ids).logits.argmax(dim=-1)
    return ((said == rows.targets) | (rows.targets == IGNORE)).all(dim=1)


def n_right(model: Model, rows: Rows) -> int:
    """In how many rows it is right."""
    return int(are_right(model, rows).sum())


def last_answer(rows: Rows) -> Rows:
    """The same rows, of which the last answer alone is scored."""
    scored = rows.targets != IGNORE
    # An answer begins where something is scored, and the place before it is not.
    begins = scored & ~F.pad(scored, (1, 0))[:, :-1]
    number = begins.cumsum(dim=1)
    last = number == number.amax(dim=1, keepdim=True)
    return rows._replace(targets=rows.targets.masked_fill(~last, IGNORE))


def prompted(prompts: Sequence[str], answers: Sequence[str], tokenizer: Tokenizer) -> Rows:
    """Plain texts to go on with, and after a space the words that would be right."""
    ids, learned = [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        asked, said = [tokenizer.eot_id, *tokenizer.encode(prompt)], tokenizer.encode(f" {answer}")
        ids.append(asked + said)
        learned.append([False] * len(asked) + [True] * len(said))
    return _as_rows(ids, learned)


def go_on(model: Model, ids: Sequence[int], tokenizer: Tokenizer, most: int = 24) -> list[int]:
    """The ids that a model writes behind others, the likeliest each, up to an END_OF_TEXT.

    The END_OF_TEXT is among them if it was written: who forgets it writes `most`.
    """
    written = []
    for token in generate(model, torch.tensor([[*ids]]), max_new_tokens=most, sampler=greedy):
        written.append(int(token))
        if written[-1] == tokenizer.eot_id:
            break
    return written


def most_frequent(some: Sequence[Chat], exam: Sequence[Chat]) -> int:
    """How often the most frequent answer of each field is right in an exam: the baseline."""
    answers: dict[str, Counter[str]] = {field: Counter() for field in FIELDS}
    for one in some:
        answers[one.field][one.answer] += 1
    usual = {field: seen.most_common(1)[0][0] for field, seen in answers.items() if seen}
    return sum(usual.get(one.field) == one.answer for one in exam)
