import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.__main__ import Options, load_run, main, token_sampler, write
from llmcourse.generate.beam import beam_search
from llmcourse.models.bert import BERT, bert_recipe
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.tokenizers.bpe import BPETokenizer
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
        (["--typical-p", "0"], "typical_p=0.0 must be above 0 and at most 1"),
        (["--frequency-penalty", "inf"], "frequency_penalty=inf must be a finite number"),
        (["--presence-penalty", "nan"], "presence_penalty=nan must be a finite number"),
        (["--max-new-tokens", "0"], "max_new_tokens=0 must be at least 1"),
        (["--beams", "-1"], "beams and no_repeat_ngram must not be negative"),
        (["--no-repeat-ngram", "-2"], "must not be negative"),
        (["--n-draft", "0"], "n_draft at least 1"),
        (["--beams", "2", "--length-penalty", "nan"], "length_penalty=nan must be a finite"),
        (["--beams", "2", "--regex", "a"], "--beams and --regex cannot be combined"),
        (["--chat", "--beams", "2", "--prompt", "a"], "--chat and --beams cannot be combined"),
        (["--beams", "2", "--prompt", "a b c d e"], "do not fit into the context_length of 16"),
        (["--regex", "[a"], "[a"),
        (["--regex", "a{30}", "--max-new-tokens", "9"], "the shortest text that matches has 30"),
        (["--json-schema", "no/such.json"], "cannot read no/such.json"),
        (["--draft", "no/such/run"], "there is no run directory no/such/run"),
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


def test_beams_write_what_the_search_finds(run):
    options = {"prompt": "a", "max_new_tokens": 6}
    assert text(run, beams=1, **options) == text(run, greedy=True, **options)
    model, tokenizer = load_run(run)
    ids = torch.tensor([[tokenizer.eot_id, *tokenizer.encode("a")]])
    search = {"n_beams": 5, "max_new_tokens": 6, "stop_ids": (tokenizer.eot_id,)}
    for penalty in (0.0, 2.0):
        best = beam_search(model, ids, length_penalty=penalty, **search).best[0].tokens
        wanted = "a" + tokenizer.decode([token for token in best if token != tokenizer.eot_id])
        assert text(run, beams=5, length_penalty=penalty, **options) == wanted


@pytest.mark.parametrize("seed", range(4))
def test_a_regex_is_kept_to_whatever_the_model_says(run, seed):
    written = text(run, regex="(Mia|Tom) [0-9]{2,3}", seed=seed, temperature=1.0, top_k=0)
    assert re.fullmatch("(Mia|Tom) [0-9]{2,3}", written)


@pytest.mark.parametrize("seed", range(4))
def test_json_is_valid_by_its_schema(run, tmp_path, seed):
    schema = tmp_path / "person.json"
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"is_old": {"type": "boolean"}, "kind": {"enum": ["cat", "dog"]}},
                "required": ["is_old", "kind"],
                "additionalProperties": False,
            }
        )
    )
    found = json.loads(text(run, json_schema=schema, seed=seed))
    assert set(found) == {"is_old", "kind"}
    assert found["is_old"] in (True, False)
    assert found["kind"] in ("cat", "dog")


def test_what_is_no_json_is_told(run, tmp_path, capsys):
    schema = tmp_path / "broken.json"
    schema.write_text("{")
    with pytest.raises(SystemExit):
        main([str(run), "--json-schema", str(schema)])
    said = capsys.readouterr().err
    assert "is not JSON" in said
    assert said.count("\n") == 1


def test_a_draft_changes_no_greedy_text(run, tmp_path):
    draft = copy(run, tmp_path / "draft")
    torch.manual_seed(9)
    sizes = {"context_length": 16, "d_model": 8, "n_layers": 1, "n_heads": 1}
    save_model(GPT(modern_recipe(vocab_size=257, **sizes)), draft / "model")
    options = {"greedy": True, "prompt": "a", "max_new_tokens": 12}
    assert text(run, draft=draft, **options) == text(run, **options)
    assert text(run, draft=draft, prompt="a", max_new_tokens=12, seed=1) != text(run, **options)


def test_a_draft_with_other_tokens_is_refused(run, tmp_path, capsys):
    draft = copy(run, tmp_path / "draft")
    tokenizer = BPETokenizer.train(["a cat a cat"], vocab_size=260)
    sizes = {"context_length": 16, "d_model": 8, "n_layers": 1, "n_heads": 1}
    save_model(GPT(modern_recipe(vocab_size=tokenizer.vocab_size, **sizes)), draft / "model")
    save_tokenizer(tokenizer, draft)
    with pytest.raises(SystemExit):
        main([str(run), "--draft", str(draft), "--max-new-tokens", "5"])
    captured = capsys.readouterr()
    assert "were trained with different tokenizers" in captured.err
    assert captured.out == ""


def test_penalties_and_ngrams_change_the_text(run):
    base = {"greedy": True, "max_new_tokens": 12}
    plain = text(run, **base)
    stuck = text(run, frequency_penalty=-9.0, **base)  # below 0 it rewards
    assert plain != stuck == 12 * stuck[0]
    assert text(run, presence_penalty=-9.0, **base) == stuck
    assert text(run, frequency_penalty=-9.0, no_repeat_ngram=2, **base) != stuck
    drawn = {"temperature": 1.0, "top_k": 0}
    assert text(run, typical_p=0.2, **drawn) != text(run, **drawn)


def test_nothing_left_to_say_is_told():
    options = Options(run=Path(), no_repeat_ngram=1, temperature=1.0)
    draw = token_sampler(options, torch.tensor([[0]]))
    assert {int(draw(torch.zeros(1, 3))) for _ in range(2)} == {1, 2}
    with pytest.raises(UserError, match="every token that may come is ruled out"):
        draw(torch.zeros(1, 3))


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
    with pytest.raises(SystemExit) as end:
        main([str(run)])
    assert end.value.code == 130
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
