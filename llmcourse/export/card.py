"""The model card: what a stranger needs to know of a model before using it, filled from its run.

A card (Mitchell et al., 2019) says what the model is, what it was trained on and by which recipe,
how good it is beside what it had to beat, what it is for, and what it must not be used for. Figures
come from the run's own files; what these do not know is left open in words, never guessed. Not
here: how a run is read (`runs/history.py`). Chapter 17 teaches this.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcourse.files import read_file
from llmcourse.plain import as_code, parse_json
from llmcourse.runs.commands import repeat_command
from llmcourse.runs.history import RunHistory, finite
from llmcourse.runs.log import Baseline

CARD_FILE = "README.md"
NOT_SAID = "not said"
"""What stands on a card where the run does not know."""

_SOURCES = {
    "tinytown": "tinytown, made-up stories of this course's own grammar (CC BY 4.0)",
    "pydocs": "Python's language reference and docstrings (PSF License)",
}
"""Sources whose licence is known, and how a card names them."""
_BASELINES = {
    "uniform": "guessing every token alike",
    "unigram": "guessing by frequency",
    "entropy": "of the text itself, which no model can beat",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card says, and no run knows.

    Attributes:
        name: the model's name.
        license: the licence of the weights, as the hub spells it.
        format: how the weights are stored.
        measured: further figures, each by what it is.
    """

    name: str
    license: str = "other"
    format: str = "safetensors"
    measured: dict[str, str]


def model_card(run: str | os.PathLike, facts: Facts) -> str:
    """The card of a run's model, as Markdown with the header that the Hugging Face hub reads.

    Raises:
        UserError: the run's log is damaged.
    """
    history = RunHistory.read(run)
    config = _read(Path(run, "model", "config.json"))
    return (
        "\n\n".join(
            [
                _header(facts),
                f"# {_title(facts.name)}",
                f"A language model trained with `llmcourse`; weights as {facts.format}.",
                "## What it is\n\n" + _table(_model(config, history)),
                "## What it was trained on\n\n" + _table(_data(history)),
                "## How it was trained\n\n" + _table(_recipe(history)),
                "## How good it is\n\n" + _table(_quality(history) | facts.measured),
                _USE,
            ]
        )
        + "\n"
    )


_USE = """## Intended use

To learn from: to read its text, to measure it, to fine-tune it. It goes on with texts like those of
its training data.

## Limits

- It says what is likely in its training text, not what is true, and it does not know the
  difference. Nobody should act on its answers without checking them.
- It has not been examined for bias or for harmful text, and it repeats what its data held, people's
  prejudices and, if they were in it, their personal data.
- It was measured on held-out text of the same source. On other text, and in other languages, it is
  worse, and how much worse has not been measured."""


def _title(name: str) -> str:
    """The name as a heading; as code where it has marks that Markdown would take for its own."""
    return name if re.fullmatch(r"[\w. -]+", name) else as_code(name)


def _header(facts: Facts) -> str:
    """The part that machines read: YAML between two rules."""
    # A string in JSON is one in YAML, whatever is in it.
    plain = re.fullmatch(r"[\w.-]+", facts.license)
    license = facts.license if plain else json.dumps(facts.license)
    lines = [f"license: {license}", "pipeline_tag: text-generation"]
    return "\n".join(["---", *lines, "tags:", "- llmcourse", "---"])


def _model(config: dict[str, Any], history: RunHistory) -> dict[str, str]:
    parameters = history.latest("parameters")
    names = ("d_model", "n_layers", "n_heads", "context_length", "vocab_size")
    return {
        "family": str(config.get("family", NOT_SAID)),
        "parameters": NOT_SAID if parameters is None else f"{parameters:,.0f}",
        **{f"`{name}`": f"{config[name]:,}" for name in names if config.get(name) is not None},
    }


def _data(history: RunHistory) -> dict[str, str]:
    source = str(_at(history.config, "data", "source") or NOT_SAID)
    size = next((each.train_tokens for each in history.of(Baseline) if each.train_tokens), None)
    seen = history.latest("tokens")
    return {
        "source": _SOURCES.get(
            source, f"{as_code(source)}; its licence is {NOT_SAID}: add it here"
        ),
        "tokens in it": NOT_SAID if size is None else f"{size:,}",
        "tokens read in training": NOT_SAID if seen is None else f"{seen:,.0f}",
    }


def _recipe(history: RunHistory) -> dict[str, str]:
    config, machine = history.config, history.environment
    optimizer, command = config.get("optimizer"), repeat_command(history)
    return {
        "objective": history.objective,
        "steps": f"{history.last_step:,}",
        "windows a step": str(config.get("batch_size", NOT_SAID)),
        "optimizer": str(_at(config, "optimizer", "name") or optimizer or NOT_SAID),
        "seed": str(config.get("seed", NOT_SAID)),
        "machine": str(machine.get("gpu") or machine.get("cpu") or NOT_SAID),
        "command": as_code(command) if command else NOT_SAID,
    }


def _quality(history: RunHistory) -> dict[str, str]:
    """Held-out figures, beside guesses and, where it is known, the entropy."""
    best = history.best
    if best is None:
        return {"held-out loss": NOT_SAID}
    rows = {"held-out loss, nats a token": f"{best.loss:.3f}"}
    bits = finite(best.bits_per_byte)
    if bits is not None:
        rows["bits per byte, this model"] = f"{bits:.3f}"
    for name, value in history.baselines.items():
        rows[f"bits per byte, {_BASELINES[name]}"] = f"{value:.3f}"
    return rows


def _table(rows: dict[str, str]) -> str:
    """Two columns of Markdown; a bar in a cell must not end it."""
    lines = [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _at(config: dict[str, Any], part: str, name: str) -> Any:
    found = config.get(part)
    return found.get(name) if isinstance(found, dict) else None


def _read(path: Path) -> dict[str, Any]:
    return parse_json(read_file(path))
