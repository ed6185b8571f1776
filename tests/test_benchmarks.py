"""The benchmarks run, at a size that says nothing about speed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
