"""The syllabus: the chapters in their order, and the exercises that belong to each.

Navigation, README, the site and `progress.py` all read this one table. The exercises stand in
`exercises.json`, which `make exercises` writes from the solutions, and how long a chapter takes to
read in `reading.json`, which `make chapters` writes from the chapters. Not here: the chapters
themselves (`chapters/`), and what a learner has done (`learner.py`).
"""

import functools
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True)
class Chapter:
    """A chapter: its number, its file's name, what it is called and the question it answers."""

    number: str
    topic: str
    title: str
    question: str

    @property
    def stem(self) -> str:
        """The name of its notebooks, without the ending: `03_attention`."""
        return f"{self.number}_{self.topic}"

    @property
    def filename(self) -> str:
        """The name of its notebooks: `03_attention.ipynb`, in `chapters/` and `exercises/`."""
        return f"{self.stem}.ipynb"


@dataclass(frozen=True)
class Exercise:
    """An exercise as its notebook numbers it: title, expected minutes, the checks to be passed."""

    number: int
    title: str
    minutes: int
    checks: tuple[str, ...]


CHAPTERS = tuple(
    Chapter(*line)
    for line in (
        ("00", "welcome", "Welcome", "what will I build, and how does this course work?"),
        ("01", "text_to_tokens", "Text to tokens", "how does text become numbers?"),
        ("02", "before_the_transformer", "Before the Transformer", "what is a language model?"),
        ("03", "attention", "Attention", "how does a token look at others?"),
        ("04", "positions", "Positions", "how does order get in?"),
        ("05", "transformer", "Transformer", "how is the whole machine built?"),
        ("06", "loss_and_gradient_descent", "Loss and gradient descent",
         "what is minimised, and how?"),
        ("07", "pretraining_objectives", "Pretraining objectives",
         "what can a model learn without labels?"),
        ("08", "training_loop", "Training loop", "what does a real loop need?"),
        ("09", "one_gpu_one_day", "One GPU, one day", "how do I spend a fixed budget?"),
        ("10", "scaling_out", "Scaling out", "what when one GPU is not enough?"),
        ("11", "fine_tuning", "Fine-tuning", "how does a pretrained model learn my task?"),
        ("12", "sequence_labelling", "Sequence labelling", "how do I label every token?"),
        ("13", "instructions_and_adapters", "Instructions and adapters",
         "how do I make it follow instructions, cheaply?"),
        ("14", "distillation_and_preferences", "Distillation and preferences",
         "how do I learn from a bigger model, and from what people prefer?"),
        ("15", "generation", "Generation", "how does it write?"),
        ("16", "evaluation", "Evaluation", "how good is it?"),
        ("17", "shipping", "Shipping", "how do others use it?"),
    )
)  # fmt: skip
"""Every chapter of the plan, those still to come included."""


def written(folder: Path) -> list[Chapter]:
    """The chapters whose notebooks are in a folder, in order."""
    return [chapter for chapter in CHAPTERS if (folder / chapter.filename).exists()]


@functools.cache
def exercises() -> dict[str, tuple[Exercise, ...]]:
    """The exercises of each chapter, by the chapter's number."""
    text = resources.files("llmcourse").joinpath("exercises.json").read_text("utf-8")
    return {
        number: tuple(
            Exercise(line["number"], line["title"], line["minutes"], tuple(line["checks"]))
            for line in lines
        )
        for number, lines in json.loads(text).items()
    }


@functools.cache
def reading_minutes() -> dict[str, int]:
    """How many minutes each chapter that is written takes to read, by the chapter's number."""
    return json.loads(resources.files("llmcourse").joinpath("reading.json").read_text("utf-8"))
