"""The benchmarks run, at a size that says nothing about speed."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_runs

from llmcourse.tinytown import stories as tinytown

ROOT = Path(__file__).resolve().parent.parent


def run(tmp_path: Path, name: str, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a benchmark; return what it printed and what it kept."""
    command = [sys.executable, f"benchmarks/{name}.py", *arguments, "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith(f"{name}-20")
    return done.stdout, json.loads(path.read_text())


def check_table(table: dict[str, dict[str, Any]], contenders: list[str], rounds: int) -> None:
    assert list(table) == contenders
    for row in table.values():
        low, high = row["ratio_range"]
        assert len(row["all_seconds"]) == rounds
        assert min(row["all_seconds"]) <= row["seconds"] <= max(row["all_seconds"])
        assert 0 < low <= row["ratio"] <= high
    assert table["llmcourse"]["ratio_range"] == [1.0, 1.0]


@pytest.mark.slow
def test_train_step(tmp_path: Path):
    sizes = "--d-model 16 --n-layers 1 --n-heads 2 --context-length 8 --vocab-size 32"
    counts = "--batch-size 2 --steps 1 --rounds 2 --device cpu"
    printed, kept = run(tmp_path, "train_step", *sizes.split(), *counts.split())
    gpt2, modern = kept["results"]["GPT-2 recipe"], kept["results"]["modern recipe"]
    check_table(gpt2, ["llmcourse", "transformers GPT-2", "nn.TransformerEncoder"], rounds=2)
    check_table(modern, ["llmcourse", "transformers Llama"], rounds=2)
    assert kept["settings"]["d_model"] == 16
    assert kept["environment"]["torch"] in printed
    assert "x the first's time" in printed


def test_tokenizer(tmp_path: Path):
    arguments = "--megabytes 0.05 --vocab-size 300 --rounds 2"
    printed, kept = run(tmp_path, "tokenizer", *arguments.split())
    for task in ("train", "encode"):
        check_table(kept["results"][task], ["llmcourse", "tokenizers"], rounds=2)
        assert f"{task}, 300 pieces" in printed
    assert 40_000 < kept["settings"]["bytes"] < 60_000


@pytest.mark.slow
def test_before_the_transformer(tmp_path: Path):
    sizes = "--megabytes 0.2 --vocab-size 400 --d-model 8 --steps 2 --batch-size 2 --order 3"
    printed, kept = run(tmp_path, "before_the_transformer", *sizes.split())
    models = kept["results"]["models"]
    assert models["3-gram, Kneser-Ney"]["bits_per_byte"] < models["3-gram, add 1"]["bits_per_byte"]
    assert models["1-gram, add 1"]["bits_per_byte"] < models["uniform"]["bits_per_byte"]
    assert models["LSTM"]["tokens_read"] == 2 * 2 * 128
    unseen = kept["results"]["unseen"]
    assert 0 <= unseen["1"] < unseen["2"] < unseen["3"] < 1
    assert kept["settings"]["held_out_tokens"] > 100
    assert "bits per byte" in printed


@pytest.mark.slow
def test_a_corpus_that_is_not_there_is_one_line(tmp_path: Path):
    command = [sys.executable, "benchmarks/before_the_transformer.py", "--corpus", "nothing"]
    environment = {**os.environ, "LLMCOURSE_DATA": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no *.train.jsonl.gz in ")


@pytest.mark.slow
def test_translation(tmp_path: Path):
    sizes = "--d-model 16 --n-layers 1 --n-heads 2 --steps 2 --batch-size 4"
    counts = "--limit 1000 --examples 60 --unseen 80"
    printed, kept = run(tmp_path, "translation", *sizes.split(), *counts.split())
    results = kept["results"]
    assert list(results["exact"]) == [
        "encoder-decoder",
        "commonest",
        "digits copied",
        "random digits",
    ]
    for shares in results["exact"].values():
        assert all(0 <= share <= 1 for share in shares.values())
        assert "3" in shares
        assert "2" not in shares  # short numbers are all learned: none is left to be unseen
    assert 0 < results["unseen"] < 80
    assert f"of {results['unseen']} unseen numbers" in printed


@pytest.mark.slow
def test_positions(tmp_path: Path):
    lines = [json.dumps({"text": f"The {n} cats of house {n % 7} sleep. " * 20}) for n in range(80)]
    (tmp_path / "cats.jsonl").write_text("\n".join(lines))
    sizes = f"--source {tmp_path / 'cats.jsonl'} --vocab-size 300 --context-length 16 --steps 2"
    out = tmp_path / "results"
    printed, kept = run(out, "positions", *sizes.split(), "--kinds", "learned", "rope")
    assert set(kept["results"]["learned"]) == {"uniform", "unigram", "trained length"}
    rope = kept["results"]["rope"]
    assert {"longer", "longer, linear", "longer, ntk", "longer, yarn", "longer, llama3"} <= set(
        rope
    )
    assert all(0 < bits < 10 for bits in rope.values())
    assert rope["longer, linear"] != rope["longer"]
    assert "trained length" in printed
    assert kept["settings"]["stretch"] == 4


@pytest.mark.slow
def test_attention_seeds(tmp_path: Path):
    printed, kept = run(tmp_path, "attention_seeds", "--seeds", "2", "--steps", "4")
    results = kept["results"]
    assert list(results["seeds"]) == ["0", "1"]
    for found in (*results["seeds"].values(), results["worst"]["2 steps more"]):
        assert all(0 < value <= 1 for value in found.values())
    assert results["seeds"]["0"] != results["seeds"]["1"]
    assert results["averaging"]["20 steps"] > 1
    assert "told to owner" in printed


@pytest.mark.slow
def test_plans(tmp_path: Path):
    printed, kept = run(tmp_path, "plans", "--budgets", "20s")
    found = kept["results"]["20s"]
    foretold, low_high = found["foretold"], found["foretold"]["interval"]
    assert low_high[0] < foretold["bits_per_byte"] < low_high[1]
    assert found["loss within"] == (low_high[0] <= found["found"]["bits_per_byte"] <= low_high[1])
    ratio = found["found"]["tokens"] / foretold["tokens"]
    assert found["tokens within"] == (1 / 1.25 <= ratio <= 1.25)
    assert found["found"]["tokens"] > 0
    assert "--budget 20s" in found["command"]
    assert found["command"] in printed


@pytest.mark.slow
def test_optimizers(tmp_path: Path):
    sizes = "--d-model 8 --n-layers 1 --context-length 16 --steps 3 --batch-size 4 --documents 12"
    counts = "--rates 3 --seeds 2 --held-out 8 --vocab-sizes 256 300"
    names = ["nesterov", "muon"]
    printed, kept = run(tmp_path, "optimizers", *sizes.split(), *counts.split(), "--kinds", *names)
    assert list(kept["results"]) == ["256", "300"]
    for found in kept["results"].values():
        guesses = found["baselines"]
        assert 0 < guesses["unigram"] < guesses["uniform"]
        assert list(found["optimizers"]) == names
        for row in found["optimizers"].values():
            rates = {float(rate): score for rate, score in row["searched"].items()}
            assert len(rates) >= 3
            assert row["lr"] == pytest.approx(min(rates, key=rates.__getitem__), rel=1e-4)
            assert len(row["all_bits_per_byte"]) == 2
            assert row["all_bits_per_byte"][0] == min(rates.values())
    assert kept["results"]["256"]["baselines"]["uniform"] > 8  # 257 tokens, one of no bytes
    assert "257 tokens" in printed
    assert "300 tokens" in printed


@pytest.mark.slow
def test_training_loop(tmp_path: Path):
    lines = [json.dumps({"text": f"The {n} cats of house {n % 7} sleep. " * 20}) for n in range(80)]
    (tmp_path / "cats.jsonl").write_text("\n".join(lines))
    out = tmp_path / "results"
    sizes = f"--source {tmp_path / 'cats.jsonl'} --vocab-size 300 --steps 4 --documents 30"
    printed, kept = run(out, "training_loop", *sizes.split())
    runs = kept["results"]["runs"]
    assert runs["killed and resumed"]["largest_difference_of_losses"] == 0
    assert 0 < runs["four micro-batches"]["largest_difference_of_losses"] < 0.1
    assert runs["documents kept apart"]["bits_per_byte"] != runs["plain"]["bits_per_byte"]
    padding = kept["results"]["packing"]["rows of 512"]
    assert padding["best_fit"]["padding"] < padding["one_each"]["padding"]
    assert padding["stream"]["rows"] <= padding["best_fit"]["rows"]  # nothing is fuller than it
    assert 0 < padding["of them cut by the stream"] <= padding["fit into a row"]
    used = kept["results"]["resources"]
    assert used["predicted_bytes"] == pytest.approx(used["measured_bytes"], rel=0.02)
    assert "killed and resumed" in printed


def zipped(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


@pytest.mark.slow
def test_objectives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stories = list(tinytown.stories(120))
    told = [{"text": "\n\n".join([story.text] * 2)} for story in stories]
    for part in ("train", "valid"):
        zipped(tmp_path / "pretrain_en" / f"town.{part}.jsonl.gz", told)
    sentences = [s for story in stories for s in story.sentences]
    tagged = [
        {"tokens": [t.text for t in s.tokens], "upos": [t.tag for t in s.tokens]} for s in sentences
    ]
    zipped(tmp_path / "ud_english_ewt" / "ewt.train.jsonl.gz", tagged)
    felt = [{"text": s.text, "label": int(s.sentiment > 0)} for s in sentences]
    zipped(tmp_path / "sentiment_mr" / "mr.train.jsonl.gz", felt)
    pairs = [{"en": s.text, "fr": f"phrase {n // 2}"} for n, s in enumerate(sentences)]
    zipped(tmp_path / "tatoeba" / "eng_fra.train.jsonl.gz", pairs)
    monkeypatch.setenv("LLMCOURSE_DATA", str(tmp_path))
    out, work = tmp_path / "results", tmp_path / "work"
    sizes = "--tokens 3000 --d-model 16 --n-layers 1 --n-heads 2 --vocab-size 300"
    counts = "--n-train 30 --n-test 40 --objectives clm contrastive"
    command = [*f"{sizes} {counts}".split(), "--work", str(work)]
    printed, kept = run(out, "objectives", *command)
    found = kept["results"]["objectives"]
    assert list(found) == ["clm", "contrastive"]
    assert found["clm"]["bits_per_byte"][0] > 0
    assert found["contrastive"]["bits_per_byte"] is None
    assert found["clm"]["scored"] > 20 * found["contrastive"]["scored"]
    for row in (*kept["results"]["baselines"].values(), *(r["accuracy"] for r in found.values())):
        assert list(row) == ["tagging", "sentiment", "order", "similarity"]
        assert all(0 <= low <= value <= high <= 1 for value, low, high in row.values())
    assert "bag of words" in printed
    _, again = run(out, "objectives", *command)
    assert again["results"]["objectives"] == found  # its seconds, too: nothing was done anew


def test_without_nanogpt_or_its_text_a_line_says_what_is_missing(tmp_path: Path):
    for given, missing in (("nanoGPT", "nanoGPT/train.py"), ("README.md", "README.md/train.py")):
        command = [sys.executable, "benchmarks/nanogpt.py", given, "README.md"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert done.returncode == 1
        assert done.stderr == f"error: {missing} is not there\n"


@pytest.mark.slow
def test_chapters(tmp_path: Path):
    printed, kept = run(tmp_path, "chapters", "03")
    (name, row), *others = kept["results"].items()
    assert not others
    assert name == "03_attention"
    costs = [cell["cpu_seconds"] for cell in row["slowest_cells"]]
    assert len(costs) == 3
    assert costs == sorted(costs, reverse=True)
    assert 0 < sum(costs) <= row["cpu_seconds"] + 0.2  # rounded to tenths
    assert row["slowest_cells"][0]["id"] in printed


@pytest.mark.slow
def test_finetune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = tmp_path / "base"
    small_runs.run(base, objective__name="mlm", steps=2)
    sentences = {s.text: s for story in tinytown.stories(60) for s in story.sentences}
    felt = [{"text": text, "label": int(s.sentiment > 0)} for text, s in sentences.items()]
    tagged = [
        {"tokens": [t.text for t in s.tokens], "upos": [t.tag for t in s.tokens]}
        for s in sentences.values()
    ]
    for name, stem, rows in (("sentiment_mr", "mr", felt), ("ud_english_ewt", "ewt", tagged)):
        for part, some in (("train", rows[60:]), ("valid", rows[:30]), ("test", rows[30:60])):
            zipped(tmp_path / name / f"{stem}.{part}.jsonl.gz", some)
    monkeypatch.setenv("LLMCOURSE_DATA", str(tmp_path))
    work = ["--base", str(base), "--chinese", str(base), "--work", str(tmp_path / "work")]
    what = "--tasks sentiment_mr ud_english_ewt --starts full untrained --seeds 2 --epochs 0.2"
    printed, kept = run(tmp_path / "out", "finetune", *work, *what.split(), "--no-detours")
    found = kept["results"]["tasks"]
    for row in found.values():
        for cell in row["starts"].values():
            assert len(cell["values"]) == 2
            assert cell["mean"] == pytest.approx(sum(cell["values"]) / 2)
    assert 0 < found["sentiment_mr"]["logistic regression"] <= 1
    assert found["ud_english_ewt"]["logistic regression"] is None
    assert "sentiment_mr: full" in printed
    assert str(tmp_path) not in json.dumps(kept["settings"])


@pytest.mark.slow
def test_instruct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = tmp_path / "base"
    told = {"data__source": "tinytown", "model__context_length": 96}
    small_runs.run(base, steps=4, **told)
    asked = [
        {"instruction": f"Say {n} again.", "input": "", "response": f"{n}", "output": f"{n}"}
        for n in range(40)
    ]
    pairs = [{**row, "chosen": "Yes.", "rejected": "No."} for row in asked]
    for part, rows in (("train", asked[:30]), ("valid", asked[30:35]), ("test", asked[35:])):
        zipped(tmp_path / "instruct_dolly" / f"dolly_nocontext.{part}.jsonl.gz", rows)
    zipped(tmp_path / "instruct_rasbt" / "instruction.jsonl.gz", asked)
    zipped(tmp_path / "instruct_rasbt" / "preference.jsonl.gz", pairs)
    zipped(tmp_path / "preference_oasst100" / "oasst100_pref.jsonl.gz", pairs[:1])
    monkeypatch.setenv("LLMCOURSE_DATA", str(tmp_path))
    work = ["--base", str(base), "--work", str(tmp_path / "work"), "--epochs", "1"]
    printed, kept = run(tmp_path / "out", "instruct", *work, "--seeds", "1")
    found = kept["results"]
    for name in ("instruct_dolly", "instruct_rasbt"):
        learn = [row["trainable"] for row in found[name].values()]
        assert learn == sorted(learn, reverse=True)
        assert all(
            0 <= row["win rate against the base alone"]["mean"] <= 1 for row in found[name].values()
        )
        assert "the base alone" in found[name]["full"]["baselines"]
    assert set(found["preferences"]) == {"full", "lora, rank 8"}
    assert "instruct_rasbt, full" in printed


@pytest.mark.slow
def test_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = tmp_path / "base"
    small_runs.run(base, steps=2, data__source="tinytown")
    for folder in ("blimp", "zeroshot_eval", "wikitext_eval"):
        (tmp_path / folder).mkdir()
    pairs = [{"sentence_good": f"a cat {n}", "sentence_bad": f"cat a {n}"} for n in range(3)]
    asked = [{"query": f"{n}?", "choices": ["yes", "no"], "gold": n % 2} for n in range(3)]
    zipped(tmp_path / "blimp" / "blimp.jsonl.gz", pairs)
    zipped(tmp_path / "zeroshot_eval" / "boolq.jsonl.gz", asked)
    monkeypatch.setenv("LLMCOURSE_DATA", str(tmp_path))
    only = ["--only", "held-out text", "BLiMP", "BoolQ"]
    printed, kept = run(tmp_path / "out", "evaluation", "--run", str(base), "--limit", "2", *only)
    assert list(kept["results"]) == only[1:]
    assert [figure["n"] for figure in kept["results"]["BoolQ"]] == [2] * 4
    assert kept["results"]["BLiMP"][0]["n"] == 2
    assert kept["results"]["held-out text"][0]["baselines"]["trigram"] > 0
    assert "bits per byte" in printed
    assert str(tmp_path) not in json.dumps(kept["settings"])


@pytest.mark.slow
def test_babylm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = "\n".join(f"A cat saw {n} dogs.\n\nThey ran." for n in range(400))
    for folder in ("blimp", "pretrain_en"):
        (tmp_path / folder).mkdir()
    zipped(tmp_path / "pretrain_en" / "tales.train.jsonl.gz", [{"text": text}] * 2)
    zipped(tmp_path / "pretrain_en" / "tales.test.jsonl.gz", [{"text": "not to be read"}])
    pairs = [{"sentence_good": f"a cat {n}", "sentence_bad": f"cat a {n}"} for n in range(3)]
    zipped(tmp_path / "blimp" / "blimp.jsonl.gz", pairs)
    monkeypatch.setenv("LLMCOURSE_DATA", str(tmp_path))
    work = ["--work", str(tmp_path / "work"), "--budget", "3s"]
    printed, kept = run(tmp_path / "out", "babylm", *work)
    assert kept["results"]["run"]["words"] == 2 * 400 * 7
    assert kept["results"]["run"]["tokens"] >= kept["results"]["run"]["steps"] > 0
    assert str(tmp_path) not in json.dumps(kept["results"])
    assert kept["results"]["BLiMP"][0]["n"] == 3
    assert "unigram" in printed


@pytest.mark.slow
def test_serving(tmp_path: Path):
    sizes = "--clients 4 --seconds 2 --tokens 8 --d-model 16 --n-layers 1 --n-heads 2"
    printed, kept = run(tmp_path, "serving", *sizes.split())
    results = kept["results"]
    assert results["errors"] == results["wrong"] == 0
    assert results["texts"] >= results["checked"] >= 4
    assert results["right"] + results["ties"] == results["checked"]
    assert results["tokens_per_second"] > 0
    assert 0 < results["first_piece_seconds_median"] <= results["first_piece_seconds_p95"]
    assert 0 < results["memory_mb_early"] < 4000
    assert "tokens_per_second" in printed


@pytest.mark.slow
def test_generation(tmp_path: Path):
    sizes = "--d-model 16 --n-layers 1 --n-heads 2 --context-length 32 --vocab-size 40"
    counts = "--prompt 4 --long 9 --rows 3 --new 8 --rounds 2"
    printed, kept = run(tmp_path, "generation", *sizes.split(), *counts.split())
    ours = ["llmcourse", "llmcourse, static cache", "transformers"]
    assert list(kept["results"]) == ["1 x 8 tokens after 4", "3 x 8 tokens after 9"]
    for table in kept["results"].values():
        check_table(table, ours, rounds=2)
    assert kept["settings"]["nanogpt"] is False
    assert "tokens/s" in printed


def test_records_name_no_place_of_a_machine():
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert not re.search(r"/(tmp|root|home|work|Users)/", path.read_text("utf-8")), path.name
