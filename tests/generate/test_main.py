import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from llmcourse.generate.__main__ import Options, main, token_sampler, write
from llmcourse.models.bert import BERT, bert_recipe
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.registry import save_tokenizer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's directory, as far as writing needs it, with a model that knows nothing."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    tokenizer = ByteTokenizer()
    torch.manual_seed(0)
    sizes = {"context_length": 16, "d_model": 16, "n_layers": 1, "n_heads": 2}
    model = GPT(modern_recipe(vocab_size=tokenizer.vocab_size, **sizes))
    save_model(model, path / "model")
    save_tokenizer(tokenizer, path)
    return path


def command(*arguments, **options):
    line = [sys.executable, "-m", "llmcourse.generate", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, check=False, **options)


def text(run, **options):
    return "".join(write(Options(run=run, **options)))


def test_the_command_streams_the_prompt_and_what_follows(run):
    done = command(run, "--prompt", "Ünder the", "--max-new-tokens", 30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == text(run, prompt="Ünder the", max_new_tokens=30) + "\n"
    assert done.stdout.decode().startswith("Ünder the")
    assert done.stderr == b""


def test_the_same_seed_writes_the_same_and_another_something_else(run):
    assert text(run, seed=1) == text(run, seed=1)
    assert text(run, seed=1) != text(run, seed=2)


def test_greedy_ignores_the_seed_and_sampling_does_not(run):
    assert text(run, seed=1, greedy=True) == text(run, seed=2, greedy=True)
    assert text(run, greedy=True, top_p=1.0) != text(run)


def test_every_option_has_an_effect_on_the_choice(run):
    base = text(run, seed=3, temperature=1.0, top_k=0, max_new_tokens=60)
    for option in ({"top_k": 2}, {"top_p": 0.2}, {"min_p": 0.9}, {"temperature": 0.05}):
        options = {"temperature": 1.0, "top_k": 0, **option}
        assert text(run, seed=3, max_new_tokens=60, **options) != base
    assert text(run, max_new_tokens=5) != text(run, max_new_tokens=50)


def test_the_penalty_sees_what_was_written_and_the_prompt():
    draw = token_sampler(
        Options(run=Path(), greedy=True, repetition_penalty=10.0), torch.tensor([[3]])
    )
    scores = torch.tensor([[1.0, 2.0, 3.0, 9.0]])
    assert [int(draw(scores)) for _ in range(4)] == [2, 1, 0, 3]


def test_it_ends_with_the_document(run, monkeypatch):
    eot = ByteTokenizer().eot_id
    script = iter([72, 105, eot, 33])
    monkeypatch.setattr(
        "llmcourse.generate.__main__.token_sampler",
        lambda options, ids: lambda logits: torch.tensor([next(script)]),
    )
    assert text(run) == "Hi"


def test_half_a_character_at_the_end_is_no_crash(run, monkeypatch):
    monkeypatch.setattr(
        "llmcourse.generate.__main__.token_sampler",
        lambda options, ids: lambda logits: torch.tensor([0xC3]),
    )
    assert text(run, max_new_tokens=1) == "\ufffd"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temperature", "-1"], "temperature=-1.0 must be"),
        (["--temperature", "0"], "greedy"),
        (["--top-p", "1.5"], "top_p=1.5 must be above 0 and at most 1"),
        (["--top-k", "-3"], "top_k=-3 must be at least 1"),
        (["--min-p", "2"], "min_p=2.0 must lie between 0 and 1"),
        (["--repetition-penalty", "0.5"], "repetition_penalty=0.5 must be"),
        (["--max-new-tokens", "0"], "max_new_tokens=0 must be at least 1"),
        (["--device", "quantum"], "device 'quantum' is unknown"),
        (["--temprature", "1"], "did you mean --temperature?"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_bad_options_are_one_line_and_status_two(run, capsys, arguments, said):
    with pytest.raises(SystemExit) as end:
        main([str(run), *arguments])
    captured = capsys.readouterr()
    assert end.value.code == 2
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def copy(run, to):
    shutil.copytree(run, to)
    return to


def test_directories_that_are_no_run(run, tmp_path, capsys):
    def error(path):
        with pytest.raises(SystemExit):
            main([str(path)])
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "there is no run directory" in error(tmp_path / "nowhere")
    assert "holds no model/" in error(tmp_path)
    damaged = copy(run, tmp_path / "damaged")
    (damaged / "model" / "model.safetensors").write_bytes(b"no weights")
    assert "model.safetensors" in error(damaged)
    lost = copy(run, tmp_path / "lost")
    (lost / "tokenizer.json").unlink()
    assert "tokenizer" in error(lost)
    other = copy(run, tmp_path / "other")
    sizes = {"context_length": 8, "d_model": 8, "n_layers": 1, "n_heads": 1}
    save_model(GPT(modern_recipe(vocab_size=99, **sizes)), other / "model")
    assert "257 tokens and the model 99: they are not of the same run" in error(other)
    assert "RUN" in command().stderr.decode()


def test_a_model_that_does_not_go_on_with_a_text(tmp_path, capsys):
    sizes = {"vocab_size": 257, "context_length": 16, "d_model": 16, "n_layers": 1, "n_heads": 2}
    save_model(BERT(bert_recipe(**sizes)), tmp_path / "model")
    save_tokenizer(ByteTokenizer(), tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "holds a model of the family bert, which does not go on with a text" in said
    assert said.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(run):
    line = [sys.executable, "-m", "llmcourse.generate", str(run), "--max-new-tokens", "100000"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(20)
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_ctrl_c_ends_it_quietly(run, monkeypatch, capsys):
    def interrupted(options):
        yield "some text"
        raise KeyboardInterrupt

    monkeypatch.setattr("llmcourse.generate.__main__.write", interrupted)
    assert main([str(run)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_help_is_fast_because_it_brings_no_torch():
    code = (
        "import sys, contextlib, runpy; sys.argv = ['generate', '--help']\n"
        "with contextlib.suppress(SystemExit):\n"
        "    runpy.run_module('llmcourse.generate', run_name='__main__')\n"
        "assert not {'torch', 'numpy', 'sentencepiece'} & set(sys.modules)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"--repetition-penalty" in done.stdout
    assert time.monotonic() - started < 10


def test_any_locale_will_do(run):
    done = command(
        run, "--prompt", "naïve 你好", "--max-new-tokens", 3,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(errors="replace").startswith("naïve 你好")
