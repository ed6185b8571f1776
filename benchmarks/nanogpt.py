"""The capstone beside nanoGPT, on tiny Shakespeare, in nanoGPT's own configuration for a CPU.

    python benchmarks/nanogpt.py PATH/TO/nanoGPT PATH/TO/input.txt              many minutes
    python benchmarks/nanogpt.py PATH/TO/nanoGPT PATH/TO/input.txt --steps 40   a look

First a step of training: nanoGPT's model and ours by the same recipe, in turns, and the kernels
that take most of it. Then whole runs, as
their users start them: nanoGPT's `train.py` with the arguments of its README (4 layers, width 128,
12 windows of 64 characters a step), `llmcourse.train` for as many tokens, and again for so few
(`--short`) that it ends near nanoGPT's loss. One process at a time goes on for some seconds while
the others are halted, so that all meet the same machine; what counts is processor time. At the end
all of the held-out text scores each of them.

Both have one thread. nanoGPT (Karpathy, 2022) is used as it lies there.
Needs a system with SIGSTOP.
"""

import argparse
import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measure import RESULTS, compare, keep, show, take_turns
from torch import Tensor, nn

from llmcourse.models.files import load_model
from llmcourse.models.gpt import GPT, gpt2_recipe
from llmcourse.objectives.clm import CausalLM
from llmcourse.runs.directory import RunDirectory
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.loop import divide_and_clip, forward_backward, step
from llmcourse.train.optimizers import build_optimizers
from llmcourse.train.settings import OptimizerSettings

BATCH, CONTEXT, WIDTH, LAYERS, HEADS = 12, 64, 128, 4, 4
EVALUATIONS, WINDOWS = 8, 40 * BATCH
"""How often a run evaluates, and on how many windows: nanoGPT takes 20 batches of either split."""

KERNELS = 6
"""How many kernels of a step are named."""

Logits = Callable[[Tensor], Tensor]


# --- a step ---------------------------------------------------------------------------------------


def load_nanogpt(folder: Path) -> Any:
    """nanoGPT's `model.py` as a module."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", folder / "model.py")
    if spec is None or spec.loader is None or not (folder / "train.py").is_file():
        raise SystemExit(f"error: {folder} holds no nanoGPT: train.py and model.py are missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def nanogpt_steps(nanogpt: Any, tokens: Tensor, vocab_size: int) -> Callable[[], None]:
    """A step as in nanoGPT's `train.py`, without its mixed precision, which a CPU has not."""
    shape = {"block_size": CONTEXT, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
    model = nanogpt.GPT(nanogpt.GPTConfig(vocab_size=vocab_size, dropout=0.0, bias=False, **shape))
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")

    def take() -> None:
        _, loss = model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return take


def our_steps(tokens: Tensor, vocab_size: int, *, compiled: bool) -> Callable[[], None]:
    """The capstone's own step, with the same model: GPT-2's parts, exact GELU and no biases."""
    shape = {"context_length": CONTEXT, "n_layers": LAYERS, "n_heads": HEADS, "d_model": WIDTH}
    model = GPT(gpt2_recipe(vocab_size=vocab_size, mlp="gelu_exact", bias=False, **shape))
    optimizers = build_optimizers(model, OptimizerSettings(name="adamw", weight_decay=0.1))
    objective, scaler = CausalLM(), torch.amp.GradScaler("cpu", enabled=False)
    wrapped = torch.compile(model) if compiled else model

    def take() -> None:
        sums = forward_backward(wrapped, objective, objective.prepare(tokens))
        divide_and_clip(model, sums[1], 1.0)
        step(optimizers, scaler)

    return take


def measure_step(nanogpt: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Both steps, in turns."""
    torch.set_num_threads(1)
    vocab_size = 65
    tokens = torch.randint(vocab_size, (BATCH, CONTEXT + 1))
    contenders = {
        "nanoGPT": nanogpt_steps(nanogpt, tokens, vocab_size),
        "llmcourse": our_steps(tokens, vocab_size, compiled=False),
    }
    if options.compile:
        contenders["llmcourse, compiled"] = our_steps(tokens, vocab_size, compiled=True)

    def turn(take: Callable[[], None]) -> Callable[[], None]:
        return lambda: [take() for _ in range(options.turn)] and None

    turns = {name: turn(take) for name, take in contenders.items()}
    table = compare(take_turns(turns, options.rounds, clock=time.process_time))
    show(f"a step, turns of {options.turn}", table, options.turn * BATCH * CONTEXT, "tokens")
    for name, take in turns.items():
        table[name]["kernels"] = kernels(take)
        said = ", ".join(
            f"{kernel} {share:.0%}" for kernel, share in table[name]["kernels"].items()
        )
        print(f"  {name:<24} {said}")
    return table


def kernels(take: Callable[[], None]) -> dict[str, float]:
    """Where a step's time goes: the largest shares, by the library's names for its kernels."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        take()
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    largest = sorted(times, key=lambda kernel: -times[kernel])[:KERNELS]
    return {kernel: round(times[kernel] / sum(times.values()), 3) for kernel in largest}


# --- whole runs -----------------------------------------------------------------------------------


def write_nanogpt_data(text: str, folder: Path) -> np.ndarray:
    """The text as nanoGPT's `data/shakespeare_char/prepare.py` leaves it; the held-out ids."""
    characters = sorted(set(text))
    ids = {character: number for number, character in enumerate(characters)}
    data = np.array([ids[character] for character in text], dtype=np.uint16)
    cut = len(text) * 9 // 10
    folder.mkdir(parents=True)
    data[:cut].tofile(folder / "train.bin")
    data[cut:].tofile(folder / "val.bin")
    meta = {"vocab_size": len(characters), "itos": dict(enumerate(characters)), "stoi": ids}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    return data[cut:].astype(np.int64)


def nanogpt_command(options: argparse.Namespace) -> list[str]:
    """The command of nanoGPT's README for a machine without a GPU."""
    given = {"device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 100}
    given |= {"block_size": CONTEXT, "batch_size": BATCH, "n_layer": LAYERS, "n_head": HEADS}
    given |= {"n_embd": WIDTH, "max_iters": options.steps, "lr_decay_iters": options.steps}
    # What its configuration says for 2,000 steps, in proportion.
    given |= {"dropout": 0.0, "eval_interval": max(1, options.steps // EVALUATIONS)}
    given |= {"warmup_iters": options.steps // 20, "always_save_checkpoint": True}
    flags = [f"--{name}={value}" for name, value in given.items()]
    return [sys.executable, "train.py", "config/train_shakespeare_char.py", *flags]


def our_command(folder: Path, steps: int, out: Path) -> list[str]:
    """The capstone on the same text, for so many steps, its recipe as it is."""
    given = {"data.source": folder / "train.txt", "data.valid": folder / "valid.txt"}
    given |= {"data.tokenizer": "char", "model.context-length": CONTEXT, "batch-size": BATCH}
    given |= {"model.n-layers": LAYERS, "model.n-heads": HEADS, "model.d-model": WIDTH}
    given |= {"steps": steps, "evaluate-every": max(1, steps // EVALUATIONS), "out": out}
    given |= {"evaluate-windows": WINDOWS, "save-every": max(1, steps // EVALUATIONS)}
    given |= {"device": "cpu", "sample-tokens": 0, "optimizer.matrix-lr": 0.04}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "llmcourse.train", *arguments]


def take_slices(commands: dict[str, tuple[list[str], Path]], seconds: float) -> dict[str, float]:
    """Run all, one at a time, some seconds each; the processor seconds of each.

    Raises:
        SystemExit: one of them failed; says what it wrote last.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    running: dict[str, Any] = {}
    for name, (command, folder) in commands.items():
        log = open(folder / f"{name.replace(' ', '_').replace(',', '')}.log", "wb")  # noqa: SIM115
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        # Not `send_signal`, which looks whether it has ended, and takes the account with it.
        os.kill(process.pid, signal.SIGSTOP)
        running[name] = (process, log)
    used: dict[str, float] = {}
    while running:
        for name, (process, log) in list(running.items()):
            os.kill(process.pid, signal.SIGCONT)
            pid, status, usage = wait(process.pid, seconds)
            if not pid:
                os.kill(process.pid, signal.SIGSTOP)
                continue
            log.close()
            used[name] = usage.ru_utime + usage.ru_stime
            del running[name]
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                for other, _ in running.values():
                    other.kill()
                raise SystemExit(f"error: {name}: {Path(log.name).read_text()[-2000:]}")
            print(f"{name}: {used[name]:.0f} s", flush=True)
    return used


def wait(pid: int, seconds: float) -> tuple[int, int, Any]:
    """`os.wait4` for at most so many seconds; the pid is 0 where the process still runs."""
    end = time.monotonic() + seconds
    while True:
        found = os.wait4(pid, os.WNOHANG)
        if found[0] or time.monotonic() > end:
            return found
        time.sleep(0.02)


def score(logits: Logits, ids: np.ndarray) -> float:
    """Mean cross-entropy, nats a character, over all windows of the held-out text."""
    n_windows = (len(ids) - 1) // CONTEXT
    tokens = torch.from_numpy(ids[: n_windows * CONTEXT + 1])
    inputs, targets = tokens[:-1].view(-1, CONTEXT), tokens[1:].view(-1, CONTEXT)
    total = 0.0
    with torch.no_grad():
        for rows, wanted in zip(inputs.split(64), targets.split(64), strict=True):
            found = logits(rows).flatten(0, 1)
            total += float(F.cross_entropy(found, wanted.flatten(), reduction="sum"))
    return total / (n_windows * CONTEXT)


def score_nanogpt(nanogpt: Any, checkpoint: Path, ids: np.ndarray) -> float:
    """nanoGPT's last checkpoint; with targets its model gives the logits of every position."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = nanogpt.GPT(nanogpt.GPTConfig(**saved["model_args"]))
    model.load_state_dict(saved["model"])
    return score(lambda rows: model.eval()(rows, rows)[0], ids)


def score_ours(run: RunDirectory, text: str) -> float:
    """The best model of a run, on the same characters."""
    model, tokenizer = load_model(run.model), load_tokenizer(run.path)
    ids = np.array(tokenizer.encode(text), dtype=np.int64)
    assert len(ids) == len(text), "one id a character"
    return score(lambda rows: model.eval()(rows).logits, ids)


def measure_runs(nanogpt: Any, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole runs: processor seconds, and the loss on all of the held-out text."""
    text = options.text.read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    (folder / "train.txt").write_text(text[:cut], encoding="utf-8")
    (folder / "valid.txt").write_text(text[cut:], encoding="utf-8")
    theirs = folder / "nanoGPT"
    shutil.copytree(options.nanogpt, theirs, ignore=shutil.ignore_patterns(".git", "data", "out*"))
    held_out = write_nanogpt_data(text, theirs / "data" / "shakespeare_char")
    ours = {
        "llmcourse": options.steps,
        f"llmcourse, {options.short} steps": options.short,
    }
    commands = {"nanoGPT": (nanogpt_command(options), theirs)}
    for name, steps in ours.items():
        commands[name] = (our_command(folder, steps, folder / str(steps)), folder)
    seconds = take_slices(commands, options.slice)
    checkpoint = theirs / "out-shakespeare-char" / "ckpt.pt"
    losses = {"nanoGPT": score_nanogpt(nanogpt, checkpoint, held_out)}
    for name, steps in ours.items():
        losses[name] = score_ours(RunDirectory(folder / str(steps)), text[cut:])
    return {
        name: {
            "steps": ours.get(name, options.steps),
            "cpu_seconds": round(seconds[name], 1),
            "ratio": round(seconds[name] / seconds["nanoGPT"], 3),
            "loss": round(losses[name], 4),
        }
        for name in commands
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nanogpt", type=Path, help="a folder with nanoGPT's train.py")
    parser.add_argument("text", type=Path, help="tiny Shakespeare, or another text")
    parser.add_argument("--steps", type=int, default=2000, help="of nanoGPT, and of ours")
    parser.add_argument("--short", type=int, default=300, help="steps of our short run")
    parser.add_argument("--slice", type=float, default=5.0, help="seconds that each goes on")
    parser.add_argument("--turn", type=int, default=20, help="steps in a turn")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each")
    parser.add_argument("--compile", action="store_true", help="also our step by torch.compile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    for path in (options.nanogpt / "train.py", options.text):
        if not path.is_file():
            raise SystemExit(f"error: {path} is not there")
    nanogpt = load_nanogpt(options.nanogpt)
    results = {"step": measure_step(nanogpt, options)}
    with tempfile.TemporaryDirectory(prefix="llmcourse-nanogpt-") as folder:
        results["runs"] = measure_runs(nanogpt, options, Path(folder))
    for name, row in results["runs"].items():
        print(
            f"{name:<28} {row['steps']:5d} steps  {row['cpu_seconds']:7.1f} CPU s  "
            f"{row['ratio']:5.2f} x nanoGPT's  loss {row['loss']:.4f}"
        )
    settings = {name: str(value) for name, value in vars(options).items() if name != "out"}
    keep("nanogpt", settings, results, options.out)


if __name__ == "__main__":
    main()
