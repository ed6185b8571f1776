"""Every explorer of the package, small: what `viz/test_explorers.py` and the browser play with.

The functions are what a cell of a notebook calls, so they need nothing of pytest.
"""

import time
from collections.abc import Callable, Iterable

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from llmcourse.errors import UserError
from llmcourse.labs.tagging import PathScores
from llmcourse.models.gpt import GPT, gpt2_recipe
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.viz import (
    attention,
    descent,
    diagnosis,
    formats,
    layers,
    machine,
    next_words,
    objectives,
    pipeline,
    positions,
    rounding,
    scaling,
    schedules,
    soft_targets,
    style,
    trellis,
)
from llmcourse.viz.widgets import Explorer, slider
from tests.small_runs import history_of

SENTENCE = "Mia lost her bell"
UNKNOWN = "Mia lost her zebra"


class FewWords(ByteTokenizer):
    """A tokenizer that does not know every word, like that of chapter 03's small world."""

    def encode(self, text: str) -> list[int]:
        unknown = [word for word in text.split() if word == "zebra"]
        if unknown:
            raise UserError(f"{unknown[0]!r} is not a word of this world")
        return super().encode(text)


def gpt(vocab_size: int) -> GPT:
    sizes = {"context_length": 16, "d_model": 16, "n_layers": 2, "n_heads": 2}
    return GPT(gpt2_recipe(vocab_size=vocab_size, **sizes)).eval()


def of_attention() -> Explorer:
    tokenizer = FewWords()
    return attention.attention_explorer(gpt(tokenizer.vocab_size), tokenizer, SENTENCE)


def of_ngrams() -> Explorer:
    tokenizer, texts = town()
    end = tokenizer.eot_id
    counts = count_ngrams([[end, *tokenizer.encode(text), end] for text in texts], 3, 500)
    return next_words.ngram_explorer(counts, tokenizer, "On", orders=(1, 2, 3))


def of_machine() -> Explorer:
    walks = {f"w{at}": machine.walk(gpt(12), torch.tensor([3, 1, 4]), position=at) for at in (0, 2)}
    return machine.machine_explorer(walks, [f"word {number}" for number in range(12)])


def of_masks() -> Explorer:
    tokenizer, texts = town()
    return objectives.mask_explorer(tokenizer, texts[0][:80])


def of_runs() -> Explorer:
    return diagnosis.explorer(
        {"well": history_of(2.0), "slow": history_of(5.8), "numb": history_of(3.0, norm=0.0)}
    )


def of_paths() -> Explorer:
    scores = PathScores(torch.zeros(3), torch.zeros(3, 3), torch.zeros(3))
    emissions = torch.tensor([[1.0, 0, 0], [0, 0.7, 1], [0.5, 0, 1]])
    names = SENTENCE.split()[:3], ["O", "B", "I"]
    return trellis.trellis_explorer(scores, emissions, *names, at=(2, 2), pair=(1, 2))


def of_temperatures() -> Explorer:
    logits = torch.tensor([3.0, 1.0, 0.0, -1.0])
    return soft_targets.temperature_explorer(logits, SENTENCE.split())


def of_a_reader() -> Explorer:
    """As one would write it in a cell, by pyplot."""

    def waves(frequency: float, phase: float) -> Figure:
        drawn, ax = plt.subplots(figsize=(6, 2.5))
        grid = np.linspace(0, 1, 200)
        ax.plot(grid, np.sin(frequency * grid + phase))
        ax.set(title=f"frequency {frequency}", ylim=(-1.1, 1.1))
        return drawn

    return Explorer(waves, frequency=slider(5, 1, 60), phase=slider(0.0, 0.0, 6.0))


def town() -> tuple[Tokenizer, list[str]]:
    texts = [story.text for story in tinytown.stories(30)]
    return BPETokenizer.train(texts, 500), texts


EXPLORERS: dict[str, Callable[[], Explorer]] = {
    "attention": of_attention,
    "budgets": scaling.budget_explorer,
    "descent": descent.descent_explorer,
    "formats": formats.explorer,
    "layers": layers.layer_explorer,
    "machine": of_machine,
    "masks": of_masks,
    "ngrams": of_ngrams,
    "paths": of_paths,
    "pipeline": pipeline.pipeline_explorer,
    "reader": of_a_reader,
    "rotation": positions.rotation_explorer,
    "rounding": lambda: rounding.rounding_explorer(torch.linspace(-1, 2, 24).view(4, 6)),
    "runs": of_runs,
    "schedules": schedules.schedule_explorer,
    "soft targets": of_temperatures,
    "softmax": lambda: attention.softmax_explorer(
        torch.tensor([0.1, 2.0, -1.0, 0.5]), list("abcd")
    ),
    "temperature": lambda: objectives.temperature_explorer(torch.eye(12) * 1.4 - 0.5),
}


def troubles(explorer: Explorer) -> list[str]:
    """What is wrong with the picture that an explorer shows: nothing, if it was drawn in peace."""
    shown = bytes(explorer.picture.value)
    explorer._shown = {}
    explorer._redraw()
    found = [] if bytes(explorer.picture.value) == shown else ["it is not what its controls say"]
    with style.aside():
        alone = explorer._draw(**explorer.values)
    style.png(alone)
    plt.close(alone)
    ours = explorer._layout
    for ax, place in zip(alone.axes, ours._axes, strict=True):
        moved = np.abs(np.array(ax.get_position(original=True).bounds) - place.bounds).max()
        found += [f"axes stand {moved:.3f} from where they should"] if moved > 0.02 else []
    return found


def settled(explorers: Iterable[Explorer], most_seconds: float = 60) -> None:
    """Wait until every explorer shows what its controls say, and two seconds bring nothing new."""
    explorers, give_up = list(explorers), time.monotonic() + most_seconds
    quiet, before = 0, None
    while quiet < 20 and time.monotonic() < give_up:
        now = [explorer.values for explorer in explorers]
        still = now == before and now == [explorer._shown for explorer in explorers]
        quiet, before = quiet + 1 if still else 0, now
        time.sleep(0.1)
