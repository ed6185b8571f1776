"""The scalar engine against the library's, on chains that use every operation."""

import random

import pytest
import torch

from llmcourse.gradients.scalar import Value, ancestors

EXACT = 1e-12


def twice(build, *numbers):
    """The gradients of one formula by our engine and by the library's, in float64."""
    ours = [Value(number) for number in numbers]
    build(*ours).backward()
    theirs = [
        torch.tensor(float(number), dtype=torch.float64, requires_grad=True) for number in numbers
    ]
    build(*theirs).backward()
    return [value.grad for value in ours], [tensor.grad.item() for tensor in theirs]


FORMULAS = {
    "sum and product": (lambda x, y: x * y + x, (2.0, 3.0)),
    "a node used three times": (lambda x, y: x * x * x + y * x, (2.0, -1.5)),
    "a difference": (lambda x, y: x - y * 2 - 1, (2.0, 3.0)),
    "a quotient": (lambda x, y: x / y + 1 / x, (2.0, -3.0)),
    "powers": (lambda x, y: x**3 - y**-2 + y**0.5, (2.0, 3.0)),
    "exp and log": (lambda x, y: (x.exp() + y).log() * x, (0.3, 2.0)),
    "tanh": (lambda x, y: (x * y).tanh() - x, (0.3, 2.0)),
    "relu, both sides": (lambda x, y: x.relu() * 3 + y.relu() + (x * y).relu(), (0.3, -2.0)),
    "numbers on the left": (lambda x, y: 3 - x + 2 * y + (2 - x) / y, (0.3, -2.0)),
    "a negation": (lambda x, y: -x * -y - -x, (0.3, -2.0)),
}


@pytest.mark.parametrize(("build", "numbers"), FORMULAS.values(), ids=FORMULAS)
def test_gradients_equal_the_librarys(build, numbers):
    ours, theirs = twice(build, *numbers)
    assert ours == pytest.approx(theirs, abs=EXACT, rel=EXACT)
    assert any(abs(gradient) > 0.1 for gradient in theirs)


@pytest.mark.parametrize(("build", "numbers"), FORMULAS.values(), ids=FORMULAS)
def test_values_equal_pythons(build, numbers):
    expected = build(*(torch.tensor(number, dtype=torch.float64) for number in numbers)).item()
    assert build(*map(Value, numbers)).data == pytest.approx(expected, abs=EXACT)


def test_a_small_network_with_softmax_and_cross_entropy():
    rng = random.Random(0)
    numbers = [rng.uniform(-1, 1) for _ in range(4 * 3 + 3 * 3)]

    def loss(*w):
        hidden = [(w[i] * 0.5 + w[i + 4] * -1.2 + w[i + 8]).tanh() for i in range(4)]
        logits = [
            sum((hidden[i] * w[12 + 3 * j + i] for i in range(3)), hidden[3]) for j in range(3)
        ]
        return (logits[0].exp() + logits[1].exp() + logits[2].exp()).log() - logits[1]

    ours, theirs = twice(loss, *numbers)
    assert ours == pytest.approx(theirs, abs=EXACT)


def test_by_hand():
    x, y = Value(2.0), Value(3.0)
    z = x * y + x
    z.backward()
    assert (z.data, z.grad, x.grad, y.grad) == (8.0, 1.0, 4.0, 2.0)


def test_leaves_add_up_over_calls_and_what_lies_between_does_not():
    x = Value(3.0)
    between = x * x
    end = between * 2
    end.backward()
    end.backward()
    assert x.grad == 2 * 12
    assert between.grad == 2
    leaf = torch.tensor(3.0, requires_grad=True)
    for _ in range(2):
        (leaf * leaf * 2).backward()
    assert x.grad == leaf.grad.item()


def test_a_leaf_by_itself_has_slope_one():
    x = Value(5)
    x.backward()
    assert x.grad == 1.0
    assert x.data == 5.0


def test_ancestors_come_after_their_own_parents_and_once():
    x = Value(1.0)
    a, b = x * 2, x + 3
    end = a * b + x
    order = ancestors(end)
    places = {id(node): place for place, node in enumerate(order)}
    assert len(places) == len(order)
    assert order[-1] is end
    for node in order:
        assert all(places[id(parent)] < places[id(node)] for parent, _ in node.parents)


def test_a_chain_longer_than_functions_may_nest():
    x = total = Value(1.0)
    for _ in range(5000):
        total = total + 0.5
    total.backward()
    assert total.data == 2501.0
    assert x.grad == 1.0


def test_what_it_says_of_itself():
    x = Value(2)
    (x * 1.5).backward()
    assert repr(x) == "Value(2, grad=1.5)"


def test_relus_slope_at_zero_is_the_librarys():
    x = Value(0.0)
    x.relu().backward()
    zero = torch.zeros((), requires_grad=True)
    zero.relu().backward()
    assert x.grad == zero.grad.item() == 0.0


@pytest.mark.parametrize("x", [0.0, 1e-200, -1e-200, 2.0, -3.0])
@pytest.mark.parametrize("power", [0.5, 0.25, 1, 2, 3, 1.5, 0, 0.0, -1, -1.0, 1.0])
def test_slopes_of_powers_are_the_librarys_where_there_is_a_value(x, power):
    """The root of zero is zero: that its slope has no bound must not keep it from being taken."""
    if (x == 0 and power < 0) or (x < 0 and power % 1):
        return  # no value: Python's own error, below
    ours, theirs = twice(lambda value: value**power, x)
    assert ours == theirs or ours == pytest.approx(theirs, rel=EXACT)
    assert Value(x).__pow__(power).data == torch.tensor(x, dtype=torch.float64).pow(power).item()


def test_an_infinite_slope_travels_like_the_librarys():
    for build in (lambda x: x**0.5 * 2 - x, lambda x: (x * x) ** 0.5, lambda x: (x**0.5) ** 2):
        ours, theirs = twice(build, 0.0)
        assert ours == pytest.approx(theirs, nan_ok=True)


def test_errors_are_pythons_own(unchecked):
    with pytest.raises(ValueError, match=r"."):
        Value(-1.0).log()
    with pytest.raises(ZeroDivisionError):
        Value(1.0) / Value(0.0)
    with pytest.raises(TypeError, match="complex"):
        Value(-1.0) ** 0.5
