"""A small model behind the server, in a thread of the test's own process."""

import contextlib
import functools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import uvicorn

from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.serve.app import create_app
from llmcourse.serve.connections import protocol
from llmcourse.serve.service import Service
from llmcourse.serve.settings import Limits
from llmcourse.tokenizers.base import StreamDecoder
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.chat import find_template
from llmcourse.tokenizers.registry import save_tokenizer

NAME = "tiny"
TOKENIZER = ByteTokenizer()


def small_model(**changes: Any) -> GPT:
    """A model that knows nothing, with weights so large that what it read decides what it writes.

    At their usual size attention would hardly matter, and no test would notice a wrong mask.
    """
    torch.manual_seed(0)
    sizes = {"context_length": 256, "d_model": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2}
    options = {**sizes, "vocab_size": TOKENIZER.vocab_size, "zero_init_outputs": False, **changes}
    model = GPT(modern_recipe(**options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)
    return model


def small_run(folder: Path, model: Any = None) -> Path:
    """A run's directory, as far as serving needs it."""
    save_model(model or small_model(), folder / "model")
    save_tokenizer(TOKENIZER, folder)
    return folder


def small_service(model: Any = None, **limits: Any) -> Service:
    """The model under its name, with the chat template `plain`."""
    parts = (model or small_model(), TOKENIZER, find_template("plain"))
    return Service(NAME, *parts, replace(Limits(), **limits))


def alone(model: Any, ids: Sequence[int], n: int) -> list[int]:
    """What the model writes greedily after `ids`, by the loop that chapter 15 teaches."""
    row = torch.tensor([list(ids)])
    stops = (TOKENIZER.eot_id,)
    return [int(t) for t in generate(model, row, max_new_tokens=n, sampler=greedy, stop_ids=stops)]


def text_of(tokens: Sequence[int]) -> str:
    """The text of what was written."""
    decoder = StreamDecoder(TOKENIZER)
    return "".join(map(decoder.push, tokens)) + decoder.flush()


@functools.cache
def expected(prompt: str, n: int) -> str:
    """The small model's greedy text after a prompt."""
    return text_of(alone(small_model(), [TOKENIZER.eot_id, *TOKENIZER.encode(prompt)], n))


@dataclass
class Served:
    """A server that listens.

    Attributes:
        url: its address.
        service: what it serves.
    """

    url: str
    service: Service

    def client(self, key: str = "none", **options: Any) -> Any:
        """The official client, which neither tries again nor waits for long."""
        import openai

        options = {"max_retries": 0, "timeout": 60, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **options)

    def figure(self, name: str, **labels: str) -> float:
        """One of its metrics; 0 where nothing was counted yet."""
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.contextmanager
def served(service: Service, most: int | None = None, **options: Any) -> Iterator[Served]:
    """Serve until the block ends, `most` connections at a time."""
    app = create_app(service, **options)
    http = protocol(service.limits.head_seconds, most)
    config = uvicorn.Config(app, http=http, port=0, log_level="error", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(f"http://127.0.0.1:{port}", service)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def wait_until(condition: Any, seconds: float = 30.0) -> None:
    """Wait for what another thread or process does; fail if it does not."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)
