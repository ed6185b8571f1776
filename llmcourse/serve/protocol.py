"""What goes over the wire: the requests and answers of OpenAI's API that this server knows.

From these classes FastAPI makes `/openapi.json`, so what it says and what is done are one. What the
API has and this server does not is unknown here, and is refused by name. Not here: what is done
with a request (`service.py`), the limits that an operator sets (`settings.py`).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Stop = Annotated[str, Field(min_length=1, max_length=200)]
Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
LARGEST_SEED = 2**63 - 1


class Strict(BaseModel):
    """A part of a request: nothing is guessed, and nothing that is unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Strict):
    """What a stream tells beside its text."""

    include_usage: bool = False
    """Whether a last chunk counts the tokens."""


class Request(Strict):
    """What all requests for text have in common."""

    model: str
    """The name of the model, as `/v1/models` says it."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 1.0
    """Below 1 sharpens the distribution, above 1 flattens it; 0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    """Choose among the likeliest tokens that together have this probability."""
    n: Annotated[int, Field(ge=1, le=128)] | None = 1
    """How many texts for each prompt; the server may allow fewer."""
    stream: bool | None = False
    """Whether the answer comes piece by piece, as server-sent events."""
    stream_options: StreamOptions | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    """The text ends before any of these."""
    seed: Annotated[int, Field(ge=-LARGEST_SEED, le=LARGEST_SEED)] | None = None
    """The same seed writes the same text."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    """Taken from the logit of each token that was written."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    """Taken from a token's logit for each time that it was written."""
    user: str | None = None
    """Who asks; it changes nothing."""

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings before which a text ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionRequest(Request):
    """Go on with a text."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Ids
        | Annotated[list[Ids], Field(min_length=1)]
    ) = ""
    """A text, several, or the same as ids. In front of a text stands the end of another."""
    max_tokens: Annotated[int, Field(ge=0)] | None = 16
    """How many tokens at the most; 0 only with `echo`."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Tell each token's log-probability, and that of so many of the likeliest at its place."""
    echo: bool | None = False
    """Whether the answer begins with the prompt."""


class TextPart(Strict):
    """A part of a message: text is the only kind."""

    type: Literal["text"]
    text: str


class ChatTurn(Strict):
    """A turn of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    """Who speaks; `developer` is read as `system`."""
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    """What is said."""

    @property
    def text(self) -> str:
        """What is said, as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class ResponseFormat(Strict):
    """The form of an answer: text is the only one."""

    type: Literal["text"]


class ChatRequest(Request):
    """Answer in a chat."""

    messages: Annotated[list[ChatTurn], Field(min_length=1)]
    """A system's turn or none, then user and assistant in turns; the last is the user's."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """How many tokens at the most; as many as fit unless given."""
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """The newer name of `max_tokens`."""
    logprobs: bool | None = False
    """Whether to tell each token's log-probability."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """With `logprobs`: and that of so many of the likeliest at its place."""
    response_format: ResponseFormat | None = None


class NextRequest(Strict):
    """Look into the model: what would come next, and where it looks (not in OpenAI's API)."""

    prompt: str | None = None
    """A text; or else `messages`."""
    messages: Annotated[list[ChatTurn], Field(min_length=1)] | None = None
    """A chat that waits for its answer."""
    answer: str = ""
    """What was already said in answer to the messages."""
    top: Annotated[int, Field(ge=1, le=50)] = 10
    """How many of the likeliest tokens to tell."""
    layer: Annotated[int, Field(ge=-1)] = -1
    """Whose attention to tell; -1 is the last layer."""


# --- answers --------------------------------------------------------------------------------------


class Usage(BaseModel):
    """How many tokens were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionLogprobs(BaseModel):
    """Natural logarithms of the probabilities of a completion's tokens."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One text, or a piece of it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Completion(BaseModel):
    """The answer to a `CompletionRequest`, and each chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class TopLogprob(BaseModel):
    """A likely token."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token that was written, and the likeliest at its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """Natural logarithms of the probabilities of an answer's tokens."""

    content: list[TokenLogprob]


class ChatMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """The answer to a `ChatRequest`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ModelCard(BaseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "llmcourse"


class ModelList(BaseModel):
    """All models: one."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class NextToken(BaseModel):
    """A token that could come next."""

    id: int
    token: str
    probability: float


class NextAnswer(BaseModel):
    """What the model would say next, and where it looks."""

    tokens: list[str]
    """What was read, token by token."""
    next: list[NextToken]
    """The likeliest next tokens."""
    layer: int
    """The layer of `attention`."""
    n_layers: int
    """How many layers there are."""
    attention: list[list[float]] | None
    """For each head, how much the last token looks at each: each list sums to 1. None for a model
    without attention."""


class Health(BaseModel):
    """How the server is."""

    status: Literal["ok", "draining", "failing"]


class ErrorBody(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorBody


class ApiError(Exception):
    """An answer that is no success.

    Args:
        status: HTTP's number.
        message: one line for the client.
        param: the field that was wrong.
        code: a word that programs read.
        retry_after: seconds after which another try may succeed.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        kind = KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.body: dict[str, Any] = {
            "error": {"message": clean(message), "type": kind, "param": param, "code": code}
        }


KINDS = {401: "authentication_error", 429: "rate_limit_error"}
"""OpenAI's word for an error, where it is not `invalid_request_error` or `server_error`."""


def clean(text: str, longest: int = 500) -> str:
    """A text that any JSON can hold: short, without halves of characters."""
    return text[:longest].encode("utf-8", "replace").decode("utf-8")
