"""The application: which path does what, and how answers stream.

Not here: what a request asks of the model (`service.py`), the gate before it (`gate.py`), the
command (`__main__.py`).
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

import llmcourse
from llmcourse.serve.answers import ChatForm, CompletionForm, Form, usage_of
from llmcourse.serve.gate import Gate
from llmcourse.serve.metrics import Metrics
from llmcourse.serve.protocol import (
    ApiError,
    ChatCompletion,
    ChatRequest,
    Completion,
    CompletionRequest,
    ErrorAnswer,
    Health,
    ModelCard,
    ModelList,
    NextAnswer,
    NextRequest,
    clean,
)
from llmcourse.serve.service import Job, Service
from llmcourse.serve.writing import Piece

T = TypeVar("T")

PAGE = Path(__file__).with_name("page.html")
EVENT = {
    "type": "object",
    "properties": {"data": {"type": "string", "description": "A chunk in JSON; or [DONE]"}},
    "required": ["data"],
}
STREAM = {"text/event-stream": {"schema": EVENT}}
"""What else a request for text can be answered with: events of this form."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": says}
    for status, says in {
        400: "The request is wrong, or asks for what is not supported",
        401: "The key is missing or wrong",
        403: "The server does not go by this name",
        408: "The body took too long to arrive",
        413: "The body is too long",
        500: "The server failed",
        503: "The server is shutting down",
    }.items()
}
BUSY: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    404: {"model": ErrorAnswer, "description": "There is no such model"},
    429: {"model": ErrorAnswer, "description": "Too many requests wait"},
    504: {"model": ErrorAnswer, "description": "The request took too long"},
}
FIELDS = {
    "/v1/completions": CompletionRequest,
    "/v1/chat/completions": ChatRequest,
    "/llmcourse/next": NextRequest,
}


def create_app(service: Service, *, key: str = "", hosts: frozenset[str] | None = None) -> Gate:
    """The whole server as one ASGI application.

    Args:
        service: the model.
        key: what clients must show; empty for nothing.
        hosts: the names by which they may call; None for any.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        service.engine.start()
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="llmcourse.serve",
        version=llmcourse.__version__,
        description="OpenAI's API for a model of this course.",
        lifespan=lifespan,
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
    )
    _add_texts(app, service)
    _add_rest(app, service)
    _add_errors(app)
    _tell_the_truth(app, bool(key))
    return Gate(
        app,
        metrics=service.metrics,
        key=key,
        hosts=hosts,
        max_body_bytes=service.limits.max_body_bytes,
        body_seconds=service.limits.body_seconds,
        is_draining=lambda: service.engine.is_draining,
    )


def _add_texts(app: FastAPI, service: Service) -> None:
    """Paths that write."""

    @app.post(
        "/v1/completions",
        responses={**BUSY, 200: {"model": Completion, "content": STREAM}},
        response_model=None,
    )
    async def completions(asked: Annotated[CompletionRequest, Body()], request: Request) -> Any:
        """Go on with a text."""
        form = CompletionForm(service.name, service.tokenizer)
        return await _answer(asked, await service.begin_completion(asked), form, request, service)

    @app.post(
        "/v1/chat/completions",
        responses={**BUSY, 200: {"model": ChatCompletion, "content": STREAM}},
        response_model=None,
    )
    async def chat_completions(asked: Annotated[ChatRequest, Body()], request: Request) -> Any:
        """Answer in a chat."""
        form = ChatForm(service.name, service.tokenizer)
        return await _answer(asked, await service.begin_chat(asked), form, request, service)

    @app.post("/llmcourse/next", responses=BUSY)
    async def look(asked: Annotated[NextRequest, Body()]) -> NextAnswer:
        """What would come next, and where the model looks (not in OpenAI's API)."""
        return await service.look(asked)


def _add_rest(app: FastAPI, service: Service) -> None:
    """Paths that tell."""
    card = ModelCard(id=service.name, created=service.created)

    @app.get("/v1/models", responses=REFUSALS)
    async def models() -> ModelList:
        """The models that can be asked for: one."""
        return ModelList(data=[card])

    @app.get("/v1/models/{model}", responses={**REFUSALS, 404: {"model": ErrorAnswer}})
    async def model(model: str) -> ModelCard:
        """One model."""
        if model != service.name:
            raise ApiError(404, f"there is no model {model[:100]!r} here", code="model_not_found")
        return card

    unwell: dict[int | str, dict[str, Any]] = {403: REFUSALS[403], 503: {"model": Health}}

    @app.get("/health", responses=unwell, response_model=Health)
    async def health() -> Any:
        """Whether to send requests here."""
        engine = service.engine
        status = "draining" if engine.is_draining else "ok" if engine.is_well else "failing"
        return JSONResponse({"status": status}, status_code=200 if status == "ok" else 503)

    prometheus: Any = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", response_class=Response, responses={**REFUSALS, **prometheus})
    async def metrics() -> Response:
        """Figures for Prometheus."""
        headers = {"Content-Type": Metrics.content_type}
        return Response(service.metrics.text(), headers=headers)

    page = PAGE.read_text("utf-8")
    policy = _content_security(page)

    @app.get("/", response_class=HTMLResponse, responses={403: REFUSALS[403]})
    async def index() -> HTMLResponse:
        """A page to chat with the model and to look inside."""
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(page, headers=headers)


# --- answers --------------------------------------------------------------------------------------


async def _answer(
    asked: CompletionRequest | ChatRequest,
    job: Job,
    form: Form,
    request: Request,
    service: Service,
) -> Any:
    """The answer to a request whose texts the engine has begun: a stream, or all in one."""
    if asked.stream:
        counts = asked.stream_options is not None and asked.stream_options.include_usage
        return _Stream(_events(job, form, counts), job, service.limits.request_seconds)
    try:
        pieces = await _unless_gone(_collected(job), request)
    finally:
        job.cancel()
    if pieces is None:
        return Response(status_code=499)  # nobody hears it
    return form.whole(pieces, usage_of(job.prompt_tokens, job.completion_tokens))


async def _collected(job: Job) -> list[list[Piece]]:
    """All pieces of each text."""
    found: list[list[Piece]] = [[] for _ in job.texts]
    async for number, piece in job.pieces():
        found[number].append(piece)
    return found


async def _unless_gone(work: Coroutine[Any, Any, T], request: Request) -> T | None:
    """The work's result; None, and the work is dropped, once the client has hung up."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = task, watch = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for one in (task, watch):
            one.cancel()


async def _events(job: Job, form: Form, counts: bool) -> AsyncIterator[str]:
    """Server-sent events: a chunk each, and `[DONE]` at the end."""
    for chunk in form.opening(len(job.texts)):
        yield _event(chunk)
    try:
        async for number, piece in job.pieces():
            yield _event(form.chunk(number, piece))
    except ApiError as error:  # the status is sent already
        yield _event(error.body)
        return
    if counts:
        usage = usage_of(job.prompt_tokens, job.completion_tokens)
        yield _event(form.closing(usage))
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


class _Stream(StreamingResponse):
    """A stream whose texts are dropped when it ends, however it ends."""

    def __init__(self, events: AsyncIterator[str], job: Job, seconds: float) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._job, self._seconds = job, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            # Who does not read what was written holds nothing for ever.
            async with asyncio.timeout(2 * self._seconds):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            pass
        finally:
            self._job.cancel()


# --- errors, and what the server says of itself ---------------------------------------------------


def _add_errors(app: FastAPI) -> None:
    """Every error in OpenAI's form."""

    def respond(error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, status_code=error.status, headers=error.headers)

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(_explained(error, request.url.path))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        answer = respond(ApiError(error.status_code, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return respond(ApiError(500, "the server failed at this request"))


def _explained(error: RequestValidationError, path: str) -> ApiError:
    """The first thing that is wrong with a request, in one line."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    param = clean(place[0], 100) if place else None
    if first["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON")
    if first["type"] == "extra_forbidden":
        known = ", ".join(FIELDS[path].model_fields) if path in FIELDS and len(place) == 1 else ""
        hint = f"; it takes {known}" if known else ""
        where = ".".join(place)
        return ApiError(400, clean(f"{where} is not supported by this server{hint}"), param=param)
    where = f"{clean('.'.join(place), 100)}: " if place else "the body: "
    return ApiError(400, where + first["msg"], param=param)


def _tell_the_truth(app: FastAPI, has_key: bool) -> None:
    """Describe the API as it is: wrong requests get 400 here, and a key may be wanted."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        if has_key:
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}]
        return schema

    app.openapi = openapi


def _content_security(page: str) -> str:
    """A policy by which the page's own script and style run, and no others."""
    allowed = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
            for code in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        "connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
