"""What a function is taken for, what is put around a value by mistake, and what steps are called.

Not here: where (`slips.py`, `throughout.py`). No chapter teaches this.
"""

AROUND = (
    ("the square of {} were taken", "{} ** 2"),
    ("the root of {} were taken", "{} ** 0.5"),
    ("the absolute value of {} were taken", "abs({})"),
    ("{} had the opposite sign", "-{}"),
    ("{} were half as large", "{} / 2"),
    ("{} were twice as large", "{} * 2"),
    ("{} stood for 1 minus it", "1 - {}"),
    ("{} were 1 divided by it", "1 / {}"),
    ("the exponential of {} were taken", "2.718281828459045 ** {}"),
    ("the logarithm of {} were taken", "__import__('torch').as_tensor({} * 1.0).log()"),
    ("{} were never below 0", "({} > 0) * {}"),
    ("a sigmoid of {} were taken", "1 / (1 + 2.718281828459045 ** -{})"),
    ("1 were added to {}", "{} + 1"),
    ("1 were taken away from {}", "{} - 1"),
    ("{} were rounded down", "{} // 1"),
    ("the mean of {} were taken away", "{} - {}.mean(-1, keepdim=True)"),
)  # fmt: skip

# What a function is taken for, as a method or with its module before it.
TAKEN = {
    "tanh": (("relu", "a ReLU stood where tanh is meant"),),
    "sigmoid": (("relu", "a ReLU stood where the sigmoid is meant"),
                ("exp", "an exponential stood where the sigmoid is meant"),),
    "silu": (("sigmoid", "a sigmoid stood where silu is meant"),
             ("relu", "a ReLU stood where silu is meant"),
             ("gelu", "a GELU stood where silu is meant"),
             ("tanh", "tanh stood where silu is meant")),
    "softmax": (("sigmoid", "a sigmoid stood where the softmax is meant"),
                ("exp", "exponentials stood where the softmax is meant: they do not sum to 1")),
    "sum": (("amax", "the largest stood where the sum is meant"),
            ("max", "the largest stood where the sum is meant"),
            ("prod", "a product stood where the sum is meant")),
    "mean": (("median", "the median stood where the mean is meant"),
             ("amax", "the largest stood where the mean is meant")),
    "amax": (("sum", "the sum stood where the largest is meant"),
             ("mean", "the mean stood where the largest is meant")),
    "max": (("sum", "the sum stood where the largest is meant"),),
    "min": (("sum", "the sum stood where the smallest is meant"),),
    "maximum": (("minimum", "the smaller of two were kept, where the larger is meant"),
                ("add", "a sum stood where the larger of two is meant")),
    "square": (("abs", "the absolute value stood where the square is meant"),),
    "exp": (("exp2", "a power of 2 stood where the exponential is meant"),),
    "exp2": (("exp", "the exponential stood where a power of 2 is meant"),),
    "floor": (("trunc", "it were cut off towards 0, where it is to be rounded down"),),
    "round": (("trunc", "it were cut off towards 0, where it is to be rounded"),),
    "repeat_interleave": (("repeat", "the whole were repeated, not each entry"),),
    "stack": (("cat", "the parts were joined, where a new axis is meant"),),
    "cat": (("stack", "the parts were stacked along a new axis, where they are to be joined"),),
    "norm": (("sum", "the sum stood where the length is meant"),),
}  # fmt: skip

STEPS = {
    "sqrt": "the root", "square": "the square", "log": "the logarithm", "exp": "the exponential",
    "mean": "the mean", "sum": "the sum", "abs": "the absolute value", "clamp": "the limit",
    "softmax": "the softmax", "tril": "the triangle", "tanh": "tanh", "sigmoid": "the sigmoid",
    "amax": "the maximum", "norm": "the length", "sort": "sorting", "floor": "rounding down",
    "min": "the minimum", "max": "the maximum", "set": "leaving out repetitions",
    "sorted": "sorting",
}  # fmt: skip
