import contextlib
import functools
import json
import random
import signal
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from llmcourse.checks.bank import counting
from llmcourse.checks.harness import DEFAULT_VARIANTS, case, exercise, once_done

SECONDS = 0.3


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def check():
    """Mixing values by weights, with four mistakes that overlap on purpose."""

    @exercise("03", axes="B T K", variants=(*DEFAULT_VARIANTS, "gradients"))
    def mix(weights, values, mask=None):
        """Weighted sums of the values."""
        kept = weights if mask is None else weights * mask
        return kept @ values

    @mix.cases
    def _():
        yield case("two tokens", torch.rand(1, 2, 2), torch.rand(1, 2, 4))
        yield case("masked", torch.rand(2, 3, 3), torch.rand(2, 3, 4), mask=torch.eye(3))

    @mix.mistake("mask ignored", hint="Multiply by the mask first.")
    def _(weights, values, mask=None):
        return weights @ values

    @mix.mistake("weights transposed", hint="Row t belongs to query t.")
    def _(weights, values, mask=None):
        kept = weights if mask is None else weights * mask
        return kept.mT @ values

    @mix.mistake("transposed, mask ignored", hint="Both at once.")
    def _(weights, values, mask=None):
        return weights.mT @ values

    @mix.mistake("no gradient to the weights", hint="Do not detach.")
    def _(weights, values, mask=None):
        kept = weights if mask is None else weights * mask
        return kept.detach() @ values

    return mix


def right(weights, values, mask=None):
    kept = weights if mask is None else weights * mask
    return kept @ values


def test_the_right_answer_passes_and_is_recorded(check, home, capsys):
    assert check(right) is None
    assert capsys.readouterr().out == "✓ mix: all 8 cases right\n"
    record = json.loads((home / "progress.json").read_text())
    assert record["chapters"]["03"]["exercises"]["mix"] == {"right": True, "tries": 1}


def test_a_stub_is_open_at_the_first_case_and_not_recorded(check, home, capsys):
    calls = []

    def stub(weights, values, mask=None):
        calls.append(1)
        raise NotImplementedError

    check(stub)
    assert capsys.readouterr().out == "· mix: not attempted yet\n"
    assert len(calls) == 1
    assert not (home / "progress.json").exists()


def test_a_half_finished_answer_is_not_open(check):
    def half(weights, values, mask=None):
        if mask is not None:
            raise NotImplementedError
        return weights @ values

    verdict = check.verdict(half)
    assert verdict.status == "wrong"
    assert "'masked' it raised NotImplementedError" in verdict.text


def test_every_mistake_is_recognised_by_its_own_name(check):
    for mistake in check.mistakes:
        verdict = check.verdict(mistake.answer)
        assert verdict.status == "wrong"
        assert verdict.mistake is mistake
        assert mistake.name in verdict.text
        assert mistake.hint in verdict.text


def test_the_most_specific_mistake_wins_whatever_the_order(check):
    check.mistakes.reverse()
    test_every_mistake_is_recognised_by_its_own_name(check)


def test_a_mistake_with_another_problem_beside_it_is_still_named(check):
    def ignores_the_mask_and_drops_float64(weights, values, mask=None):
        if mask is None and weights.dtype == torch.float64:
            return (weights @ values).float()
        return weights @ values

    verdict = check.verdict(ignores_the_mask_and_drops_float64)
    assert verdict.mistake.name == "mask ignored"


def test_no_mistake_is_named_that_does_not_explain_the_first_wrong_case(check):
    def another(weights, values, mask=None):
        return weights @ values + (mask is None)  # where there is a mask: as if it were ignored

    verdict = check.verdict(another)
    assert verdict.mistake is None
    assert "In the case 'two tokens' the result is" in verdict.text


@pytest.fixture
def small():
    """Doubling, where one mistake is wrong at 0 and another at 0 and at 1, alike at 0."""

    @exercise("03")
    def double(x):
        return 2 * x

    @double.cases
    def _():
        yield from (case(f"of {x}", x) for x in range(3))

    @double.mistake("wrong at 0", hint="-")
    def _(x):
        return 7 if x == 0 else 2 * x

    @double.mistake("wrong at 0 and 1", hint="-")
    def _(x):
        return {0: 7, 1: 8}.get(x, 2 * x)

    return double


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_that_explain_it_the_one_that_agrees_everywhere_is_named(small, reverse):
    if reverse:
        small.mistakes.reverse()
    for mistake in small.mistakes:
        assert small.verdict(mistake.answer).mistake is mistake


def test_of_two_that_agree_in_part_the_one_that_explains_more_is_named(small):
    verdict = small.verdict(lambda x: {0: 7, 1: 8, 2: 9}[x])
    assert verdict.mistake.name == "wrong at 0 and 1"


def test_a_mistake_must_agree_wherever_it_is_wrong(small):
    assert small.verdict(lambda x: {0: 7, 1: 5, 2: 4}[x]).mistake.name == "wrong at 0"
    assert small.verdict(lambda x: {0: 7, 1: 5, 2: 9}[x]).mistake is None  # it explains a third
    small.mistakes.pop(0)
    assert small.verdict(lambda x: {0: 7, 1: 5, 2: 4}[x]).mistake is None


def test_a_mistake_that_never_differs_is_never_named(check):
    check.mistake("no mistake at all", hint="-")(right)
    wrong = check.verdict(lambda weights, values, mask=None: right(weights, values, mask) + 1)
    assert wrong.mistake is None
    assert check.verdict(right).status == "passed"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, v, mask=None: None, "returned None: did you forget `return`?"),
        (lambda w, v, mask=None: w @ v + 1, "at [B=0, T=0, K=0]; expected"),
        (lambda w, v, mask=None: (w @ v)[0], "has shape (2, 4); expected (1, 2, 4) = B T K"),
        (lambda w, v, mask=None: (w @ v).sum(), "has shape () (a single number)"),
        (lambda w, v, mask=None: (w @ v).half(), "has dtype torch.float16; expected torch.float32"),
        (lambda w, v, mask=None: w @ v * float("nan"), "is NaN at [B=0, T=0, K=0] (8 of 8"),
        (lambda w, v, mask=None: w @ v / 0, "is infinite at"),
        (lambda w, v, mask=None: (w @ v).numpy(), "is a numpy array where a tensor is expected"),
        (lambda w, v, mask=None: (w @ v, w), "is a tuple where a tensor is expected (one value"),
        (lambda w, v, mask=None: (w @ v).tolist(), "is a list where a tensor is expected"),
        (lambda w, v, mask=None: (yield), "is a generator where a tensor is expected"),
        (lambda w, v: w @ v, "'masked' it raised TypeError"),
        (lambda w: w, "raised TypeError"),
        (lambda w, v, mask=None: w @ v.mT @ v, "raised RuntimeError"),
        (lambda w, v, mask=None: 1 / 0, "raised ZeroDivisionError: division by zero (line"),
        (lambda w, v, mask=None: sys.exit(3), "raised SystemExit: 3"),
        (lambda w, v, mask=None: exit(), "raised"),
        (lambda w, v, mask=None: right(w, v, mask).detach(), "no gradient flows back to weights"),
        (7, "expected the function itself, got an int"),
        (None, "expected the function itself, got None"),
        (torch.zeros(2), "expected the function itself, got a tensor"),
        (int, "raised TypeError"),
    ],
)
def test_what_is_said_of_a_wrong_answer(check, answer, said):
    verdict = check.verdict(answer)
    assert verdict.status == "wrong"
    assert said in verdict.text
    assert "Traceback" not in verdict.text
    assert len(verdict.text.splitlines()) <= 4


def test_float64_inputs_are_a_case_of_their_own(check):
    verdict = check.verdict(lambda w, v, mask=None: right(w.float(), v.float(), mask))
    assert "'two tokens, float64' the result has dtype torch.float32" in verdict.text
    assert "Right in 6 of 8 cases" in verdict.text


def test_non_contiguous_inputs_are_a_case_of_their_own(check):
    def views(weights, values, mask=None):
        values.view(-1)
        return right(weights, values, mask)

    assert "non-contiguous' it raised RuntimeError: view size" in check.verdict(views).text


def test_a_changed_argument_is_named(check):
    def in_place(weights, values, mask=None):
        if mask is not None:
            weights *= mask
        return weights @ values

    text = check.verdict(in_place).text
    assert "'masked' it changed its argument weights in place" in text


def test_changed_lists_dicts_and_modules_are_seen():
    @exercise("00")
    def total(numbers, table, layer):
        return sum(numbers)

    @total.cases
    def _():
        yield case("some", [3, 1, 2], {"a": [1]}, nn.Linear(2, 2))

    def changes_all(numbers, table, layer):
        numbers.sort()
        table["a"].append(2)
        nn.init.zeros_(layer.weight)
        return sum(numbers)

    assert total.verdict(total.right).status == "passed"
    text = total.verdict(changes_all).text
    assert "changed its argument numbers and table and layer in place" in text


def test_what_never_ends_is_stopped_once(check, monkeypatch):
    monkeypatch.setattr(check, "_settings", replace(check._settings, seconds=SECONDS))

    called = []

    def loops(weights, values, mask=None):
        called.append(weights)
        while True:
            with contextlib.suppress(Exception):  # does not swallow the alarm
                sum(range(1000))

    text = check.verdict(loops).text
    assert f"still running after {SECONDS:g} s (line " in text
    assert len(called) <= 1  # none where a copy of the process was asked first


def test_a_catalogued_mistake_is_known_on_a_slow_machine_too(check, monkeypatch):
    monkeypatch.setattr("llmcourse.checks.harness.SEARCH_SECONDS", 0.02)

    @check.mistake("sums in a loop", hint="Slow, and wrong.")
    def slow(weights, values, mask=None):
        began = time.thread_time()
        while time.thread_time() < began + 0.1:
            pass
        return 2 * values

    assert check.verdict(lambda weights, values, mask=None: 2 * values).mistake.answer is slow


def test_deep_recursion_is_reported(check):
    def deep(weights, values, mask=None):
        return deep(weights, values, mask)

    assert "RecursionError" in check.verdict(deep).text


def test_a_keyboard_interrupt_passes_through(check):
    def interrupted(weights, values, mask=None):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(interrupted)


def test_gradients_are_seen_where_a_plain_sum_has_none():
    @exercise("03", variants=("gradients",))
    def softmax(scores):
        return scores.softmax(-1)

    @softmax.cases
    def _():
        yield case("two", torch.tensor([[1.0, 2.0], [0.0, 3.0]]))

    cut = softmax.verdict(lambda scores: scores.softmax(-1).detach() + 0 * scores)
    assert "the gradient of scores is 0 at [0, 0]; expected" in cut.text
    assert softmax.verdict(softmax.right).status == "passed"


def test_somebody_elses_alarm_still_rings(check):
    rung = []
    old = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    before = signal.setitimer(signal.ITIMER_REAL, 0.25)
    try:
        check.verdict(right)
        assert signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
        time.sleep(0.4)
        assert rung == [1]
    finally:
        signal.signal(signal.SIGALRM, old)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_it_works_outside_the_main_thread(check):
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(check.verdict(right)))
    thread.start()
    thread.join()
    assert verdicts[0].status == "passed"


def test_chance_is_left_as_it_was_and_seeded_for_each_call(check):
    drawn = []

    def random_too(weights, values, mask=None):
        result = right(weights, values, mask)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))  # noqa: NPY002
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return result

    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()[2]  # noqa: NPY002 - how far it has come
    assert check.verdict(random_too).status == "passed"
    assert len(set(drawn)) == 1
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert np.random.get_state()[2] == numpy_state  # noqa: NPY002
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    with torch.no_grad():
        check.verdict(right)
        assert not torch.is_grad_enabled()


def test_what_the_answer_prints_is_left_alone(check, capsys):
    def talks(weights, values, mask=None):
        print("here")
        return right(weights, values, mask)

    check(talks)
    assert capsys.readouterr().out == "here\n" * 8 + "✓ mix: all 8 cases right\n"


def test_the_line_of_the_learners_own_code_is_given(check):
    def helper(values):
        raise ValueError("no good\nsecond line")

    def calls_helper(weights, values, mask=None):
        return helper(values)

    text = check.verdict(functools.partial(calls_helper)).text
    assert "it raised ValueError: no good (line" in text
    assert 'raise ValueError("no good' in text
    assert "second line" not in text.splitlines()[0].split("(line")[0]


def test_an_exception_without_words_and_one_with_broken_words(check):
    class Broken(Exception):
        def __str__(self):
            raise TypeError

    def bare(weights, values, mask=None):
        raise Broken

    assert "it raised Broken" in check.verdict(bare).text


def test_a_result_that_resists_being_looked_at(check):
    class Hostile(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *args, **kwargs):
            raise RuntimeError("hands off")

    verdict = check.verdict(lambda w, v, mask=None: torch.ones(1, 2, 4).as_subclass(Hostile))
    assert verdict.status == "wrong"


def test_inputs_gives_the_case_that_failed(check):
    weights, values, mask = check.inputs("masked")
    assert weights.shape == (2, 3, 3)
    assert values.shape == (2, 3, 4)
    assert torch.equal(mask, torch.eye(3))
    again = check.inputs("masked")
    assert torch.equal(again[0], weights)
    with pytest.raises(KeyError):
        check.inputs("no such case")


def test_call_builds_a_class_and_names_its_arguments():
    def through(answer, d_model, hidden):
        torch.manual_seed(0)
        return answer(d_model)(hidden)

    @exercise("03", axes="B D", call=through)
    class Doubler(nn.Module):
        def __init__(self, d_model):
            super().__init__()

        def forward(self, hidden):
            return 2 * hidden

    @Doubler.cases
    def _():
        yield case("one", 3, torch.rand(2, 3))

    @Doubler.mistake("squares", hint="Twice, not squared.")
    class _(Doubler.right):
        def forward(self, hidden):
            return hidden**2

    class Spoils(Doubler.right):
        def forward(self, hidden):
            return hidden.mul_(2)

    class Open(nn.Module):
        def __init__(self, d_model):
            raise NotImplementedError

    assert Doubler.verdict(Doubler.right).status == "passed"
    assert Doubler.verdict(Doubler.mistakes[0].answer).mistake.name == "squares"
    assert "changed its argument hidden" in Doubler.verdict(Spoils).text
    assert Doubler.verdict(Open).status == "open"


def test_a_broken_oracle_is_our_own_fault_and_loud():
    @exercise("03")
    def broken(x):
        raise ValueError("ours")

    @broken.cases
    def _():
        yield case("one", 1)

    with pytest.raises(AssertionError, match="the oracle of broken fails"):
        broken.verdict(lambda x: x)


def test_recording_never_fails_the_check(check, tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("LLMCOURSE_HOME", str(blocked / "below"))
    check(right)
    assert capsys.readouterr().out.startswith("✓")


def test_a_cell_that_needs_an_open_exercise_says_so(capsys):
    with once_done():
        raise NotImplementedError
    assert capsys.readouterr().out.startswith("· nothing to see here yet")
    with once_done():
        pass
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="real"), once_done():
        raise ValueError("real")


@pytest.mark.parametrize("alias", ["check", "counting"])
def test_the_message_calls_the_check_as_the_notebook_does(monkeypatch, alias):
    """A notebook with two modules of checks cannot call both of them `check`."""
    monkeypatch.setattr(sys.modules["__main__"], alias, counting, raising=False)
    text = counting.perplexity.verdict(lambda *arguments: None).text
    assert f"To look at this one: {alias}.perplexity.inputs('one word')" in text


def test_without_such_a_name_the_message_calls_it_by_its_own():
    assert "one: perplexity.inputs(" in counting.perplexity.verdict(lambda *arguments: None).text


@pytest.mark.parametrize(
    ("strict", "status"), [(None, "wrong"), (True, "wrong"), (False, "passed")]
)
def test_another_format_passes_where_the_exercise_leaves_it_open(strict, status):
    @exercise("03", strict=strict)
    def double(x):
        return 2 * x

    @double.cases
    def _():
        yield case("two", torch.rand(2))

    assert double.verdict(lambda x: 2 * x.double()).status == status
    assert double.verdict(lambda x: 3 * x.double()).status == "wrong"


def test_what_holds_in_the_wrong_cases_alone_is_said_so():
    @exercise("03")
    def limited(x):
        return min(x, 1.0)

    @limited.cases
    def _():
        yield from (case(f"of {x}", x) for x in (0.25, 0.5, 2.0, 3.0))

    assert limited.verdict(lambda x: x).title == "In the wrong cases: you give back `x` as it came."
    assert limited.verdict(lambda x: -min(x, 1.0)).title.startswith("Your result is always -1")


def test_a_mistake_that_is_right_in_the_case_shown_does_not_look_like_the_answer():
    @exercise("03")
    def least(values):
        return min(values)

    @least.cases
    def _():
        yield case("small numbers", [0.01, 0.02])
        yield case("three", [5.0, 7.0, 9.0])
        yield case("four", [1.0, 2.0, 3.0, 4.0])

    @least.mistake("the second of three", hint="Take the least of all of them.")
    def _(values):
        return values[1] if len(values) == 3 else min(values)

    answers = {2: 0.00998, 3: 7.0, 4: 3.6}  # the first is nearly right, for it is small
    verdict = least.verdict(lambda values: answers[len(values)])
    assert verdict.status == "wrong"
    assert verdict.mistake is None
    assert "second" not in verdict.text
