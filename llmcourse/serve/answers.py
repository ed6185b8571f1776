"""The form of answers: pieces of text as completions and chats, whole or as chunks of a stream.

Not here: where the pieces come from (`service.py`).
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from llmcourse.serve.protocol import (
    ChatChoice,
    ChatCompletion,
    ChatLogprobs,
    ChatMessage,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llmcourse.serve.writing import Piece, Score, clean_text
from llmcourse.tokenizers.base import Tokenizer


def usage_of(prompt_tokens: int, completion_tokens: int) -> Usage:
    """The tokens read and written, and their sum."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """What a token is called: its text, a special token's name, or bytes that are no text alone."""
    data = tokenizer.token_bytes(token)
    if not data:
        names = [name for name, i in tokenizer.special_ids.items() if i == token]
        return names[0] if names else ""
    try:
        return clean_text(data.decode())
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


@runtime_checkable
class Form(Protocol):
    """How one kind of request is answered."""

    def whole(self, pieces: Sequence[Sequence[Piece]], usage: Usage) -> Any:
        """The answer in one: all pieces of each text."""
        ...

    def opening(self, n: int) -> Iterable[dict[str, Any]]:
        """The chunks that begin the stream of so many texts."""
        ...

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        """A chunk of a stream: a piece of one text."""
        ...

    def closing(self, usage: Usage) -> dict[str, Any]:
        """The chunk that counts the tokens."""
        ...


class CompletionForm:
    """Answers to `CompletionRequest`.

    Args:
        model: its name.
        tokenizer: how it reads.
    """

    def __init__(self, model: str, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._head: dict[str, Any] = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        # Offsets count from the beginning of the whole text, which an echo makes longer.
        self._echoed: dict[int, int] = {}

    def whole(self, pieces: Sequence[Sequence[Piece]], usage: Usage) -> Completion:
        """The answer in one."""
        choices = [self._choice(number, parts) for number, parts in enumerate(pieces)]
        return Completion(**self._head, choices=choices, usage=usage)

    def opening(self, n: int) -> Iterable[dict[str, Any]]:
        """Nothing: a completion begins with its text."""
        return ()

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        """A piece of one text."""
        return {**self._head, "choices": [self._choice(number, [piece]).model_dump()]}

    def closing(self, usage: Usage) -> dict[str, Any]:
        """The count of tokens."""
        return {**self._head, "choices": [], "usage": usage.model_dump()}

    def _choice(self, number: int, pieces: Sequence[Piece]) -> CompletionChoice:
        logprobs = None
        if any(piece.scores for piece in pieces):
            logprobs = CompletionLogprobs(
                tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[]
            )
        for piece in pieces:
            if logprobs is not None:
                self._add(logprobs, piece, self._echoed.get(number, 0))
            if piece.is_echo:
                self._echoed[number] = len(piece.text)
        text = "".join(piece.text for piece in pieces)
        finish: Any = pieces[-1].finish if pieces else None
        return CompletionChoice(index=number, text=text, logprobs=logprobs, finish_reason=finish)

    def _add(self, logprobs: CompletionLogprobs, piece: Piece, start: int) -> None:
        for scored, offset in zip(piece.scores, piece.offsets, strict=True):
            logprobs.tokens.append(token_text(self._tokenizer, scored.token))
            logprobs.token_logprobs.append(scored.logprob)
            top = {token_text(self._tokenizer, token): value for token, value in scored.top}
            logprobs.top_logprobs.append(top if scored.logprob is not None else None)
            logprobs.text_offset.append(start + offset)


class ChatForm:
    """Answers to `ChatRequest`.

    Args:
        model: its name.
        tokenizer: how it reads.
    """

    def __init__(self, model: str, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, pieces: Sequence[Sequence[Piece]], usage: Usage) -> ChatCompletion:
        """The answer in one."""
        choices = [self._choice(number, parts) for number, parts in enumerate(pieces)]
        return ChatCompletion(**self._head, choices=choices, usage=usage)

    def _choice(self, number: int, pieces: Sequence[Piece]) -> ChatChoice:
        text = "".join(piece.text for piece in pieces)
        finish: Any = pieces[-1].finish
        scores = [scored for piece in pieces for scored in piece.scores]
        return ChatChoice(
            index=number,
            message=ChatMessage(content=text),
            logprobs=self._logprobs(scores),
            finish_reason=finish,
        )

    def opening(self, n: int) -> Iterable[dict[str, Any]]:
        """Who speaks."""
        for number in range(n):
            yield self._delta(number, {"role": "assistant", "content": ""})

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        """A piece of one answer."""
        delta = {"content": piece.text} if piece.text else {}
        logprobs = self._logprobs(piece.scores)
        said = logprobs.model_dump() if logprobs else None
        return self._delta(number, delta, {"logprobs": said, "finish_reason": piece.finish})

    def closing(self, usage: Usage) -> dict[str, Any]:
        """The count of tokens."""
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": []}
        return {**chunk, "usage": usage.model_dump()}

    def _delta(
        self, number: int, delta: Mapping[str, Any], more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        rest = more or {"logprobs": None, "finish_reason": None}
        choice = {"index": number, "delta": dict(delta), **rest}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def _logprobs(self, scores: Sequence[Score]) -> ChatLogprobs | None:
        if not scores:
            return None
        return ChatLogprobs(
            content=[
                TokenLogprob(
                    **self._one(scored.token, scored.logprob or 0.0),
                    top_logprobs=[TopLogprob(**self._one(*pair)) for pair in scored.top],
                )
                for scored in scores
            ]
        )

    def _one(self, token: int, logprob: float) -> dict[str, Any]:
        data = list(self._tokenizer.token_bytes(token))
        return {"token": token_text(self._tokenizer, token), "logprob": logprob, "bytes": data}
