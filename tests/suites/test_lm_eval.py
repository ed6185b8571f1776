"""The field's own harness on a model that we exported: the same figures from the same questions."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from llmcourse.export.huggingface import to_huggingface
from llmcourse.suites import pairs, questions, text
from llmcourse.suites.base import Asked
from llmcourse.suites.subject import load_subject
from llmcourse.tinytown.stories import stories

QUESTIONS = [
    {"query": "Mia had a", "choices": ["cat", "small dog", "box of buttons"], "gold": 2},
    {"query": "It was a rainy day. Tom took an", "choices": ["umbrella", "hat"], "gold": 0},
    {"query": "They went to the", "choices": ["zoo", "lighthouse", "market hall"], "gold": 1},
    {"query": "Nora was very", "choices": ["happy", "sad", "proud of it"], "gold": 0},
    {"query": "The cat", "choices": ["meowed", "barked very loudly at the moon"], "gold": 0},
    {"query": "On Monday", "choices": ["it rained", "it snowed a lot", "the sun shone"], "gold": 2},
]
PAIRS = [
    {"sentence_good": "The cat meowed.", "sentence_bad": "The cat barked."},
    {"sentence_good": "Mia had a dog.", "sentence_bad": "Mia had an dog."},
    {"sentence_good": "It rained on Monday.", "sentence_bad": "It on Monday rained."},
    {"sentence_good": "They went home.", "sentence_bad": "They goed home."},
]
TASKS = {
    "ours_choice": """
        output_type: multiple_choice
        doc_to_text: "{{query}}"
        doc_to_choice: choices
        doc_to_target: gold
        metric_list: [{metric: acc}, {metric: acc_norm}]
    """,
    "ours_pairs": """
        output_type: multiple_choice
        doc_to_text: ""
        target_delimiter: ""
        doc_to_choice: "{{[sentence_good, sentence_bad]}}"
        doc_to_target: 0
        metric_list: [{metric: acc}]
    """,
    "ours_text": """
        output_type: loglikelihood_rolling
        doc_to_text: ""
        doc_to_target: text
        metric_list: [{metric: bits_per_byte}, {metric: word_perplexity}]
    """,
}
SCRIPT = """
    import json, sys
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tasks, out = sys.argv[1:]
    lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=1)
    names = ["ours_choice", "ours_pairs", "ours_text"]
    manager = TaskManager(include_path=tasks, include_defaults=False)
    found = lm_eval.simple_evaluate(lm, tasks=names, task_manager=manager, bootstrap_iters=0)
    chosen = {name: [one["filtered_resps"] for one in found["samples"][name]] for name in names}
    json.dump({"results": found["results"], "samples": chosen}, open(out, "w"), default=str)
"""


def write_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm_eval")
    told = [story.text for story in stories(3, seed=9)]
    long = " ".join(story.text for story in stories(6, seed=10))  # several windows
    return {
        "folder": folder,
        "ours_choice": write_lines(folder / "choice.jsonl", QUESTIONS),
        "ours_pairs": write_lines(folder / "pairs.jsonl", PAIRS),
        "ours_text": write_lines(folder / "text.jsonl", [{"text": one} for one in [*told, long]]),
    }


@pytest.fixture(scope="module")
def exported(run, files):
    """The run's model in the library's format, and what the harness finds of it."""
    subject = load_subject(run, "cpu")
    model, tasks = files["folder"] / "model", files["folder"] / "tasks"
    to_huggingface(subject.model, model, subject.tokenizer)
    tasks.mkdir()
    for name, body in TASKS.items():
        lines = [f"task: {name}", "dataset_path: json", "test_split: test", "dataset_kwargs:"]
        lines += ["  data_files:", f"    test: {files[name]}", textwrap.dedent(body)]
        (tasks / f"{name}.yaml").write_text("\n".join(lines))
    out = files["folder"] / "found.json"
    home = {"HF_HOME": str(files["folder"] / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(model), str(tasks), str(out)],
        env=os.environ | home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return model, json.loads(out.read_text())


@pytest.mark.slow
def test_an_exported_model_has_the_same_figures_in_lm_eval(run, exported, files):
    model, found = exported
    results = found["results"]
    for subject in (load_subject(run, "cpu"), load_subject(model, "cpu")):
        figures = questions.measure(subject, Asked(data=files["ours_choice"]))
        by = {figure.name: figure.interval.value for figure in figures}
        assert by["accuracy (sum)"] == results["ours_choice"]["acc,none"]
        assert by["accuracy (by byte)"] == results["ours_choice"]["acc_norm,none"]
        (accuracy,) = pairs.measure(subject, Asked(data=files["ours_pairs"]))
        assert accuracy.interval.value == results["ours_pairs"]["acc,none"]
        # The harness reads windows side by side: a stride of the whole context.
        asked = Asked(data=files["ours_text"], stride=subject.scorer.longest - 1)
        bits = text.measure(subject, asked)[0].interval.value
        assert bits == pytest.approx(results["ours_text"]["bits_per_byte,none"], rel=1e-5)


@pytest.mark.slow
def test_each_answer_has_the_same_log_probability(run, exported, files):
    from llmcourse.evaluate.choices import read_questions, score_questions

    _, found = exported
    subject = load_subject(run, "cpu")
    asked = read_questions(files["ours_choice"])
    ours = score_questions(subject.scorer, subject.encode, asked, subject.begin)
    for one, theirs in zip(ours, found["samples"]["ours_choice"], strict=True):
        assert one.log_probs == pytest.approx([float(pair[0]) for pair in theirs], abs=1e-3)
