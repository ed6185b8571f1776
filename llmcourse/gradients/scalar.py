"""A scalar autograd engine, small enough to read: one number a node, and no torch.

Each node remembers the nodes that it was made from and how steeply it depends on each of them: the
local slopes, which are known the moment it is made. `backward` then walks the graph once, from the
end to the beginning, and multiplies them along every path (the chain rule). The library does the
same with tensors for numbers. Not here: backward passes of whole layers (`by_hand.py`), and
gradients found by trying (`numeric.py`). Chapter 06 types it in small cells.
"""

import math
from collections.abc import Iterable

Number = int | float


class Value:
    """Value: a number that remembers where it came from.

    ```python
    x, y = Value(2.0), Value(3.0)
    (x * y + x).backward()
    x.grad, y.grad          # (4.0, 2.0)
    ```

    Attributes:
        data: the number.
        grad: how much the number that `backward` was called on moves for each unit by which this
            one does. Those of leaves add up over calls until they are set to zero, as in the
            library; those in between are made anew.
        parents: what it was made from, each with the slope there; a leaf has none.
    """

    __slots__ = ("data", "grad", "parents")

    def __init__(self, data: Number, parents: Iterable[tuple["Value", float]] = ()) -> None:
        self.data = float(data)
        self.grad = 0.0
        self.parents = tuple(parents)

    def __repr__(self) -> str:
        return f"Value({self.data:.4g}, grad={self.grad:.4g})"

    # Two numbers: for each of them, by how much does the result move when it moves?

    def __add__(self, other: "Value | Number") -> "Value":
        other = _value(other)
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other: "Value | Number") -> "Value":
        other = _value(other)
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])

    def __pow__(self, power: Number) -> "Value":
        """To the power of a plain number."""
        return Value(self.data**power, [(self, _slope_of_power(self.data, power))])

    def exp(self) -> "Value":
        """`eˣ`, whose slope is itself."""
        result = math.exp(self.data)
        return Value(result, [(self, result)])

    def log(self) -> "Value":
        """The natural logarithm, of slope `1 / x`."""
        return Value(math.log(self.data), [(self, 1 / self.data)])

    def tanh(self) -> "Value":
        """The hyperbolic tangent, of slope `1 - tanh² x`."""
        result = math.tanh(self.data)
        return Value(result, [(self, 1 - result**2)])

    def relu(self) -> "Value":
        """`max(x, 0)`, of slope 1 above zero and 0 elsewhere."""
        return Value(max(self.data, 0.0), [(self, float(self.data > 0))])

    # The rest follows from those.

    def __neg__(self) -> "Value":
        return self * -1

    def __sub__(self, other: "Value | Number") -> "Value":
        return self + -_value(other)

    def __truediv__(self, other: "Value | Number") -> "Value":
        return self * _value(other) ** -1

    def __radd__(self, other: Number) -> "Value":
        return self + other

    def __rmul__(self, other: Number) -> "Value":
        return self * other

    def __rsub__(self, other: Number) -> "Value":
        return -self + other

    def __rtruediv__(self, other: Number) -> "Value":
        return self**-1 * other

    def backward(self) -> None:
        """Fill in `grad` of every node that this one was made from.

        A node's gradient is finished once all that it went into are done, so the last made comes
        first. Where a node went into several, what they send back adds up (Linnainmaa, 1970).
        """
        nodes = ancestors(self)
        for node in nodes:
            if node.parents:
                node.grad = 0.0
        self.grad += 1.0
        for node in reversed(nodes):
            for parent, slope in node.parents:
                parent.grad += slope * node.grad


def ancestors(last: Value) -> list[Value]:
    """A node and all that it was made from, each after its own parents (a topological order).

    With a stack of its own, for a sum of thousands is deeper than Python lets functions nest.
    """
    ordered: list[Value] = []
    seen: set[int] = set()
    waiting = [(last, False)]
    while waiting:
        node, parents_done = waiting.pop()
        if parents_done:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((node, True))
            waiting += [(parent, False) for parent, _ in node.parents]
    return ordered


def _slope_of_power(x: float, power: Number) -> float:
    """`p x^(p - 1)`, infinite where that knows no bound, as at the root of zero."""
    if power == 0:
        return 0.0  # a constant, at zero too, where the formula would be 0 times infinity
    try:
        return power * x ** (power - 1)
    except ZeroDivisionError:
        return math.inf  # only powers between 0 and 1 come here: others have no value at zero
    except OverflowError:
        is_negative = (x < 0 and power % 2 == 0) != (power < 0)
        return -math.inf if is_negative else math.inf


def _value(number: Value | Number) -> Value:
    return number if isinstance(number, Value) else Value(number)
