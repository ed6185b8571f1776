"""Rarer mistakes of the exercises on positions. Chapter 04 teaches this."""

import math

import torch

from llmcourse.checks.bank.positions import (
    interpolated_angles,
    longest_wavelength,
    positions_of_new,
    rope,
    rotate_pair,
    sinusoids,
)


def _angles(n_positions, width, theta=10_000.0, first=0, pair=0, over=None):
    """Positions times speeds, [T, K/2]; `over` is what pairs are divided by."""
    pairs = torch.arange(width // 2, dtype=torch.float64) + pair
    speeds = theta ** (-2 * pairs / (over or width))
    return (torch.arange(n_positions, dtype=torch.float64) + first)[:, None] * speeds


def _hands(angles, even=torch.sin, odd=torch.cos):
    return torch.stack([even(angles), odd(angles)], -1).flatten(1).float()


@sinusoids.mistake(
    "speeds of one part in D less one", hint="You divide by D - 1. The exponent is 2i/D."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model, over=d_model - 1))


@sinusoids.mistake(
    "the fast pairs last",
    hint="You let the speeds grow from pair to pair: the exponent needs its minus, and the "
    "first pair is the fastest.",
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model).flip(1))


@sinusoids.mistake(
    "multiplied by 10000 to the power", hint="You multiply by 10000^(2i/D). Divide by it."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model, 1 / 10_000.0))


@sinusoids.mistake(
    "speeds on a straight line",
    hint="You let the speeds fall on a straight line. They fall by the same factor from pair "
    "to pair.",
)
def _(n_positions, d_model):
    speeds = 1 - 2 * torch.arange(d_model // 2) / d_model
    return _hands(torch.arange(n_positions)[:, None] * speeds)


@sinusoids.mistake("columns as rows", hint="You hand back [D, T]. A row is a position.")
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model)).mT


@sinusoids.mistake(
    "an axis for the batch", hint="You put an axis for the batch in front. Asked for is [T, D]."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model))[None]


@sinusoids.mistake(
    "the table divided by the root of the width",
    hint="You scale the table. Sines and cosines stay as they are.",
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model)) / math.sqrt(d_model / 2)


@sinusoids.mistake(
    "the table times the root of the width",
    hint="You scale the table. It is the embeddings that the paper multiplies by the root.",
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model)) * math.sqrt(d_model)


@sinusoids.mistake(
    "the angles themselves", hint="You hand back the angles. Take their sines and cosines."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model), lambda a: a, lambda a: a)


@sinusoids.mistake(
    "cosines in both columns",
    hint="You put a cosine into both columns of a pair. The first is a sine.",
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model), torch.cos, torch.cos)


@sinusoids.mistake(
    "one speed for all pairs", hint="You give every pair the same speed, 1. Each has its own."
)
def _(n_positions, d_model):
    return _hands(torch.arange(n_positions)[:, None].double().expand(-1, d_model // 2))


@sinusoids.mistake(
    "tangents for cosines", hint="You take a tangent. A pair is a sine and a cosine."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model), odd=torch.tan)


@sinusoids.mistake(
    "degrees taken for radians", hint="You change the angles from degrees. They are in radians."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model).deg2rad())


@sinusoids.mistake(
    "powers of e", hint="You take powers of e in place of 10000: the exponent needs its ln 10000."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model, math.e))


@sinusoids.mistake(
    "the last position left in", hint="You make one row more. There are T rows, from 0 to T - 1."
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions + 1, d_model))


# ---------------------------------------------------------------- turning


def _turn(a, b, angle):
    return a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()


@rotate_pair.mistake(
    "both signs minus", hint="Both of your rows have a minus. The second has a plus."
)
def _(a, b, angle):
    return a * angle.cos() - b * angle.sin(), b * angle.cos() - a * angle.sin()


@rotate_pair.mistake(
    "a fraction of a whole turn",
    hint="You take the angle for a part of a whole turn. It is in radians.",
)
def _(a, b, angle):
    return _turn(a, b, angle * 2 * math.pi)


@rotate_pair.mistake(
    "the angle in units of pi", hint="You multiply the angle by pi. It is in radians already."
)
def _(a, b, angle):
    return _turn(a, b, angle * math.pi)


@rotate_pair.mistake(
    "radians changed to degrees",
    hint="You change the angle to degrees before the sine. Sine and cosine take radians.",
)
def _(a, b, angle):
    return _turn(a, b, angle.rad2deg())


@rotate_pair.mistake("one tensor", hint="You hand back one tensor. Asked for is a tuple of two.")
def _(a, b, angle):
    return torch.stack(_turn(a, b, angle))


@rotate_pair.mistake(
    "complex numbers", hint="You hand back complex numbers. Asked for is a tuple of both entries."
)
def _(a, b, angle):
    return torch.complex(*_turn(a, b, angle))


@rotate_pair.mistake(
    "made a length of one", hint="You make the pair length 1. A turn keeps the length that it had."
)
def _(a, b, angle):
    x, y = _turn(a, b, angle)
    return x / (x**2 + y**2).sqrt(), y / (x**2 + y**2).sqrt()


@rotate_pair.mistake(
    "only the cosines", hint="You leave the sines out. Each entry takes a part of the other."
)
def _(a, b, angle):
    return a * angle.cos(), b * angle.cos()


@rotate_pair.mistake(
    "moved along the tangent",
    hint="You move along the tangent, for small angles. The turn has sines and cosines.",
)
def _(a, b, angle):
    return a - b * angle, b + a * angle


@rotate_pair.mistake(
    "hyperbolic functions",
    hint="You take hyperbolic sines and cosines. The turn has the plain ones.",
)
def _(a, b, angle):
    return a * angle.cosh() - b * angle.sinh(), b * angle.cosh() + a * angle.sinh()


@rotate_pair.mistake(
    "an arc tangent of the quotient",
    hint="You find the pair's own angle by atan(b / a), which mixes up opposite directions. "
    "`atan2` does not, and the formula needs neither.",
)
def _(a, b, angle):
    length = (a**2 + b**2).sqrt()
    turned = (b / a).atan() + angle
    return length * turned.cos(), length * turned.sin()


@rotate_pair.mistake(
    "the length squared", hint="You multiply by the squared length. The length is its root."
)
def _(a, b, angle):
    x, y = _turn(a, b, angle)
    length = (a**2 + b**2).sqrt()
    return x * length, y * length


@rotate_pair.mistake(
    "the sines squared", hint="You take squares of sine and cosine. They stand alone."
)
def _(a, b, angle):
    return a * angle.cos() ** 2 - b * angle.sin() ** 2, b * angle.cos() ** 2 + a * angle.sin() ** 2


@rotate_pair.mistake(
    "the pair itself added", hint="You add the turned pair to the old one. It replaces it."
)
def _(a, b, angle):
    x, y = _turn(a, b, angle)
    return a + x, b + y


@rotate_pair.mistake(
    "the second row from the first, with its sign",
    hint="You make the second row from the new a. Both rows are of the old a and b.",
)
def _(a, b, angle):
    x = a * angle.cos() - b * angle.sin()
    return x, b * angle.cos() - x * angle.sin()


@rotate_pair.mistake(
    "every angle with every pair",
    hint="You make a row for each angle. The three broadcast: each pair has its angle.",
)
def _(a, b, angle):
    angle = angle.unsqueeze(-1)
    return _turn(a, b, angle)


@rotate_pair.mistake("plain numbers", hint="You hand back plain numbers. Keep tensors.")
def _(a, b, angle):
    x, y = _turn(a, b, angle)
    return x.tolist(), y.tolist()


# ---------------------------------------------------------------- RoPE


def _rope(x, positions, theta, pair=0, over=None, sign=1.0, turn=_turn, angles=None):
    width = x.size(-1)
    if angles is None:
        pairs = torch.arange(width // 2, dtype=torch.float64) + pair
        angles = positions[:, None].double() * theta ** (-2 * pairs / (over or width))
    a, b = x.chunk(2, dim=-1)
    return torch.cat(turn(a, b, (sign * angles).to(x.dtype)), -1)


@rope.mistake(
    "only the first half turned",
    hint="You leave the second half as it came. Both entries of a pair turn.",
)
def _(x, positions, theta):
    found = _rope(x, positions, theta)
    return torch.cat([found[:, : x.size(1) // 2], x[:, x.size(1) // 2 :]], -1)


@rope.mistake(
    "a quarter of the width turned", hint="You turn half of the pairs (partial rotation). All turn."
)
def _(x, positions, theta):
    half = x.size(1) // 4
    angles = positions[:, None].double() * theta ** (
        -2 * torch.arange(x.size(1) // 2).double() / x.size(1)
    )
    angles[:, max(1, half) :] = 0
    return _rope(x, positions, theta, angles=angles)


@rope.mistake(
    "the halves exchanged", hint="You put the second half first. They come back in the same order."
)
def _(x, positions, theta):
    return torch.cat(_rope(x, positions, theta).chunk(2, -1)[::-1], -1)


@rope.mistake(
    "the halves exchanged on the way in",
    hint="You take the second half for the a of each pair. It is the b.",
)
def _(x, positions, theta):
    return _rope(torch.cat(x.chunk(2, -1)[::-1], -1), positions, theta)


@rope.mistake(
    "neighbours in, halves out",
    hint="You take neighbours for a pair and put the results back as halves. Pairs are entries "
    "i and i + K/2.",
)
def _(x, positions, theta):
    return _rope(torch.cat([x[:, ::2], x[:, 1::2]], -1), positions, theta)


@rope.mistake(
    "the first with the last",
    hint="You pair entry i with the one as far from the end. It is paired with i + K/2.",
)
def _(x, positions, theta):
    a, b = x.chunk(2, -1)
    found = _rope(torch.cat([a, b.flip(-1)], -1), positions, theta)
    a, b = found.chunk(2, -1)
    return torch.cat([a, b.flip(-1)], -1)


@rope.mistake(
    "the exponent up to 1",
    hint="You divide by K - 2, so that the last pair turns by 1/theta. The exponent is -2i/K.",
)
def _(x, positions, theta):
    return _rope(x, positions, theta, over=max(1, x.size(-1) - 2))


@rope.mistake(
    "positions begin at the first row's",
    hint="You count positions from the first row's. They are as they are given.",
)
def _(x, positions, theta):
    return _rope(x, positions - positions[:1], theta)


@rope.mistake(
    "the differences of the positions",
    hint="You turn each row by its distance from the row before. Turn by its position.",
)
def _(x, positions, theta):
    return _rope(x, positions.diff(prepend=positions[:1] * 0), theta)


@rope.mistake(
    "2 pi times the angle", hint="You multiply the angles by 2 pi. They are in radians already."
)
def _(x, positions, theta):
    return _rope(x, positions * 2 * math.pi, theta)


@rope.mistake(
    "both signs minus", hint="Both rows of your turn have a minus. The second has a plus."
)
def _(x, positions, theta):
    def both(a, b, angle):
        return a * angle.cos() - b * angle.sin(), b * angle.cos() - a * angle.sin()

    return _rope(x, positions, theta, turn=both)


@rope.mistake(
    "cosines alone", hint="You leave the sines out. Each entry takes a part of its partner."
)
def _(x, positions, theta):
    return _rope(x, positions, theta, turn=lambda a, b, angle: (a * angle.cos(), b * angle.cos()))


@rope.mistake(
    "sines and cosines exchanged", hint="You exchange sine and cosine. At position 0 nothing turns."
)
def _(x, positions, theta):
    def other(a, b, angle):
        return a * angle.sin() - b * angle.cos(), b * angle.sin() + a * angle.cos()

    return _rope(x, positions, theta, turn=other)


@rope.mistake(
    "scaled by the root of the width", hint="You divide by the root of K. A turn keeps lengths."
)
def _(x, positions, theta):
    return _rope(x, positions, theta) / math.sqrt(x.size(-1))


@rope.mistake("a residual connection", hint="You add what turned to what came. It replaces it.")
def _(x, positions, theta):
    return x + _rope(x, positions, theta)


@rope.mistake(
    "a sine and a cosine multiplied on",
    hint="You multiply the first half by sines and the second by cosines. Pairs turn.",
)
def _(x, positions, theta):
    return _rope(x, positions, theta, turn=lambda a, b, angle: (a * angle.sin(), b * angle.cos()))


@rope.mistake(
    "linear speeds",
    hint="You let the speeds fall on a straight line. They fall by the same factor from pair "
    "to pair.",
)
def _(x, positions, theta):
    speeds = 1 - 2 * torch.arange(x.size(-1) // 2).double() / x.size(-1)
    return _rope(x, positions, theta, angles=positions[:, None] * speeds)


@rope.mistake(
    "theta multiplied in", hint="You multiply the angles by theta. It stands in the power only."
)
def _(x, positions, theta):
    return _rope(x, positions * theta, theta)


# ---------------------------------------------------------------- new positions


@positions_of_new.mistake(
    "back to front", hint="You count down. The first new token has the smallest place."
)
def _(n_cached, n_new):
    return (torch.arange(n_new) + n_cached).flip(0)


@positions_of_new.mistake("floats", hint="You hand back floats. Places are whole numbers.")
def _(n_cached, n_new):
    return torch.arange(n_new).float() + n_cached


@positions_of_new.mistake("a column", hint="You hand back a column. Asked for is [n_new].")
def _(n_cached, n_new):
    return (torch.arange(n_new) + n_cached)[:, None]


@positions_of_new.mistake(
    "a row for a batch", hint="You put an axis for the batch in front. Asked for is [n_new]."
)
def _(n_cached, n_new):
    return (torch.arange(n_new) + n_cached)[None]


@positions_of_new.mistake("a list", hint="You hand back a list. Asked for is a tensor.")
def _(n_cached, n_new):
    return list(range(n_cached, n_cached + n_new))


@positions_of_new.mistake(
    "the last place alone",
    hint="You hand back the last place alone. There is one for each new token.",
)
def _(n_cached, n_new):
    return torch.tensor([n_cached + n_new - 1])


@positions_of_new.mistake(
    "from the end, below 0",
    hint="You count from the end, below 0. Places count from the beginning of the text.",
)
def _(n_cached, n_new):
    return torch.arange(-n_new, 0)


@positions_of_new.mistake(
    "up to the cache",
    hint="You hand back the places of the cached tokens. They keep theirs: asked for are the "
    "new ones.",
)
def _(n_cached, n_new):
    return torch.arange(n_cached)


@positions_of_new.mistake(
    "the place in the cache left over",
    hint="You go around when the new tokens are used up. Places grow without end.",
)
def _(n_cached, n_new):
    return (torch.arange(n_new) + n_cached) % max(n_new, 1)


@positions_of_new.mistake("one token more", hint="You make one place too many. There are n_new.")
def _(n_cached, n_new):
    return torch.arange(n_cached, n_cached + n_new + 1)


@positions_of_new.mistake("one token less", hint="You make one place too few. There are n_new.")
def _(n_cached, n_new):
    return torch.arange(n_cached, n_cached + n_new - 1) if n_new else torch.arange(0)


@positions_of_new.mistake(
    "from 0 for several, behind the cache for one",
    hint="You let several new tokens begin at 0, as a prompt. Whatever is cached comes first.",
)
def _(n_cached, n_new):
    return torch.tensor([n_cached]) if n_new == 1 else torch.arange(n_new)


# ---------------------------------------------------------------- interpolation


def _slow(n_positions, head_dim, theta, factor, **more):
    return (_angles(n_positions, head_dim, theta, **more) / factor).float()


@interpolated_angles.mistake(
    "only the slow pairs", hint="You slow the slow half of the pairs only. All turn as slowly."
)
def _(n_positions, head_dim, theta, factor):
    angles = _angles(n_positions, head_dim, theta)
    angles[:, head_dim // 4 :] /= factor
    return angles.float()


@interpolated_angles.mistake(
    "only beyond the trained length",
    hint="You slow positions beyond a part of the text only. All are slowed.",
)
def _(n_positions, head_dim, theta, factor):
    places = torch.arange(n_positions).double()
    limit = n_positions / factor
    places = torch.where(places < limit, places, limit + (places - limit) / factor)
    return (places[:, None] * _angles(2, head_dim, theta)[1]).float()


@interpolated_angles.mistake(
    "positions kept below the trained length",
    hint="You stop the positions at T / factor. They go on, more slowly.",
)
def _(n_positions, head_dim, theta, factor):
    return (
        _angles(n_positions, head_dim, theta).clamp(max=max(0.0, n_positions / factor - 1)).float()
    )


@interpolated_angles.mistake(
    "positions that go around",
    hint="You begin the positions anew after T / factor. They go on, more slowly.",
)
def _(n_positions, head_dim, theta, factor):
    places = torch.arange(n_positions) % max(1, int(n_positions / factor))
    return (places[:, None] * _angles(2, head_dim, theta)[1]).float()


@interpolated_angles.mistake(
    "stretched to the same end points",
    hint="You spread T positions from 0 to T / factor, ends included. Divide each by the factor.",
)
def _(n_positions, head_dim, theta, factor):
    places = torch.linspace(0, n_positions / factor, n_positions).double()
    return (places[:, None] * _angles(2, head_dim, theta)[1]).float()


@interpolated_angles.mistake(
    "the exponent up to 1", hint="You divide by K - 2 in the exponent. It is -2i/K."
)
def _(n_positions, head_dim, theta, factor):
    return _slow(n_positions, head_dim, theta, factor, over=max(1, head_dim - 2))


@interpolated_angles.mistake(
    "the sines of the angles", hint="You take their sines. Asked for are the angles themselves."
)
def _(n_positions, head_dim, theta, factor):
    return _slow(n_positions, head_dim, theta, factor).sin()


@interpolated_angles.mistake(
    "sines and cosines", hint="You go on to sines and cosines. Asked for are the angles themselves."
)
def _(n_positions, head_dim, theta, factor):
    angles = _slow(n_positions, head_dim, theta, factor)
    return angles.cos(), angles.sin()


@interpolated_angles.mistake(
    "taken around a whole turn",
    hint="You take off whole turns. Asked for are the angles as they are.",
)
def _(n_positions, head_dim, theta, factor):
    return (_angles(n_positions, head_dim, theta) / factor % (2 * math.pi)).float()


@interpolated_angles.mistake(
    "fewer positions", hint="You make T / factor rows. There is one for each of the T positions."
)
def _(n_positions, head_dim, theta, factor):
    return _slow(n_positions, head_dim, theta, factor)[: max(1, int(n_positions / factor))]


@interpolated_angles.mistake(
    "the slow pairs first", hint="You turn the order of the pairs. The first is the fastest."
)
def _(n_positions, head_dim, theta, factor):
    return _slow(n_positions, head_dim, theta, factor).flip(1)


@interpolated_angles.mistake(
    "the speeds alone", hint="You hand back the speeds. Asked for are the angles at each position."
)
def _(n_positions, head_dim, theta, factor):
    return _slow(2, head_dim, theta, factor)[1]


@interpolated_angles.mistake(
    "rounded up", hint="You round the places up to whole ones. A place may be a fraction."
)
def _(n_positions, head_dim, theta, factor):
    places = (torch.arange(n_positions).double() / factor).ceil()
    return (places[:, None] * _angles(2, head_dim, theta)[1]).float()


@interpolated_angles.mistake(
    "rounded to the nearest place",
    hint="You round the places to whole ones. A place may be a fraction.",
)
def _(n_positions, head_dim, theta, factor):
    places = (torch.arange(n_positions).double() / factor).round()
    return (places[:, None] * _angles(2, head_dim, theta)[1]).float()


@longest_wavelength.mistake(
    "pairs counted up to the width",
    hint="You count 128 pairs. There are 64, and the last has i = 63.",
)
def _():
    return 2 * math.pi * 500_000 ** (254 / 128)


@longest_wavelength.mistake(
    "the pair in the middle", hint="You take i = 32, the middle. The slowest is the last, i = 63."
)
def _():
    return 2 * math.pi * 500_000**0.5


@longest_wavelength.mistake(
    "pi times the base, halved",
    hint="You take pi / 2 or half a turn for a whole one, or count a pair too many. A whole "
    "turn is 2 pi.",
)
def _():
    return math.pi * 500_000


@longest_wavelength.mistake(
    "10,000, and one pair too many",
    hint="You take the base 10,000, and the whole of it. Llama 3 has 500,000, and the last "
    "pair is i = 63.",
)
def _():
    return 2 * math.pi * 10_000


@longest_wavelength.mistake(
    "times the width of the head",
    hint="You multiply by the width of the head. A pair's wavelength is 2 pi / w.",
)
def _():
    return 128 * 2 * math.pi * 500_000 ** (126 / 128)


@longest_wavelength.mistake(
    "the second pair", hint="You take i = 1, which is fast. The slowest is i = 63."
)
def _():
    return 2 * math.pi * 500_000 ** (2 / 128)


@sinusoids.mistake(
    "a row of zeros at the beginning",
    hint="You leave position 0 at zeros, as for padding. Its sines are 0 and its cosines 1.",
)
def _(n_positions, d_model):
    table = _hands(_angles(n_positions, d_model))
    table[:1] = 0
    return table


@sinusoids.mistake(
    "the cosines one pair ahead",
    hint="You give the cosine the speed of the next pair. Both columns of a pair have the same "
    "speed.",
)
def _(n_positions, d_model):
    sines, cosines = _angles(n_positions, d_model), _angles(n_positions, d_model, pair=1)
    return torch.stack([sines.sin(), cosines.cos()], -1).flatten(1).float()


@sinusoids.mistake(
    "positions back to front",
    hint="You number the positions from the end. The first row is position 0.",
)
def _(n_positions, d_model):
    return _hands(_angles(n_positions, d_model).flip(0))


@rope.mistake(
    "the first pair not turned",
    hint="You begin with the second pair and leave the first as it was. Pairs are counted from "
    "0, and pair 0 turns by one radian a token.",
)
def _(x, positions, theta):
    found = _rope(x, positions, theta)
    at = [0, x.size(1) // 2]
    found[:, at] = x[:, at]
    return found


@rope.mistake(
    "turned by the logarithm of the position",
    hint="You take the logarithm of the position. Each row turns by its position times the speed.",
)
def _(x, positions, theta):
    return _rope(x, positions.double().log1p(), theta)


@interpolated_angles.mistake(
    "the slow half not slowed", hint="You slow the fast half of the pairs only. All turn as slowly."
)
def _(n_positions, head_dim, theta, factor):
    angles = _angles(n_positions, head_dim, theta)
    angles[:, : (head_dim + 2) // 4] /= factor
    return angles.float()


@interpolated_angles.mistake(
    "slowed the more, the slower the pair",
    hint="You let the factor grow from pair to pair, up to the whole. All pairs are slowed by "
    "the same.",
)
def _(n_positions, head_dim, theta, factor):
    part = torch.linspace(0, 1, head_dim // 2).double()
    return (_angles(n_positions, head_dim, theta) / (1 + part * (factor - 1))).float()


@interpolated_angles.mistake(
    "the angle less the factor", hint="You take the factor off the angles. Divide by it."
)
def _(n_positions, head_dim, theta, factor):
    return (_angles(n_positions, head_dim, theta) - factor).float()
