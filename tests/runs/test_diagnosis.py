"""Each illness is told from the others, on curves drawn by hand, in the clinic and in real runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_runs import flags, small

from llmcourse.labs.faulty_runs import NoShift, ShiftedRows, TinyRun, train_tiny
from llmcourse.runs.diagnosis import FEWEST, ILLNESSES, bad_end, diagnose
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import (
    Baseline,
    End,
    Ending,
    Evaluation,
    MetricsLog,
    Record,
    Sample,
    Training,
)
from llmcourse.runs.report import write_report
from llmcourse.train.__main__ import main
from llmcourse.train.loop import train
from llmcourse.train.presets import PRESETS

UNIFORM, UNIGRAM = 6.0, 4.5
"""In nats; the hand-drawn logs have one bit a byte for each nat a token."""


def log(losses, norms=1.0, valid=None, **sizes) -> RunHistory:
    """A run with a training record a step, and evaluations spread over it."""
    losses = np.asarray(losses, dtype=float)
    norms = np.broadcast_to(norms, losses.shape)
    guesses = {"uniform_bits_per_byte": UNIFORM, "unigram_bits_per_byte": UNIGRAM}
    records: list[Record] = [Baseline(step=0, **guesses, **sizes)]
    for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), 1):
        records.append(Training(step=step, loss=float(loss), grad_norm=float(norm)))
    valid = losses[-1:] if valid is None else valid
    for step, loss in zip(np.linspace(1, len(losses), len(valid)).astype(int), valid, strict=True):
        loss = float(loss)
        records.append(Evaluation(step=int(step), loss=loss, bits_per_byte=loss))
    end = End(step=len(losses), ending=Ending.FINISHED, reason="finished")
    return RunHistory([*records, end])


def changed(run: RunHistory, kind: type[Record], change) -> RunHistory:
    """A run whose records of one kind are changed; those that become None are left out."""
    records = [change(each) if isinstance(each, kind) else each for each in run.records]
    return RunHistory([each for each in records if each is not None])


def falling(n=100, start=UNIFORM, end=2.0, noise=0.05, seed=0) -> np.ndarray:
    """A curve as it should be: fast at first, then slower."""
    x = np.linspace(0, 1, n)
    noise = noise * np.random.default_rng(seed).standard_normal(n)
    return end + (start - end) * np.exp(-5 * x) + noise


def spiky() -> tuple[np.ndarray, np.ndarray]:
    losses, norms = falling(), np.ones(100)
    norms[50], losses[51:55] = 40.0, losses[51:55] + 3.0
    return losses, norms


def half_of(losses) -> np.ndarray:
    return np.where(np.arange(len(losses)) < len(losses) // 2, losses, np.nan)


X = np.linspace(0, 1, 100)
RIPPLE = 0.6 * np.sign(np.sin(2 * np.pi * np.arange(100) / 20))
BY_HAND = {
    "diverged": log(half_of(falling())),
    "vanished gradients": log(np.full(100, UNIFORM), norms=0.0),
    "leakage": log(falling(end=0.01, noise=0), valid=[6, 1, 0.02]),
    "learning rate too high": log(falling() + 4 * np.sin(np.pi * X)),
    "data in order": log(falling() + RIPPLE),
    "exploding gradients": log(*spiky()),
    "overfitting": log(falling(end=0.2), valid=[6, 3, 2.5, 3, 3.5]),
    "gradients pile up": log(np.full(100, 5.0), norms=1 + 30 * X),
    "learning rate too low": log(UNIFORM - 0.3 * X),
    "targets misaligned": log(falling(end=UNIGRAM + 0.02, noise=0.03)),
    "not learning": log(falling(end=UNIGRAM + 0.35, noise=0.01)),
    "healthy": log(falling(), valid=falling(n=6)),
    "too short": log(falling(n=FEWEST - 1)),
}
CLINIC = {
    "learning rate too high": TinyRun(lr=1.0),
    "learning rate too low": TinyRun(lr=1e-4),
    "exploding gradients": TinyRun(optimizer="sgd", lr=0.7, clip=None),
    "overfitting": TinyRun(n_windows=24),
    "targets misaligned": TinyRun(objective=ShiftedRows()),
    "leakage": TinyRun(objective=NoShift()),
    "vanished gradients": TinyRun(half=True, positions=60_000_000),
    "data in order": TinyRun(text="stories, then numbers", n_windows=160, shuffled=False),
    "gradients pile up": TinyRun(zero_grad=False, clip=None),
}
CURED = {
    "healthy": TinyRun(),
    "clipped": TinyRun(optimizer="sgd", lr=0.7, clip=0.5),
    "scaled": TinyRun(half=True, positions=60_000_000, first_scale=65536.0),
    "shuffled": TinyRun(text="stories, then numbers", n_windows=160),
    "plain fp16": TinyRun(half=True),
    "dropout": TinyRun(dropout=0.1),
}


@pytest.mark.parametrize(("cause", "run"), BY_HAND.items(), ids=list(BY_HAND))
def test_curves_drawn_by_hand(cause, run):
    assert diagnose(run).cause == cause


@pytest.mark.parametrize("cause", CLINIC)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_patients_of_the_clinic(cause, seed):
    found = diagnose(train_tiny(replace(CLINIC[cause], seed=seed)))
    assert found.cause == cause, found
    assert not found.healthy


@pytest.mark.parametrize("name", CURED)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_who_is_cured_is_healthy(name, seed):
    found = diagnose(train_tiny(replace(CURED[name], seed=seed)))
    assert found.healthy, found


def test_every_illness_has_been_seen():
    known = {illness.cause for illness in ILLNESSES} | {"diverged", "healthy", "too short"}
    assert set(BY_HAND) == known
    assert {illness.cause for illness in ILLNESSES} - set(CLINIC) == {"not learning"}


def test_the_evidence_holds_the_numbers():
    found = diagnose(BY_HAND["overfitting"])
    assert "step 50 (2.50)" in found.evidence
    assert "ends at 3.50" in found.evidence
    assert str(found).startswith("overfitting: the held-out loss was best")
    assert "0.4% of what guessing by frequency costs (4.50)" in str(diagnose(BY_HAND["leakage"]))


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_no_illness(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 300))
    losses = falling(n, end=rng.uniform(1, 4), noise=rng.uniform(0.01, 0.15), seed=seed)
    norms = np.exp(0.3 * rng.standard_normal(n))
    found = diagnose(log(losses, norms, valid=falling(6, end=3.9, noise=0.01, seed=seed)))
    assert found.healthy, found


def test_a_norm_that_is_missing_or_infinite_is_no_sign():
    losses = falling()
    assert diagnose(log(losses, norms=math.nan, valid=falling(6))).healthy
    norms = np.ones(100)
    norms[:3] = math.nan  # fp16's scaler looks for its scale
    assert diagnose(log(losses, norms, valid=falling(6))).healthy


def test_a_log_without_evaluations_or_baselines():
    bare = RunHistory(list(BY_HAND["healthy"].of(Training)))
    assert diagnose(bare).healthy
    assert diagnose(RunHistory([])).cause == "too short"
    assert bare.unigram is None
    assert diagnose(RunHistory([Sample(step=0, text="x"), *bare.records])).healthy


def test_units_are_converted_by_the_evaluation():
    run = log(falling())
    assert run.unigram == UNIGRAM
    run = changed(run, Evaluation, lambda each: replace(each, bits_per_byte=each.loss / 2))
    assert run.unigram == 2 * UNIGRAM


def test_a_loss_for_pairs_may_begin_with_a_lucky_guess():
    rising = np.concatenate([[0.9], falling(99, end=0.5)])
    run = log(rising)
    assert diagnose(run).cause == "learning rate too high"
    run = changed(run, Evaluation, lambda each: replace(each, bits_per_byte=None))
    assert diagnose(run).healthy


def test_a_loss_that_is_not_for_text_alone_has_no_level_of_frequencies():
    run = log(falling(), vocab_size=round(math.exp(UNIFORM)))
    assert run.unigram == UNIGRAM
    half = changed(run, Evaluation, lambda each: replace(each, loss=each.loss / 2))
    assert half.unigram is None  # half of the loss is for pairs of sentences
    assert diagnose(half).healthy
    pairs = changed(run, Evaluation, lambda each: replace(each, metrics={"token_loss": each.loss}))
    assert pairs.unigram is None


# Real runs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["laptop", "laptop-gpt2", "tiny"])
def test_the_presets_are_healthy(name, tmp_path):
    preset = PRESETS[name]()
    settings = replace(
        preset,
        out=str(tmp_path / "run"),
        steps=20,
        log_every=1,
        evaluate_every=100,
        evaluate_windows=4,
        sample_tokens=0,
        device="cpu",
        tensorboard=False,
        data=replace(preset.data, source="tinytown", max_megabytes=0.3, vocab_size=512),
    )
    train(settings)
    found = diagnose(RunHistory.read(tmp_path / "run"))
    assert found.healthy, found


# Where it is said


@pytest.mark.parametrize("cause", [c for c in BY_HAND if c not in ("healthy", "too short")])
def test_a_bad_end_is_named_in_the_report(cause, tmp_path):
    with RunDirectory.create(tmp_path / "run", resume=False) as made:
        with MetricsLog(made, tensorboard=False, keep_until_step=None) as written:
            for record in BY_HAND[cause].records:
                written.write(record)
        page = write_report(made).read_text()
    assert f"Diagnosis: {cause}." in page


def test_a_good_end_is_not():
    assert bad_end(BY_HAND["healthy"]) is None
    assert bad_end(BY_HAND["too short"]) is None
    assert bad_end(RunHistory([])) is None


def test_the_ending_decides_and_not_its_words():
    def cause(run: RunHistory) -> str | None:
        found = bad_end(run)
        return found and found.cause

    sick = BY_HAND["overfitting"]
    assert cause(changed(sick, End, lambda _: None)) is None  # it has not ended
    for ending, expected in {
        Ending.FINISHED: "overfitting",
        Ending.EARLY_STOPPED: None,
        Ending.STOPPED: None,
        Ending.FAILED: "overfitting",
        Ending.DIVERGED: "diverged",
    }.items():
        ended = End(step=100, ending=ending, reason="finished: the loss is no longer a number")
        assert cause(changed(sick, End, lambda _, ended=ended: ended)) == expected


def test_still_falling_and_worse_than_guessing():
    run = log(UNIFORM - 1.4 * X**0.5, valid=[6, 5.5, UNIGRAM + 0.3])
    found = bad_end(run)
    assert found is not None
    assert found.cause == "not there yet"
    assert found.healthy
    assert "worse than guessing" in found.advice


def test_the_command_says_it(tmp_path, capsys):
    wanted = flags(small(tmp_path / "slow", steps=30, optimizer__name="adamw", log_every=1))
    assert main([*wanted, "--optimizer.lr", "1e-6", "--sample-tokens", "0"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("diagnosis")]
    assert len(said) == 1
    assert "learning rate too low: the loss fell from 5." in said[0]


def test_the_command_says_it_of_a_run_that_diverged(tmp_path, capsys):
    wanted = flags(small(tmp_path / "wild", optimizer__clip=0.0, optimizer__warmup=0.0))
    with pytest.raises(SystemExit):
        main([*wanted, "--optimizer.name", "adamw", "--optimizer.lr", "1e30", "--log-every", "1"])
    said = capsys.readouterr().err
    assert "diagnosis       diverged: the loss or the gradient is no longer a number" in said
    assert "Diagnosis: diverged." in (tmp_path / "wild" / "report.html").read_text()


def test_the_command_says_nothing_of_a_good_end(tmp_path, capsys):
    assert main(flags(small(tmp_path / "good", steps=60, sample_tokens=0))) == 0
    assert "diagnosis" not in capsys.readouterr().err
