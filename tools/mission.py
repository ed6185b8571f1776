"""The whole way in one script: a text, a model, a tuned model, its exam, its exports, its server.

    python tools/mission.py FOLDER

Every step is a command of the README, printed before it runs, on the tiny preset, so that all of
it takes two minutes on a laptop. FOLDER must not exist; what the steps made stays in it. It needs
the extras `serve` and `export`.
"""

import json
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, it would see its own folder alone

from llmcourse.tinytown.stories import stories  # noqa: E402
from llmcourse.tinytown.tasks import sentiment_sentences  # noqa: E402

STEPS = {
    "prepare": "prepare town.jsonl --out data --vocab-size 512",
    "train": "train --preset tiny --steps 60 --data.source data --out run "
    "--device cpu --no-tensorboard",
    "finetune": "finetune --base run --task classification --data moods.csv --out tuned "
    "--device cpu",
    "predict": "finetune predict tuned 'It was a lovely day.'",
    "evaluate": "evaluate run --suite text --limit 40",
    "export hf": "export run --format hf --out hf --license cc-by-4.0",
    "export onnx": "export run --format onnx --out onnx",
    "export int8": "export run --format int8 --out int8",
    "generate": "generate int8 --prompt 'Mia had' --greedy",
}
"""Each step's command, by its name, in their order; after them the server is asked."""
PROMPT = "Mia had"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1 or words[0].startswith("-") or Path(words[0]).exists():
        print("usage: python tools/mission.py FOLDER, which must not exist yet", file=sys.stderr)
        return 2
    folder = Path(words[0])
    folder.mkdir(parents=True)
    for text in accomplish(folder).values():
        print(text.strip(), end="\n\n")
    return 0


def accomplish(folder: Path) -> dict[str, str]:
    """Go the whole way in a folder; returns what each step printed, and what the server said.

    Raises:
        RuntimeError: a step failed; its last lines are in the message.
    """
    write_texts(folder)
    printed = {name: run(command, folder) for name, command in STEPS.items()}
    printed["serve"] = serve_and_ask(folder)
    return printed


def write_texts(folder: Path) -> None:
    """What a learner brings along: documents, and sentences with labels."""
    documents = [json.dumps({"text": story.text}) for story in stories(1500)]
    (folder / "town.jsonl").write_text("\n".join(documents) + "\n", encoding="utf-8")
    labelled = dict(sentiment_sentences(400))
    rows = [f'"{text}",{"good" if mood > 0 else "bad"}' for text, mood in labelled.items()]
    (folder / "moods.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")


def line_of(command: str) -> list[str]:
    """A command as words, for this Python."""
    module, *words = shlex.split(command)
    return [sys.executable, "-m", f"llmcourse.{module}", *words]


def run(command: str, folder: Path) -> str:
    """Show a command and run it in a folder; returns what it printed.

    Raises:
        RuntimeError: it failed.
    """
    print(f"$ python -m llmcourse.{command}", flush=True)
    done = subprocess.run(line_of(command), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def serve_and_ask(folder: Path) -> str:
    """Start the server, let it go on with a text, and end it; returns the text."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"serve run --port {port}"
    print(f"$ python -m llmcourse.{command}", flush=True)
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(line_of(command), cwd=folder, stdout=quiet, stderr=quiet)
    try:
        name = ask(server, f"http://127.0.0.1:{port}/v1/models")["data"][0]["id"]
        request = {"model": name, "prompt": PROMPT, "max_tokens": 8, "temperature": 0}
        answer = ask(server, f"http://127.0.0.1:{port}/v1/completions", request)
    finally:
        server.terminate()
        server.wait(timeout=60)
    return PROMPT + answer["choices"][0]["text"]


def ask(server: subprocess.Popen, url: str, request: dict[str, Any] | None = None) -> Any:
    """What a server answers; it may still be loading.

    Raises:
        RuntimeError: it ended.
        urllib.error.HTTPError: it refused.
    """
    data = None if request is None else json.dumps(request).encode()
    headers = {"Content-Type": "application/json"}
    while server.poll() is None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:  # nobody listens yet
            time.sleep(0.2)
    raise RuntimeError(f"the server ended with exit status {server.returncode}")


if __name__ == "__main__":
    sys.exit(main())
