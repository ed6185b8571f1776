"""Continuous batching: one thread owns the model, and texts join and leave between its steps.

Nobody waits for the longest text of a batch: whoever has ended makes room for who waits (Yu et
al., 2022, Orca). The thread tells what it wrote by a function that each text brings along. Not
here: the rows themselves (`rows.py`), tokens and text (`writing.py`), HTTP (`app.py`).
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from llmcourse.generate.sampling import greedy
from llmcourse.models.base import Model
from llmcourse.serve.metrics import Metrics
from llmcourse.serve.rows import rows_of
from llmcourse.serve.writing import Chooser, Piece, Score, Wish, Writer, clean_text, score
from llmcourse.tokenizers.base import Tokenizer

log = logging.getLogger("llmcourse.serve")

READ_AT_ONCE = 2048
"""Tokens of prompts that are read between two steps: those who write must not wait for long."""
FAILURES = 3
"""After so many failures in a row the server says that it is not well."""


class QueueFull(Exception):
    """Too many texts wait already."""


class Draining(Exception):
    """The server finishes what it began, and begins nothing more."""


@dataclass(frozen=True)
class Failure:
    """Why a text was not finished.

    Attributes:
        status: HTTP's number for it.
        message: one line for the client.
    """

    status: int
    message: str


@dataclass(eq=False)
class Text:
    """One text to write.

    Attributes:
        ids: what to go on from, at least one token.
        wish: how.
        writer: makes text of tokens.
        chooser: takes tokens.
        put: is told each `Piece`, or a `Failure`, by the engine's thread.
        deadline: by the monotonic clock, in seconds.
        cancelled: set it, and the text is dropped at the next step.
    """

    ids: Sequence[int]
    wish: Wish
    writer: Writer
    chooser: Chooser
    put: Callable[[Piece | Failure], None]
    deadline: float
    cancelled: bool = False
    arrived: float = field(default_factory=time.monotonic)
    last: int = -1


class Engine:
    """Writes texts, many at once.

    Args:
        model: in evaluation mode, on its device. From `start` on only the engine's thread uses it.
        tokenizer: how it reads.
        metrics: where it counts.
        max_batch: how many texts are written at once.
        max_queue: how many may wait.
    """

    def __init__(
        self, model: Model, tokenizer: Tokenizer, metrics: Metrics, max_batch: int, max_queue: int
    ) -> None:
        self.tokenizer, self.metrics = tokenizer, metrics
        self.max_batch, self.max_queue = max_batch, max_queue
        self._model = model.eval()
        self._rows = rows_of(model)
        self._running: list[Text] = []
        self._waiting: deque[Text] = deque()
        self._calls: deque[tuple[Future[Any], Callable[[Model], Any]]] = deque()
        self._condition = threading.Condition()
        self._draining = self._stopped = self._at_work = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="llmcourse-engine", daemon=True)

    # --- what other threads may call --------------------------------------------------------------

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, texts: Sequence[Text]) -> None:
        """Take all of these texts, or none.

        Raises:
            QueueFull: too many wait.
            Draining: nothing more is begun.
        """
        with self._condition:
            if self._draining:
                raise Draining
            free = self.max_batch - len(self._running)
            if len(self._waiting) + len(texts) > self.max_queue + max(free, 0):
                raise QueueFull
            self._waiting.extend(texts)
            self._count()
            self._condition.notify()

    def call(self, function: Callable[[Model], Any]) -> "Future[Any]":
        """Let the engine's thread call a function of the model between two steps.

        Raises:
            QueueFull: too many wait.
            Draining: nothing more is begun.
        """
        future: Future[Any] = Future()
        with self._condition:
            if self._draining:
                raise Draining
            if len(self._calls) >= self.max_queue:
                raise QueueFull
            self._calls.append((future, function))
            self._condition.notify()
        return future

    def drain(self) -> None:
        """Begin nothing more."""
        with self._condition:
            self._draining = True

    def stop(self, seconds: float = 5.0) -> None:
        """Drop everything, and end the thread."""
        with self._condition:
            self._draining = self._stopped = True
            self._condition.notify()
        self._thread.join(seconds)

    @property
    def is_draining(self) -> bool:
        """Whether nothing more is begun."""
        return self._draining

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done."""
        with self._condition:
            return not (self._waiting or self._running or self._calls or self._at_work)

    @property
    def is_well(self) -> bool:
        """Whether its thread lives, and its steps succeed."""
        return self._thread.is_alive() and self._failures < FAILURES

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._waiting or self._running or self._calls or self._stopped):
                    self._condition.wait()
                if self._stopped:
                    return
                calls = [self._calls.popleft() for _ in range(len(self._calls))]
                joining = self._take()
                self._at_work = True
            with torch.inference_mode():
                for future, function in calls:
                    _answer(future, function, self._model)
                for text in joining:
                    self._begin(text)
                self._go_on()
            with self._condition:
                self._at_work = False
                self._count()

    def _take(self) -> list[Text]:
        """The texts to begin with now; those that nobody waits for any more are forgotten."""
        alive = [text for text in self._waiting if self._is_wanted(text)]
        taken: list[Text] = []
        tokens = 0
        free = self.max_batch - len(self._running)
        for text in alive[: max(free, 0)]:
            tokens += len(text.ids)
            if taken and tokens > READ_AT_ONCE:
                break
            taken.append(text)
        self._waiting = deque(alive[len(taken) :])
        return taken

    def _is_wanted(self, text: Text) -> bool:
        """Whether to go on with a text; who waited too long is told."""
        if text.cancelled:
            self.metrics.finished.labels("cancelled").inc()
            return False
        if time.monotonic() > text.deadline:
            self._fail(text, Failure(504, "the request took longer than this server allows"))
            return False
        return True

    def _begin(self, text: Text) -> None:
        """Read a text's prompt, and take its first token."""
        try:
            row, logits = self._rows.read(text.ids)
            self.metrics.prompt_tokens.inc(len(text.ids))
            if text.wish.echo:
                self._tell(text, self._echoed(text, logits))
            if text.wish.max_tokens == 0:
                self._tell(text, Piece("", finish="length"))
                return
            if self._advance(text, logits[-1]):
                self._rows.join(row)
                self._running.append(text)
            self.metrics.first_token_seconds.observe(time.monotonic() - text.arrived)
        except Exception:
            log.exception("a prompt of %d tokens could not be read", len(text.ids))
            self._fail(text, Failure(500, "the server failed at this request"))

    def _echoed(self, text: Text, logits: Tensor) -> Piece:
        """The prompt itself, with scores if they are wanted."""
        shown = text.ids[1:] if text.ids[0] == self.tokenizer.eot_id else text.ids
        skipped = len(text.ids) - len(shown)
        scores: list[Score] = []
        if text.wish.top_logprobs is not None:
            for at, token in enumerate(shown, start=skipped):
                first = Score(token, None)
                top = text.wish.top_logprobs
                scores.append(score(logits[at - 1], token, top) if at else first)
        lengths = [len(self.tokenizer.decode([token])) for token in shown[: len(scores)]]
        offsets = (0, *itertools.accumulate(lengths))[: len(scores)]
        said = clean_text(self.tokenizer.decode(shown))
        return Piece(said, tuple(scores), offsets, is_echo=True)

    def _go_on(self) -> None:
        """Let go of who left or took too long; one token more for the others."""
        try:
            self._keep([text for text in self._running if self._is_wanted(text)])
            if self._running:
                self._step()
            self._failures = 0
        except Exception:
            # Whatever it was, nobody may wait for ever, and the next texts deserve a try.
            log.exception("a step of %d texts failed", len(self._running))
            self._failures += 1
            for text in self._running:
                self._fail(text, Failure(500, "the server failed at this request"))
            self._running, self._rows = [], rows_of(self._model)

    def _keep(self, texts: list[Text]) -> None:
        if len(texts) < len(self._running):
            staying = set(map(id, texts))
            places = [at for at, text in enumerate(self._running) if id(text) in staying]
            self._running = texts
            self._rows.keep(places)

    def _step(self) -> None:
        """One token more for every text."""
        started = time.monotonic()
        logits = self._rows.step([text.last for text in self._running])
        likeliest = greedy(logits).tolist()
        rows = zip(self._running, logits, likeliest, strict=True)
        going = [text for text, row, best in rows if self._advance(text, row, best)]
        self.metrics.batch_size.observe(len(self._running))
        self.metrics.step_seconds.observe(time.monotonic() - started)
        self._keep(going)

    def _advance(self, text: Text, logits: Tensor, likeliest: int | None = None) -> bool:
        """Take a text's next token and tell what it adds; whether the text goes on."""
        known = likeliest if text.wish.is_greedy else None
        token = text.chooser(logits) if known is None else known
        top = text.wish.top_logprobs
        text.last = token
        piece = text.writer.push(Score(token, None) if top is None else score(logits, token, top))
        self.metrics.generated_tokens.inc()
        if piece.text or piece.scores or piece.finish:
            self._tell(text, piece)
        return piece.finish is None

    def _tell(self, text: Text, piece: Piece | Failure) -> None:
        if isinstance(piece, Piece) and piece.finish:
            self.metrics.finished.labels(piece.finish).inc()
        try:
            text.put(piece)
        except RuntimeError:  # its event loop is gone, and the client with it
            text.cancelled = True

    def _fail(self, text: Text, failure: Failure) -> None:
        self.metrics.finished.labels("timeout" if failure.status == 504 else "error").inc()
        self._tell(text, failure)

    def _count(self) -> None:
        self.metrics.waiting.set(len(self._waiting))
        self.metrics.running.set(len(self._running))


def _answer(future: "Future[Any]", function: Callable[[Model], Any], model: Model) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(model))
    except Exception as error:
        future.set_exception(error)
