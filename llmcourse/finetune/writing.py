"""What tasks share whose answers are texts: rows, a model that writes them, what it pays, samples.

Not here: the three tasks (`instruct.py`, `preference.py`, `distill.py`), their examples
(`chats.py`). Chapters 13 and 14 teach this.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text
from llmcourse.finetune.base import Base, fresh, load_base
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged, Measurement, Task
from llmcourse.generate.chat import up_to
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.base import Model, Output
from llmcourse.objectives.base import IGNORE, Batch, token_loss
from llmcourse.runs.html import section, table
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.chat import Message, encode_chat, encode_prompt, end_of_turn
from llmcourse.tokenizers.template_files import TEMPLATE_FILE, load_template

LONGEST_ANSWER = 80
"""Tokens of an answer that the report shows."""
ROWS_AT_ONCE = 16
"""How many rows are read at once where nothing is learned."""


@dataclass(frozen=True)
class Written:
    """A row: tokens, and at each place the one to be written next.

    Attributes:
        ids: what is read.
        targets: what follows each token, or `IGNORE`.
        example: the number of the example.
    """

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    example: int = 0


class Writer(Adapted):
    """A model that answers with its own output head: nothing is put on it."""

    reads_own_head = True

    def forward(self, ids: Int[Tensor, "B T"]) -> Output:
        """Score the successor of each token."""
        return self.backbone(ids)


class WritingTask(Task):
    """A task whose answers are texts.

    Attributes:
        tokenizer: the base's.
        reference: the base as it was, which nothing trains.

    Raises:
        UserError: the base does not go on with a text.
    """

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str] = ()) -> None:
        super().__init__(settings, base, labels)
        name = type(base.model).__name__
        if not base.model.generates or base.tokenizer is None:
            raise UserError(
                f"--task {settings.task} needs a base that goes on with a text, as a GPT does: "
                f"{base.folder} holds a {name}"
            )
        self.tokenizer: Tokenizer = base.tokenizer
        self._reference: Model | None = None

    @property
    def reference(self) -> Model:
        """The base as it was before the run, in evaluation mode; read once."""
        if self._reference is None:
            found = load_base(self.settings.base)
            if self.settings.untrained:
                found = fresh(found, self.settings.seed)
            device = next(self.base.model.parameters()).device
            self._reference = found.model.to(device).requires_grad_(False)
        return self._reference

    def build(self) -> Adapted:
        """The base as a writer."""
        return Writer(self.base.model)

    def collate(self, rows: Sequence[Any]) -> Batch:
        """A batch of rows; what fills them up is not scored, and nothing before it sees it."""
        return Batch(
            ids=filled([row.ids for row in rows], 0),
            targets=filled([row.targets for row in rows], IGNORE),
        )

    def batches(self, rows: Sequence[Any], device: torch.device) -> Iterator[Batch]:
        """All rows, some at a time."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            batch = self.collate(rows[start : start + ROWS_AT_ONCE])
            yield batch.rows(slice(None), device)

    @abstractmethod
    def assess(self, model: Adapted, examples: Sequence[Any]) -> Measurement:
        """How good a model is, without samples of what it writes."""

    def paid_by_token(
        self,
        model: Adapted,
        examples: Sequence[Any],
        agreement: str,
        wanted: Callable[[Batch], Int[Tensor, "B T"]],
    ) -> Measurement:
        """The nats of a scored token, and the share at which the model expects what is wanted.

        Args:
            model: a writer.
            examples: what it is measured on.
            agreement: what the share is called.
            wanted: the token that ought to be likeliest at each place of a batch.
        """
        total = count = alike = 0.0
        device = next(model.parameters()).device
        for batch in self.batches(self.rows(examples), device):
            logits = model(ids=batch.ids).logits
            loss = token_loss(logits, batch.targets)
            total, count = total + float(loss.total), count + float(loss.count)
            same = (logits.argmax(-1) == wanted(batch)) & (batch.targets != IGNORE)
            alike += float(same.sum())
        judged = Judged(
            metric="nats a token",
            value=total / count,
            others={agreement: alike / count},
            lower_is_better=True,
        )
        return Measurement(judged=judged, loss=total / count, said=())

    @torch.no_grad()
    def measure(self, model: Adapted, examples: Sequence[Any], samples: int = 0) -> Measurement:
        """What a model pays for what is right; `said` are its answers to the first `samples`."""
        training = model.training
        model.eval()
        found = self.assess(model, examples)
        said = [self.answer(model.backbone, example) for example in examples[:samples]]
        model.train(training)
        return Measurement(judged=found.judged, loss=found.loss, said=said)

    @abstractmethod
    def answer(self, model: Model, example: Any) -> str:
        """What a model writes, taking the likeliest token each time."""

    def write(
        self, model: Model, prompt: Sequence[int], longest: int, ending: Sequence[int] = ()
    ) -> str:
        """What follows some tokens, up to `ending` or the end of the text."""
        device = next(model.parameters()).device
        ids = torch.tensor([list(prompt)], device=device)
        stop = [self.tokenizer.eot_id]
        tokens = generate(model, ids, max_new_tokens=longest, sampler=greedy, stop_ids=stop)
        return self.tokenizer.decode(up_to(map(int, tokens), ending))

    def rivals(
        self, train: Sequence[Any], test: Sequence[Any], samples: int = 0
    ) -> dict[str, Measurement]:
        """The base as it was."""
        return {"the base alone": self.measure(Writer(self.reference), test, samples)}

    @abstractmethod
    def shown(self, example: Any) -> tuple[str, list[tuple[str, str]]]:
        """What the report says of an example: a title, and what models' answers stand beside."""

    def sections(
        self, examples: Sequence[Any], measured: Measurement, rivals: dict[str, Measurement]
    ) -> list[str]:
        """The first answers, before and after."""
        found = []
        for number, said in enumerate(measured.said):
            title, rows = self.shown(examples[number])
            rows = [*rows, ("this model", said)]
            rows += [(name, one.said[number]) for name, one in rivals.items() if one.said]
            found.append(table(title[:300], rows))
        return [section("Before and after", "".join(found))] if found else []


class ChatTask(WritingTask):
    """A task about chats.

    Attributes:
        template: how a chat is written as a text.
        ending: the tokens that end a turn.
    """

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str] = ()) -> None:
        super().__init__(settings, base, labels)
        self.template = load_template(settings.template, base.folder)
        self.ending = end_of_turn(self.tokenizer, self.template)

    def row(self, turns: Sequence[Message], where: str, example: int = 0) -> Written:
        """A chat in tokens; the assistant's are scored, and what is beyond the context is cut off.

        Raises:
            UserError: the template cannot be filled; names the place.
        """
        with at(where):
            coded = encode_chat(self.tokenizer, self.template, turns)
        # Documents are separated by this token in training, so behind it a text begins.
        ids = [self.tokenizer.eot_id, *coded.ids][: self.most + 1]
        scored = coded.is_answer[: len(ids) - 1]
        targets = [token if s else IGNORE for token, s in zip(ids[1:], scored, strict=True)]
        return Written(tuple(ids[:-1]), tuple(targets), example)

    def reply(self, model: Model, turns: Sequence[Message], where: str, longest: int) -> str:
        """An answer to what was said, the likeliest token each time.

        Raises:
            UserError: the template cannot be filled; names the place.
        """
        with at(where):
            prompt = encode_prompt(self.tokenizer, self.template, turns)
        return self.write(model, [self.tokenizer.eot_id, *prompt], longest, self.ending).strip()

    def use(self, model: Adapted, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
        """An answer to each line, which begins a chat."""
        longest = model.backbone.config.context_length
        for number, line in enumerate(lines, start=1):
            turns = [Message("user", line)]
            yield {"answer": self.reply(model.backbone, turns, f"text {number}", longest)}

    def about(self) -> str:
        """Which template is filled."""
        return f"chats by the template {self.settings.template}"

    def keep(self, folder: Path) -> None:
        """Write the template, for all who read the finished run."""
        atomic_write_text(folder / TEMPLATE_FILE, self.template.source)


@contextlib.contextmanager
def at(where: str) -> Generator[None]:
    """Complaints from here on begin with a place."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def filled(rows: Sequence[Sequence[int]], value: int) -> Int[Tensor, "B T"]:
    """Rows of numbers, filled up to the longest."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
