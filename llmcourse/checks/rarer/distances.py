"""Rarer mistakes of the exercises on biases by distance. Chapter 04 teaches this."""

import math

import torch

from llmcourse.checks.bank.distances import alibi_bias, relative_buckets


def _slopes(n_heads, base=2.0, first=1, top=8.0):
    heads = torch.arange(n_heads) + first
    return base ** (-top * heads / n_heads)


def _apart(n_queries, n_keys, first=None):
    first = n_keys - n_queries if first is None else first
    return (torch.arange(n_queries)[:, None] + first - torch.arange(n_keys)).float()


def _alibi(n_heads, n_queries, n_keys, slopes=None, apart=None):
    slopes = _slopes(n_heads) if slopes is None else slopes
    apart = _apart(n_queries, n_keys).abs() if apart is None else apart
    return -slopes[:, None, None] * apart


@alibi_bias.mistake("powers of e", hint="You make the slopes powers of e. They are powers of 2.")
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, _slopes(n_heads, math.e))


@alibi_bias.mistake("powers of 10", hint="You make the slopes powers of 10. They are powers of 2.")
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, _slopes(n_heads, 10.0))


@alibi_bias.mistake(
    "slopes of one over the head", hint="You take 1/h for the slopes. They are powers of 2."
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, 1 / (torch.arange(n_heads) + 1.0))


@alibi_bias.mistake(
    "slopes on a straight line",
    hint="You space the slopes evenly. From head to head they shrink by the same factor.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, (n_heads - torch.arange(n_heads)) / n_heads)


@alibi_bias.mistake(
    "slopes evenly spaced between the first and the last",
    hint="You draw a line from the first slope to the last. From head to head they shrink by "
    "the same factor.",
)
def _(n_heads, n_queries, n_keys):
    ends = _slopes(n_heads)
    line = torch.linspace(float(ends[0]), float(ends[-1]), n_heads)
    return _alibi(n_heads, n_queries, n_keys, line)


@alibi_bias.mistake(
    "the exponent of a single head",
    hint="You give all heads the slope of the first. h counts them.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, _slopes(n_heads)[:1].expand(n_heads))


@alibi_bias.mistake("slopes up to 2^-16", hint="You let the exponent run to 16. It runs to 8.")
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, _slopes(n_heads, top=16.0))


@alibi_bias.mistake(
    "slopes from 1, one apart less",
    hint="You space H slopes from 1 to 2^-8. The first is 2^(-8/H).",
)
def _(n_heads, n_queries, n_keys):
    slopes = 2.0 ** (-8 * torch.arange(n_heads) / max(1, n_heads - 1))
    return _alibi(n_heads, n_queries, n_keys, slopes)


@alibi_bias.mistake(
    "a whole division in the exponent",
    hint="You divide the exponent with //, which cuts off its fraction.",
)
def _(n_heads, n_queries, n_keys):
    slopes = torch.tensor([2.0 ** -(8 * h // n_heads) for h in range(1, n_heads + 1)])
    return _alibi(n_heads, n_queries, n_keys, slopes)


@alibi_bias.mistake(
    "the logarithm of the distance",
    hint="You take the logarithm of the distance. It counts as it is.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=_apart(n_queries, n_keys).abs().log1p())


@alibi_bias.mistake(
    "the distance plus one", hint="You count the query's own key as 1 away. It is 0 away."
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=_apart(n_queries, n_keys).abs() + 1)


@alibi_bias.mistake(
    "the distance as a share of the text",
    hint="You divide the distance by the number of keys. It counts in tokens.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=_apart(n_queries, n_keys).abs() / n_keys)


@alibi_bias.mistake(
    "the last query one key too early", hint="You place the last query one before the last key."
)
def _(n_heads, n_queries, n_keys):
    apart = _apart(n_queries, n_keys, n_keys - n_queries - 1).abs()
    return _alibi(n_heads, n_queries, n_keys, apart=apart)


@alibi_bias.mistake(
    "the last query behind the last key",
    hint="You place the last query one behind the last key. It stands at the last key.",
)
def _(n_heads, n_queries, n_keys):
    apart = _apart(n_queries, n_keys, n_keys - n_queries + 1).abs()
    return _alibi(n_heads, n_queries, n_keys, apart=apart)


@alibi_bias.mistake("heads on the last axis", hint="You put the heads last. The order is H, T, S.")
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys).permute(1, 2, 0)


@alibi_bias.mistake(
    "an axis for the batch", hint="You put an axis for the batch in front. Asked for is [H, T, S]."
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys)[None]


@alibi_bias.mistake(
    "keys before the query count as 0 away",
    hint="You give keys before the query no bias: the difference is the wrong way round before "
    "it is limited.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=(-_apart(n_queries, n_keys)).clamp(min=0))


@alibi_bias.mistake(
    "distances without slopes",
    hint="You hand back minus the distances for every head. Each head has its slope.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, torch.ones(n_heads))


@alibi_bias.mistake(
    "the slopes alone",
    hint="You hand back the slopes. Asked for are slopes times distances, [H, T, S].",
)
def _(n_heads, n_queries, n_keys):
    return _slopes(n_heads)


@alibi_bias.mistake(
    "cut at a far distance", hint="You let the distance grow no further than 8. It has no limit."
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=_apart(n_queries, n_keys).abs().clamp(max=8))


@alibi_bias.mistake(
    "cut at 128",
    hint="You let the distance grow no further than 128. It counts however far a key is.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=_apart(n_queries, n_keys).abs().clamp(max=128))


@alibi_bias.mistake(
    "the running product of halves, from one",
    hint="You halve from head to head, beginning with 1. The first slope is 2^(-8/H), and so "
    "is the factor.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, 2.0 ** -torch.arange(n_heads).float())


@alibi_bias.mistake(
    "powers of the head's number",
    hint="You raise h to the power of -8/H. It is 2 to the power of -8 h / H.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, (torch.arange(n_heads) + 1.0) ** (-8 / n_heads))


@alibi_bias.mistake(
    "the key's position, rewarded",
    hint="You add the slope times where the key stands. A softmax would not notice, but asked for "
    "is minus the slope times the distance.",
)
def _(n_heads, n_queries, n_keys):
    places = torch.arange(n_keys).float().expand(n_queries, n_keys)
    return _alibi(n_heads, n_queries, n_keys, apart=-places)


@alibi_bias.mistake(
    "slopes of one over twice the head",
    hint="You take 1/(2h) for the slopes. They are powers of 2, with the head in the exponent.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, 1 / (2 * (torch.arange(n_heads) + 1.0)))


# ---------------------------------------------------------------- T5's buckets


def _far(distances, n, most, exact=None, width=None, base=None, cut=torch.floor):
    exact = n // 2 if exact is None else exact
    far = (distances.clamp(min=1) / exact).double().log() / math.log((base or most) / exact)
    return exact + cut(far * ((n - exact) if width is None else width) + 1e-9).long()


def _bucket(distances, n, most, exact=None, limit=None, strict=True, **more):
    exact = n // 2 if exact is None else exact
    near = distances < exact if strict else distances <= exact
    far = _far(distances, n, most, exact, **more)
    return torch.where(near, distances, far.clamp(max=n - 1 if limit is None else limit))


@relative_buckets.mistake(
    "a quarter of the buckets for near distances",
    hint="You give a quarter of the buckets to near distances. It is half.",
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance, exact=max(1, n_buckets // 4))


@relative_buckets.mistake(
    "one near bucket more", hint="You let near distances go one further. They end below n / 2."
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance, exact=n_buckets // 2 + 1)


@relative_buckets.mistake(
    "one near bucket less", hint="You let near distances end one earlier. They go up to n / 2 - 1."
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance, exact=max(1, n_buckets // 2 - 1))


@relative_buckets.mistake(
    "far distances one bucket too far", hint="You add one to the far buckets. They begin at n / 2."
)
def _(distances, n_buckets, max_distance):
    near = distances < n_buckets // 2
    far = (_far(distances, n_buckets, max_distance) + 1).clamp(max=n_buckets - 1)
    return torch.where(near, distances, far)


@relative_buckets.mistake(
    "far distances one bucket too near",
    hint="You take one off the far buckets. They begin at n / 2.",
)
def _(distances, n_buckets, max_distance):
    near = distances < n_buckets // 2
    far = (_far(distances, n_buckets, max_distance) - 1).clamp(max=n_buckets - 1)
    return torch.where(near, distances, far)


@relative_buckets.mistake(
    "stretched over one bucket less",
    hint="You stretch the far distances over n - e - 1 buckets. There are n - e of them.",
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance, width=n_buckets - n_buckets // 2 - 1)


@relative_buckets.mistake(
    "logarithm of max without e", hint="You divide by ln max. It is ln(max / e)."
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance, base=max_distance * (n_buckets // 2))


@relative_buckets.mistake(
    "the far distances by their root",
    hint="You spread far distances by their root. It is the logarithm.",
)
def _(distances, n_buckets, max_distance):
    e = n_buckets // 2
    part = ((distances.double() - e).clamp(min=0) / (max_distance - e)).sqrt()
    far = (e + (part * (n_buckets - e)).long()).clamp(max=n_buckets - 1)
    return torch.where(distances < e, distances, far)


@relative_buckets.mistake(
    "each power of 2 a bucket",
    hint="You give each doubling a bucket of its own. How wide they are depends on the largest "
    "distance.",
)
def _(distances, n_buckets, max_distance):
    e = n_buckets // 2
    far = (e + (distances.clamp(min=1) / e).log2().floor().long()).clamp(max=n_buckets - 1)
    return torch.where(distances < e, distances, far)


@relative_buckets.mistake(
    "counted from the far end",
    hint="You number the buckets from the far end. Distance 0 has bucket 0.",
)
def _(distances, n_buckets, max_distance):
    return n_buckets - 1 - _bucket(distances, n_buckets, max_distance)


@relative_buckets.mistake(
    "distances beyond the largest in bucket 0",
    hint="You give distances beyond the largest bucket 0. They share the last one.",
)
def _(distances, n_buckets, max_distance):
    found = _bucket(distances, n_buckets, max_distance)
    return torch.where(distances > max_distance, 0, found)


@relative_buckets.mistake(
    "distances limited to n - 1 first",
    hint="You limit distances to one below the largest. Limit the buckets.",
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances.clamp(max=n_buckets - 1), n_buckets, max_distance)


@relative_buckets.mistake(
    "never above n - 2", hint="You limit the buckets to n - 2. The last is n - 1."
)
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance, limit=n_buckets - 2)


@relative_buckets.mistake(
    "around by what is left over",
    hint="You go around once the buckets are used up. Far distances share the last one.",
)
def _(distances, n_buckets, max_distance):
    return distances % n_buckets


@relative_buckets.mistake(
    "equal steps up to the largest distance",
    hint="You cut the distances into equal steps. Near ones have a bucket each, and the far "
    "ones go by the logarithm.",
)
def _(distances, n_buckets, max_distance):
    return (distances * n_buckets // max_distance).clamp(max=n_buckets - 1)


@relative_buckets.mistake("floats", hint="You hand back floats. Buckets are whole numbers.")
def _(distances, n_buckets, max_distance):
    return _bucket(distances, n_buckets, max_distance).float()


@relative_buckets.mistake(
    "the whole part of the logarithm before it is stretched",
    hint="You cut the fraction off before you stretch. Stretch first, then cut.",
)
def _(distances, n_buckets, max_distance):
    e = n_buckets // 2
    part = ((distances.clamp(min=1) / e).log() / math.log(max_distance / e)).floor()
    far = (e + part * (n_buckets - e)).long().clamp(max=n_buckets - 1)
    return torch.where(distances < e, distances, far)


@relative_buckets.mistake(
    "a whole division inside the logarithm",
    hint="You divide by e with //, which cuts off the fraction before the logarithm sees it.",
)
def _(distances, n_buckets, max_distance):
    e = n_buckets // 2
    part = (distances.clamp(min=1) // e).clamp(min=1).double().log() / math.log(max_distance / e)
    far = (e + (part * (n_buckets - e) + 1e-9).long()).clamp(max=n_buckets - 1)
    return torch.where(distances < e, distances, far)


@relative_buckets.mistake(
    "the far formula for near distances too",
    hint="You use the far formula everywhere, limited to 0 from below. Near distances have a "
    "bucket of their own.",
)
def _(distances, n_buckets, max_distance):
    return _far(distances, n_buckets, max_distance).clamp(0, n_buckets - 1)


@relative_buckets.mistake(
    "the distance less e under the logarithm",
    hint="You take the logarithm of the distance less e. It is of the distance over e.",
)
def _(distances, n_buckets, max_distance):
    e = n_buckets // 2
    part = (distances - e).clamp(min=0).double().log1p() / math.log1p(max_distance - e)
    far = (e + (part * (n_buckets - e) + 1e-9).long()).clamp(max=n_buckets - 1)
    return torch.where(distances < e, distances, far)


@relative_buckets.mistake(
    "far distances over all n buckets, from 0",
    hint="You let the far buckets begin at 0 and run to n. They begin at n / 2.",
)
def _(distances, n_buckets, max_distance):
    e = n_buckets // 2
    part = (distances.clamp(min=1) / e).double().log() / math.log(max_distance / e)
    far = (part * n_buckets + 1e-9).long().clamp(max=n_buckets - 1)
    return torch.where(distances < e, distances, far)


@relative_buckets.mistake(
    "the order of the distances",
    hint="You number the distances that occur. A bucket depends on the distance alone.",
)
def _(distances, n_buckets, max_distance):
    return distances.unique(return_inverse=True)[1].clamp(max=n_buckets - 1)


@alibi_bias.mistake(
    "Gaussian in the distance", hint="You square the distance over 2. It counts as it is, once."
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=_apart(n_queries, n_keys) ** 2 / 2)


@alibi_bias.mistake(
    "one over the distance",
    hint="You take one over the distance plus one. It is minus slope times distance.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys, apart=1 / (_apart(n_queries, n_keys).abs() + 1))


@alibi_bias.mistake(
    "halved from head to head, with the last at 2^-8",
    hint="You count back from 2^-8, a half at a time. The exponents are H equal steps of 8/H.",
)
def _(n_heads, n_queries, n_keys):
    slopes = 2.0 ** -(torch.arange(n_heads) + 9.0 - n_heads)
    return _alibi(n_heads, n_queries, n_keys, slopes)


@alibi_bias.mistake(
    "scaled like scores",
    hint="You divide by the root of the number of keys. The bias is added as it is.",
)
def _(n_heads, n_queries, n_keys):
    return _alibi(n_heads, n_queries, n_keys) / math.sqrt(n_keys)
