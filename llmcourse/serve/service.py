"""From a request to the texts that the engine is to write, with every reason to refuse it.

Not here: HTTP (`app.py`), the form of answers (`answers.py`), the writing itself (`engine.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from llmcourse.errors import UserError
from llmcourse.generate.decode import CachingModel
from llmcourse.models.base import Model
from llmcourse.serve.engine import Draining, Engine, Failure, QueueFull, Text
from llmcourse.serve.inside import look
from llmcourse.serve.metrics import Metrics
from llmcourse.serve.protocol import (
    ApiError,
    ChatRequest,
    ChatTurn,
    CompletionRequest,
    NextAnswer,
    NextRequest,
    Request,
)
from llmcourse.serve.settings import Limits
from llmcourse.serve.writing import Chooser, Piece, Wish, Writer, clean_text
from llmcourse.tokenizers.base import Tokenizer, byte_lengths
from llmcourse.tokenizers.chat import (
    ChatTemplate,
    Message,
    check_chat,
    encode_prompt,
    end_of_turn,
)

T = TypeVar("T")

LONGEST = 2048
"""The longest text of a model that sees only its last few tokens, in tokens."""


class Service:
    """A model that is served under a name.

    Args:
        name: what clients call it.
        model: what writes.
        tokenizer: how it reads.
        template: how a chat is written as a text.
        limits: what the operator allows.

    Raises:
        UserError: the template cannot be used.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        limits: Limits,
    ) -> None:
        self.name, self.tokenizer, self.limits = name, tokenizer, limits
        self.created = int(time.time())
        self.metrics = Metrics()
        self.engine = Engine(model, tokenizer, self.metrics, limits.max_batch, limits.max_queue)
        sees_all = isinstance(model, CachingModel)
        self.context: int = model.config.context_length if sees_all else LONGEST
        self._template = template
        self._turn_ends = ((tokenizer.eot_id,), tuple(end_of_turn(tokenizer, template)))
        self._longest_piece = max(byte_lengths(tokenizer))
        # One thread for what takes time and needs no model, so that the event loop goes on.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="llmcourse-reader")

    # --- texts ------------------------------------------------------------------------------------

    async def begin_completion(self, request: CompletionRequest) -> "Job":
        """Let the engine begin with what was asked for.

        Raises:
            ApiError: the request is refused.
        """
        self._check_name(request)
        echo, most = bool(request.echo), request.max_tokens
        most = 16 if most is None else most
        if most == 0 and not echo:
            raise ApiError(400, "max_tokens must be at least 1 without echo", param="max_tokens")
        prompts = await self._in_reader(partial(self._prompts, request.prompt))
        wish = _wish(request, most, request.logprobs, echo=echo)
        return self._submit(request, prompts, wish, ((self.tokenizer.eot_id,),))

    async def begin_chat(self, request: ChatRequest) -> "Job":
        """Let the engine begin with an answer.

        Raises:
            ApiError: the request is refused.
        """
        self._check_name(request)
        if request.top_logprobs is not None and not request.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", param="top_logprobs")
        ids = await self._in_reader(partial(self._chat, request.messages))
        room = self.context - len(ids)
        given = (request.max_completion_tokens, request.max_tokens)
        most = next((one for one in given if one is not None), max(room, 1))
        top = (request.top_logprobs or 0) if request.logprobs else None
        return self._submit(request, [ids], _wish(request, most, top), self._turn_ends)

    async def look(self, request: NextRequest) -> NextAnswer:
        """What would come next, and where the model looks.

        Raises:
            ApiError: the request is refused.
        """
        if (request.prompt is None) == (request.messages is None):
            raise ApiError(400, "give either prompt or messages", param="prompt")
        if request.messages is None:
            ids = (await self._in_reader(partial(self._prompts, request.prompt)))[0]
        else:
            ids = await self._in_reader(partial(self._chat, request.messages, request.answer))
        self._check_length(len(ids), 0)
        function = partial(
            look, tokenizer=self.tokenizer, ids=ids, top=request.top, layer=request.layer
        )
        try:
            future = self.engine.call(function)
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.request_seconds)
        except UserError as error:
            raise ApiError(400, str(error), param="layer") from None
        except TimeoutError:
            raise ApiError(504, "the request took longer than this server allows") from None
        except (QueueFull, Draining) as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """End all threads."""
        self.engine.stop()
        self._reader.shutdown(wait=False, cancel_futures=True)

    # --- helpers ----------------------------------------------------------------------------------

    async def _in_reader(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, function)

    def _prompts(self, prompt: Any) -> list[list[int]]:
        """The ids of one prompt or of several, which are texts or ids already."""
        several = prompt if isinstance(prompt, list) else [prompt]
        if isinstance(several[0], int):
            several = [several]
        return [self._ids(one) for one in several]

    def _ids(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            self._check_bytes(prompt)
            # Each document in training ends with this token; so after it, a new one begins.
            return [self.tokenizer.eot_id, *self.tokenizer.encode(clean_text(prompt))]
        if max(prompt) >= self.tokenizer.vocab_size:
            raise ApiError(
                400,
                f"the prompt holds a token that is none of {self.tokenizer.vocab_size}",
                param="prompt",
            )
        return prompt

    def _chat(self, turns: Sequence[ChatTurn], answer: str = "") -> list[int]:
        """The ids behind which an answer is written, or goes on."""
        names = {"developer": "system"}
        chat = [Message(names.get(one.role, one.role), clean_text(one.text)) for one in turns]
        self._check_bytes("".join(message.content for message in chat) + answer)
        try:
            check_chat(chat, "messages")
            if chat[-1].role != "user":
                raise UserError("messages: the last turn must be the user's")
            prompt = encode_prompt(self.tokenizer, self._template, chat)
        except UserError as error:
            raise ApiError(400, str(error), param="messages") from None
        return [self.tokenizer.eot_id, *prompt, *self.tokenizer.encode(clean_text(answer))]

    def _check_name(self, request: Request) -> None:
        if request.model != self.name:
            raise ApiError(
                404,
                f"there is no model {request.model[:100]!r} here: ask for {self.name!r}",
                param="model",
                code="model_not_found",
            )

    def _check_bytes(self, text: str) -> None:
        """Refuse what can never fit before time is spent on encoding it."""
        if len(text) > 4 * self._longest_piece * self.context:
            raise self._too_long(f"the text has {len(text):,} letters")

    def _check_length(self, n: int, most: int) -> None:
        if n + most > self.context:
            raise self._too_long(f"the prompt has {n:,} tokens and {most:,} are wanted")

    def _too_long(self, what: str) -> ApiError:
        return ApiError(
            400,
            f"{what}, and the model sees {self.context:,} tokens: shorten the prompt or ask for "
            "fewer",
            param="messages",
            code="context_length_exceeded",
        )

    def _submit(
        self,
        request: Request,
        prompts: Sequence[list[int]],
        wish: Wish,
        endings: Sequence[Sequence[int]],
    ) -> "Job":
        n = request.n or 1
        if len(prompts) * n > self.limits.max_texts:
            raise ApiError(
                400,
                f"{len(prompts)} prompts and n={n} make more than the {self.limits.max_texts} "
                "texts that a request may ask for",
                param="n",
            )
        for ids in prompts:
            self._check_length(len(ids), wish.max_tokens)
        job = Job()
        deadline = time.monotonic() + self.limits.request_seconds
        for number, ids in enumerate(ids for ids in prompts for _ in range(n)):
            writer, chooser = Writer(self.tokenizer, wish, endings), Chooser(wish, number)
            put = partial(job.put, number)
            job.texts.append(Text(ids, wish, writer, chooser, put, deadline))
        job.prompt_tokens = sum(map(len, prompts))
        try:
            self.engine.submit(job.texts)
        except (QueueFull, Draining) as error:
            raise self._refusal(error) from None
        return job

    def _refusal(self, error: Exception) -> ApiError:
        if isinstance(error, Draining):
            return ApiError(503, "the server is shutting down: ask another", retry_after=5)
        return ApiError(429, "too many requests wait already: try again soon", retry_after=1)


class Job:
    """The texts of one request, and what comes of them.

    Attributes:
        texts: what the engine writes.
        prompt_tokens: how many tokens it reads for them.
    """

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.prompt_tokens = 0
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[int, Piece | Failure]] = asyncio.Queue()

    def put(self, number: int, what: Piece | Failure) -> None:
        """Take what the engine's thread has for a text."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (number, what))

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """The number of a text and a piece of it, until all have ended.

        Raises:
            ApiError: one of them was not finished.
        """
        going = len(self.texts)
        while going:
            number, what = await self._queue.get()
            if isinstance(what, Failure):
                raise ApiError(what.status, what.message)
            yield number, what
            going -= what.finish is not None

    def cancel(self) -> None:
        """Nobody waits for this any more."""
        for text in self.texts:
            text.cancelled = True

    @property
    def completion_tokens(self) -> int:
        """How many tokens were written so far."""
        return sum(text.writer.n_tokens for text in self.texts)


def _wish(request: Request, most: int, top: int | None, *, echo: bool = False) -> Wish:
    def given(value: float | None, default: float) -> float:
        return default if value is None else float(value)

    return Wish(
        max_tokens=most,
        temperature=given(request.temperature, 1.0),
        top_p=given(request.top_p, 1.0),
        frequency_penalty=given(request.frequency_penalty, 0.0),
        presence_penalty=given(request.presence_penalty, 0.0),
        seed=request.seed,
        stop=request.stops,
        top_logprobs=top,
        echo=echo,
    )
