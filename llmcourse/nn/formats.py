"""Number formats from first principles: what sixteen or eight bits can say, and how they round.

A floating-point number is a sign, an exponent and a mantissa: `± 1.mantissa · 2^exponent`. The
exponent's bits decide how large and how small numbers get, the mantissa's how finely they are
spaced. Here every format is two numbers, and rounding to it is written out; the tests prove it
equal to the library's casts, bit for bit. Not here: where a run uses which format
(`train/build.py`), and the scaling of losses (`optim/loss_scaling.py`). Chapter 08 teaches this.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Format:
    """A binary floating-point format (IEEE 754, 2008; for eight bits Micikevicius et al., 2022).

    Attributes:
        name: what it is called.
        exponent_bits: how many bits say how large a number is.
        mantissa_bits: how many bits say where it lies between two powers of two.
        finite: whether the highest exponent holds ordinary numbers, as in E4M3: there is a NaN (all
            ones) but no infinity, and what is too large becomes the largest number.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    finite: bool = False

    @property
    def bits(self) -> int:
        """How many bits a number takes: sign, exponent, mantissa."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is subtracted from the stored exponent: half of its range."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def lowest_exponent(self) -> int:
        """The exponent of the smallest normal number; what is smaller shares it."""
        return 1 - self.bias

    @property
    def largest(self) -> float:
        """The largest finite number."""
        if self.finite:
            return 2.0 ** (self.bias + 1) * (2 - 2 * self.epsilon)
        return 2.0**self.bias * (2 - self.epsilon)

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all of its digits."""
        return 2.0**self.lowest_exponent

    @property
    def smallest(self) -> float:
        """The smallest number above zero, a subnormal one: its digits are nearly used up."""
        return self.smallest_normal * self.epsilon

    @property
    def epsilon(self) -> float:
        """The gap between 1 and the next number; rounding errs by half of it at most."""
        return 2.0**-self.mantissa_bits


FP32 = Format(name="fp32", exponent_bits=8, mantissa_bits=23)
FP16 = Format(name="fp16", exponent_bits=5, mantissa_bits=10)
BF16 = Format(name="bf16", exponent_bits=8, mantissa_bits=7)
E5M2 = Format(name="fp8 e5m2", exponent_bits=5, mantissa_bits=2)
E4M3 = Format(name="fp8 e4m3", exponent_bits=4, mantissa_bits=3, finite=True)

FORMATS: dict[torch.dtype, Format] = {
    torch.float32: FP32,
    torch.float16: FP16,
    torch.bfloat16: BF16,
    torch.float8_e5m2: E5M2,
    torch.float8_e4m3fn: E4M3,
}
"""The library's types by what they are made of."""


def round_to(numbers: Float[Tensor, "*N"], form: Format) -> Float[Tensor, "*N"]:
    """Round each number to the nearest one that the format has, in the type it came in.

    With `2^e` the number's own power of two, but never below the lowest, neighbours are
    `2^e · epsilon` apart: the number is divided by that, rounded to a whole one (a half goes to the
    even neighbour), and multiplied back. What rounds beyond the largest number becomes infinite,
    or the largest number in a format that has no infinity (the library's choice since 2.13).

    Raises:
        UserError: the numbers themselves have fewer bits than the format.
    """
    own = torch.finfo(numbers.dtype)
    if own.eps > form.epsilon or own.smallest_normal > form.smallest_normal:
        raise UserError(f"{numbers.dtype} cannot hold {form.name}: give float32 or float64")
    wide = numbers.double()
    exponents = torch.frexp(wide).exponent - 1  # frexp has its mantissas in [0.5, 1)
    spacing = power_of_two(exponents.clamp(min=form.lowest_exponent)) * form.epsilon
    # In float64 both steps are exact, so the one rounding is `round`'s, a half to the even side.
    rounded = torch.round(wide / spacing) * spacing
    beyond = wide.sign() * (form.largest if form.finite else torch.inf)
    rounded = torch.where(rounded.abs() > form.largest, beyond, rounded)
    return torch.where(wide.isinf(), beyond, rounded).to(numbers.dtype)


def power_of_two(exponents: Int[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """`2^exponent` in float64, exactly: the exponent is written straight into its bits.

    Exponents from -1022 to 1023; a library's power function may err in the last digit.
    """
    return ((exponents.long() + 1023) << 52).view(torch.float64)


def bit_pattern(number: float, form: Format) -> tuple[str, str, str]:
    """The bits that a number is stored as: sign, exponent, mantissa.

    Raises:
        UserError: the format does not have this number.
    """
    exact = round_to(torch.tensor(number, dtype=torch.float64), form).item()
    if exact != number or exact in (torch.inf, -torch.inf):
        raise UserError(f"{form.name} does not have {number}: round it first; it has {exact}")
    _, exponent = torch.frexp(torch.tensor(abs(number), dtype=torch.float64))
    power = max(int(exponent) - 1, form.lowest_exponent)
    whole = round(abs(number) / 2.0**power / form.epsilon)  # mantissa, with the leading 1 if any
    is_normal = whole >= 2**form.mantissa_bits
    # A subnormal number stores the exponent 0, and has no leading 1 to leave out.
    stored = power + form.bias if is_normal else 0
    tail = whole - 2**form.mantissa_bits if is_normal else whole
    sign = "1" if torch.tensor(number).signbit() else "0"
    return sign, f"{stored:0{form.exponent_bits}b}", f"{tail:0{form.mantissa_bits}b}"
