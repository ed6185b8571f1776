import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.nn.formats import (
    BF16,
    E4M3,
    E5M2,
    FORMATS,
    FP16,
    FP32,
    bit_pattern,
    power_of_two,
    round_to,
)

HALVES = {torch.float16: FP16, torch.bfloat16: BF16}
EIGHTS = {torch.float8_e5m2: E5M2, torch.float8_e4m3fn: E4M3}
each_half = pytest.mark.parametrize(("dtype", "form"), HALVES.items(), ids=str)
each_short = pytest.mark.parametrize(("dtype", "form"), (HALVES | EIGHTS).items(), ids=str)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Equal, zeros with their signs, and NaN where the other is."""
    both = ours.isnan() & theirs.isnan()
    equal = (ours == theirs) & (ours.signbit() == theirs.signbit())
    return bool((both | equal).all())


def all_of(dtype: torch.dtype) -> torch.Tensor:
    """Every number that a format of 16 or 8 bits has, as float32."""
    width = torch.int16 if dtype.itemsize == 2 else torch.int8
    patterns = torch.arange(2 ** (8 * dtype.itemsize)).to(width)
    return patterns.view(dtype).float()


def numbers() -> torch.Tensor:
    """Random bits as float32 (every size there is), and plain ones."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**31), 2**31, (200_000,), generator=generator).int()
    plain = torch.randn(50_000, generator=generator)
    wide = plain * 10 ** (8 * torch.rand(50_000, generator=generator) - 6)
    return torch.cat([bits.view(torch.float32), plain, wide, torch.tensor([0.0, -0.0])])


@each_short
def test_rounding_is_the_librarys_cast(dtype, form):
    given = numbers()
    assert same(round_to(given, form), given.to(dtype).float())


@each_short
def test_halfway_between_two_neighbours_the_even_one_is_taken(dtype, form):
    have = all_of(dtype)
    have = have[have.isfinite()].unique()  # sorted
    middles = ((have[1:].double() + have[:-1].double()) / 2).float()
    assert same(round_to(middles, form), middles.to(dtype).float())
    assert (round_to(middles, form) != middles).all()


@each_short
def test_what_a_format_has_stays_as_it_is(dtype, form):
    have = all_of(dtype)
    assert same(round_to(have, form), have)


def test_rounding_float64_to_float32_is_the_cast():
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(50_000, generator=generator, dtype=torch.float64)
    given = given * 10 ** (90 * torch.rand(50_000, generator=generator) - 46)
    assert same(round_to(given, FP32), given.float().double())
    assert round_to(given, FP32).isinf().any()


def test_the_edges_of_the_formats_are_the_librarys():
    for dtype, form in FORMATS.items():
        info = torch.finfo(dtype)
        assert form.largest == info.max
        assert form.smallest_normal == info.smallest_normal
        assert form.epsilon == info.eps
        assert form.bits == info.bits
    for dtype, form in (HALVES | EIGHTS).items():
        have = all_of(dtype)
        assert form.smallest == have[have > 0].min()


def test_infinity_and_nan():
    odd = torch.tensor([torch.inf, -torch.inf, torch.nan])
    assert same(round_to(odd, BF16), odd)
    assert same(round_to(odd, E4M3), torch.tensor([448.0, -448.0, torch.nan]))


def test_a_narrow_type_cannot_hold_a_wide_format():
    with pytest.raises(UserError, match="cannot hold bf16"):
        round_to(torch.ones(1, dtype=torch.float16), BF16)


def test_powers_of_two_are_exact():
    exponents = torch.tensor([-1022, -149, -1, 0, 1, 1023])
    assert power_of_two(exponents).tolist() == [2.0**e for e in exponents.tolist()]


@each_half
def test_bit_patterns_are_those_in_memory(dtype, form):
    have = all_of(dtype)
    keep = have.isfinite()
    patterns = torch.arange(2**16)[keep][::97].tolist()
    for value, pattern in zip(have[keep][::97].tolist(), patterns, strict=True):
        assert "".join(bit_pattern(value, form)) == f"{pattern:016b}"


def test_a_number_that_is_not_there_has_no_pattern():
    with pytest.raises(UserError, match=r"bf16 does not have 1\.001"):
        bit_pattern(1.001, BF16)
