"""Small twins of all that can be trained, prepared and exported, for `tools/torture.py`.

A job is a command that takes a second, and a picture of what it leaves behind that must be the same
however often the command was killed on the way.
"""

import dataclasses
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file
from small_runs import flags, log_of, small, state_of, twin, weights_of

from llmcourse.export.__main__ import main as export
from llmcourse.finetune.__main__ import main as finetune
from llmcourse.objectives.registry import OBJECTIVES
from llmcourse.prepare.__main__ import main as prepare
from llmcourse.tinytown import tasks
from llmcourse.tinytown.stories import stories
from llmcourse.train.__main__ import main as train
from llmcourse.train.presets import PRESETS

STEPS = {"steps": 8, "save_every": 2, "evaluate_every": 4, "log_every": 1, "keep_last": 2}
METHODS = ("full", "gradual", "lora", "prompt", "prefix")


@dataclass(frozen=True)
class Job:
    """A command, and what it leaves behind.

    Attributes:
        name: what it is called in the results.
        main: the command.
        arguments: what it is told, `--out` aside.
        picture: what is to be compared of its folder.
        resumes: whether it goes on with a folder in which it has begun.
    """

    name: str
    main: Callable[[list[str]], int]
    arguments: list[str]
    picture: Callable[[Path], dict[str, Any]]
    resumes: bool = True

    def run(self, out: Path) -> int:
        """Start it in a folder, or go on there; returns the exit status."""
        begun = self.resumes and (out / "config.json").exists()
        return self.main([*self.arguments, "--out", str(out), *["--resume"] * begun])


def trained(out: Path) -> dict[str, Any]:
    """What must be the same of a run of `train`."""
    page = (out / "report.html").read_text()
    best = load_file(out / "model" / "model.safetensors")
    return {
        **weights_of(out),
        **{f"best/{name}": array.tobytes() for name, array in best.items()},
        "state": state_of(out),
        "log": log_of(out),
        "samples": (out / "samples.md").read_text(),
        "report is whole": page.endswith("</html>\n") and "was killed" not in page,
    }


def tuned(out: Path) -> dict[str, Any]:
    """What must be the same of a run of `finetune`."""
    files = sorted((out / "model").rglob("*.safetensors"))
    best = {
        f"{path.relative_to(out)}/{name}": array.tobytes()
        for path in files
        for name, array in load_file(path).items()
    }
    return {
        **weights_of(out),
        **best,
        "log": log_of(out),
        "results": json.loads((out / "results.json").read_text()),
        "report is whole": (out / "report.html").read_text().endswith("</html>\n"),
    }


def prepared(out: Path) -> dict[str, Any]:
    """What must be the same of a prepared folder: all but its report, which tells times."""
    names = sorted(path.name for path in out.iterdir())
    kept = [name for name in names if not name.startswith("report")]
    read = {True: lambda path: gzip.decompress(path.read_bytes()), False: Path.read_bytes}
    return {"names": names} | {name: read[name.endswith(".gz")](out / name) for name in kept}


def exported(out: Path) -> dict[str, Any]:
    """What must be the same of an export."""
    return {path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(out.rglob("*")) if path.is_file()}  # fmt: skip


def training_jobs() -> Iterator[Job]:
    """A twin of every preset, and a run by every objective."""
    for name in PRESETS:
        settings = dataclasses.replace(twin(name, "out"), **STEPS)
        yield Job(f"preset {name}", train, _without_out(flags(settings)), trained)
    for name in OBJECTIVES:
        settings = small(Path("out"), **STEPS, objective__name=name, sample_tokens=4,
                         data__max_megabytes=0.05)  # fmt: skip
        yield Job(f"objective {name}", train, _without_out(flags(settings)), trained)


def base_job() -> Job:
    """What is adapted and exported: it reads as much at once as a question and its answer take."""
    settings = small(Path("out"), **STEPS, model__context_length=96, model__dropout=0.0)
    return Job("base", train, _without_out(flags(settings)), trained)


def tuning_jobs(base: Path, folder: Path) -> Iterator[Job]:
    """Every task, and every method, from one base.

    Args:
        base: a finished run of `train`.
        folder: where the examples are written.
    """
    sources = write_examples(folder)
    every = [(task, "full") for task in sources] + [("instruct", name) for name in METHODS[1:]]
    for task, method in every:
        given = ["--base", str(base), "--task", task, "--method", method, "--epochs", "2",
                 "--data", str(sources[task]), "--data.leaks", "drop", "--data.held-out", "0.2",
                 "--batch-size", "8", "--evaluations", "3", "--device", "cpu",
                 "--precision", "fp32"]  # fmt: skip
        given += ["--teacher", str(base)] if task == "distill" else []
        yield Job(f"finetune {task}, {method}", finetune, given, tuned)


def other_jobs(base: Path, folder: Path) -> Iterator[Job]:
    """What has no checkpoints: it is there whole, or not at all."""
    text = folder / "text.txt"
    text.write_text("".join(f"In year {n} the mill by the river burned.\n" for n in range(300)))
    given = [str(text), "--no-filter", "--tokenizer", "byte"]
    yield Job("prepare", prepare, given, prepared, resumes=False)
    for name in ("int8", "hf"):
        yield Job(f"export {name}", export, [str(base), "--format", name], exported, resumes=False)


def write_examples(folder: Path) -> dict[str, Path]:
    """A small file of examples for every task of fine-tuning."""
    told = list(stories(40, 3))
    asked = [
        {"question": f"{story.sentences[0].text} {question.text}", "answer": question.answer}
        for story in told
        for question in tasks.questions(story)[:1]
    ]
    words = [story.text.split()[:8] for story in told]
    rows = {
        "classification": [{"text": f"{w[0]} {w[1]} {n}", "label": "xy"[n % 2]}
                           for n, w in enumerate(words)],
        "tagging": [{"tokens": w, "tags": [("O", "B-BIG")[part[0].isupper()] for part in w]}
                    for w in words],
        "instruct": asked,
        "preference": [{"prompt": row["question"], "chosen": row["answer"] + ".",
                        "rejected": "I do not know."} for row in asked],
        "distill": [{"text": story.text} for story in told],
    }  # fmt: skip
    found = {}
    for task, lines in rows.items():
        found[task] = folder / f"{task}.jsonl"
        found[task].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return found


def _without_out(arguments: list[str]) -> list[str]:
    at = arguments.index("--out")
    return arguments[:at] + arguments[at + 2 :]
