"""The server under load: many clients that stream at once, each of which knows what it must hear.

    python benchmarks/serving.py                          64 clients for a minute
    python benchmarks/serving.py --clients 8 --seconds 5

The server is a process of its own, the clients are tasks in this one; both share the machine. Every
text is compared with what the model writes greedily alone (one prompt is no other's, so that a
mix-up cannot go unseen). Batches and single rows multiply in another order, so a text may differ
where two tokens are equally likely to the last digit: such a text is counted as `ties`, if the
token that was taken is within 1e-3 of the likeliest one's logarithm, and as `wrong` if it is not.
"""

import argparse
import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import openai
import psutil
import torch

from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.tokenizers.base import StreamDecoder
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.registry import save_tokenizer

ROOT = Path(__file__).resolve().parent.parent
TOKENIZER = ByteTokenizer()
NAME = "served"
TIE = 1e-3


def make_model(options: argparse.Namespace) -> GPT:
    """A model of random weights, large enough that what it read decides what it writes."""
    torch.manual_seed(0)
    sizes = {name: getattr(options, name) for name in ("d_model", "n_layers", "n_heads")}
    model = GPT(
        modern_recipe(vocab_size=257, context_length=512, zero_init_outputs=False, **sizes)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(4)
    return model


@contextlib.contextmanager
def server(run: Path, threads: int) -> Iterator[tuple[psutil.Process, str]]:
    """The command as a process of its own, and its address."""
    command = [sys.executable, "-m", "llmcourse.serve", str(run), "--port", "0", "--name", NAME]
    command += ["--max-batch", "64", "--max-queue", "256"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
            assert found, "the server did not start"
            yield psutil.Process(process.pid), found[0]
        finally:
            process.terminate()
            assert process.wait(60) == 0, "the server did not end well"


async def visit(client: Any, number: int, until: float, n: int, heard: list[Any]) -> None:
    """One client: text after text until the time is over."""
    turn = 0
    while time.monotonic() < until:
        prompt = f"{number} " + "once upon a time "[: 1 + (5 * number + turn) % 17] * (1 + turn % 3)
        prompt = f"{prompt}{turn}"
        started, first, text = time.monotonic(), None, ""
        try:
            stream = await client.completions.create(
                model=NAME, prompt=prompt, max_tokens=n, temperature=0, stream=True,
                stream_options={"include_usage": True},
            )  # fmt: skip
            tokens = 0
            async for chunk in stream:
                first = first or time.monotonic() - started
                if chunk.choices:
                    text += chunk.choices[0].text
                else:
                    tokens = chunk.usage.completion_tokens
            heard.append((prompt, text, tokens, first, time.monotonic() - started))
        except openai.OpenAIError as error:
            heard.append(error)
        turn += 1


async def load(
    url: str, process: psutil.Process, options: argparse.Namespace
) -> tuple[list[Any], list[float], float]:
    """What all clients heard, the server's memory in MB through the time, and the seconds."""
    heard: list[Any] = []
    memory: list[float] = []
    limits = {"max_retries": 0, "timeout": 120}
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", **limits) as client:
        await client.completions.create(model=NAME, prompt="warm up", max_tokens=2)
        started = time.monotonic()
        until = started + options.seconds
        visits = [
            asyncio.create_task(visit(client, number, until, options.tokens, heard))
            for number in range(options.clients)
        ]
        while time.monotonic() < until:
            memory.append(process.memory_info().rss / 1e6)
            await asyncio.sleep(min(1.0, options.seconds / 10))
        await asyncio.gather(*visits)
        return heard, memory, time.monotonic() - started


def judge(model: GPT, prompt: str, text: str, n: int) -> str:
    """`right`, `ties` or `wrong`: a text against what the model writes alone."""
    ids = [TOKENIZER.eot_id, *TOKENIZER.encode(prompt)]
    tokens = generate(
        model, torch.tensor([ids]), max_new_tokens=n, sampler=greedy,
        stop_ids=(TOKENIZER.eot_id,),
    )  # fmt: skip
    decoder, alone = StreamDecoder(TOKENIZER), ""
    own: list[int] = []
    for token in tokens:
        own.append(int(token))
        alone += decoder.push(own[-1])
    if alone + decoder.flush() == text:
        return "right"
    # Where was it nearly another token?
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, *own]])).logits[0, len(ids) - 1 :]
    best = logits.topk(2).values
    return "ties" if bool((best[:, 0] - best[:, 1] < TIE).any()) else "wrong"


def summarise(
    model: GPT, heard: list[Any], memory: list[float], seconds: float, n: int, most: int
) -> dict[str, Any]:
    """The figures of one load."""
    errors = [str(one) for one in heard if isinstance(one, Exception)]
    texts = [one for one in heard if not isinstance(one, Exception)]
    step = max(1, len(texts) // most)
    verdicts = [judge(model, prompt, text, n) for prompt, text, *_ in texts[::step]]
    third = max(1, len(memory) // 3)
    firsts = sorted(one[3] for one in texts)
    return {
        "texts": len(texts),
        "errors": len(errors),
        "first_errors": errors[:3],
        "checked": len(verdicts),
        **{name: verdicts.count(name) for name in ("right", "ties", "wrong")},
        "tokens_per_second": sum(one[2] for one in texts) / seconds,
        "first_piece_seconds_median": statistics.median(firsts),
        "first_piece_seconds_p95": firsts[int(0.95 * (len(firsts) - 1))],
        "memory_mb_early": statistics.median(memory[third : 2 * third] or memory),
        "memory_mb_late": statistics.median(memory[-third:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--d-model", type=int, default=128)
    parser.add_argument("--n-layers", type=int, default=4)
    parser.add_argument("--n-heads", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=int, default=300, help="how many texts to check at most")
    parser.add_argument("--out", type=Path, default=measure.RESULTS)
    options = parser.parse_args()
    model = make_model(options)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "model")
        save_tokenizer(TOKENIZER, folder)
        with server(Path(folder), options.threads) as (process, url):
            heard, memory, seconds = asyncio.run(load(url, process, options))
    results = summarise(model, heard, memory, seconds, options.tokens, options.check)
    for name, value in results.items():
        print(f"  {name:<28} {value:,.2f}" if isinstance(value, float) else f"  {name:<28} {value}")
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    measure.keep("serving", settings, results, options.out)


if __name__ == "__main__":
    main()
