"""Rarer mistakes of the exercises on drawing and on beams. Chapter 15 teaches this."""

import math

import torch

from llmcourse.checks.bank.generation import beam_search, draw_token, top_p


def _first(probs, u, *, side="larger"):
    sums = probs.double().cumsum(0)
    found = (sums > u) if side == "larger" else (sums >= u)
    return int(found.int().argmax()) if found.any() else len(probs) - 1


def _drawn(logits, temperature, u, *, alter=None):
    probs = (logits.double() / temperature).softmax(0)
    return _first(alter(probs) if alter else probs, u)


@draw_token.mistake(
    "the least likely tokens first",
    hint="You sort the tokens, least likely first. They are added up in the order they have.",
)
def _(logits, temperature, u):
    probs, order = (logits / temperature).softmax(0).sort(stable=True)
    return int(order[_first(probs, u)])


@draw_token.mistake(
    "Gumbel noise made of u",
    hint="You draw by noise on the logits (Gumbel). Here one number u is looked up in the sums.",
)
def _(logits, temperature, u):
    noise = -torch.log(-torch.log(torch.rand(len(logits)).clamp(min=1e-9)))
    return int((logits / temperature + noise).argmax())


@draw_token.mistake(
    "u as a share of the tokens by rank",
    hint="You take the token at a share u of the ranks. It is the probabilities that are added up.",
)
def _(logits, temperature, u):
    return int(logits.argsort(descending=True)[min(int(u * len(logits)), len(logits) - 1)])


@draw_token.mistake(
    "temperature one added",
    hint="You divide by 1 + τ. Divide by the temperature alone.",
)
def _(logits, temperature, u):
    return _drawn(logits, 1 + temperature, u)


@draw_token.mistake(
    "a sigmoid for each token",
    hint="You add up sigmoids, which do not add up to 1. A softmax is asked for.",
)
def _(logits, temperature, u):
    return _first(torch.sigmoid(logits.double() / temperature), u)


@draw_token.mistake(
    "the sizes of the logits",
    hint="You add up the logits without their sign, as shares. A softmax is asked for.",
)
def _(logits, temperature, u):
    each = (logits.double() / temperature).abs()
    return _first(each / each.sum(), u)


@draw_token.mistake(
    "the exponential cut off",
    hint="You cut the logits off before the exponential. Take the largest one off instead, which "
    "changes nothing.",
)
def _(logits, temperature, u):
    return _drawn(logits.clamp(-20, 20), temperature, u)


@draw_token.mistake(
    "probabilities rounded to two digits",
    hint="You round the probabilities before you add them up. Add up what the softmax gives.",
)
def _(logits, temperature, u):
    return _drawn(logits, temperature, u, alter=lambda p: (p * 100).round() / 100)


@draw_token.mistake(
    "sums rounded to two digits",
    hint="You round the sums before you compare. Compare what was added up.",
)
def _(logits, temperature, u):
    sums = ((logits.double() / temperature).softmax(0).cumsum(0) * 100).round() / 100
    found = (sums > u).nonzero()
    return int(found[0]) if len(found) else len(logits) - 1


@draw_token.mistake(
    "the last token never",
    hint="You stop before the last token. It has a probability, too.",
)
def _(logits, temperature, u):
    return min(_drawn(logits, temperature, u), max(len(logits) - 2, 0))


@draw_token.mistake(
    "the likeliest one when u is small",
    hint="You return the likeliest token where u lies below its probability, whatever comes "
    "before it.",
)
def _(logits, temperature, u):
    probs = (logits / temperature).softmax(0)
    best = int(probs.argmax())
    return best if u < probs[best] else _first(probs, u)


@draw_token.mistake(
    "the likeliest one below temperature one",
    hint="You take the likeliest token when the temperature is below 1. It sharpens the "
    "distribution, and is still drawn from.",
)
def _(logits, temperature, u):
    return int(logits.argmax()) if temperature < 1 else _drawn(logits, temperature, u)


@draw_token.mistake(
    "the token in the middle of the sums",
    hint="You compare u with the sum up to the *middle* of each token. The sum up to its end "
    "counts.",
)
def _(logits, temperature, u):
    probs = (logits.double() / temperature).softmax(0)
    found = (probs.cumsum(0) - probs / 2 > u).nonzero()
    return int(found[0]) if len(found) else len(logits) - 1


def _kept(logits, probs, p, *, over=False, at_least=1):
    """The likeliest until their probabilities reach p; those after it are cut."""
    probs, order = probs.double().sort(descending=True, stable=True)
    before = probs.cumsum(0) - probs
    cut = (before > p) if over else (before >= p)
    cut[:at_least] = False
    out = logits.clone()
    out[order[cut]] = -math.inf
    return out


@top_p.mistake(
    "what has at least probability p by itself",
    hint="You compare each token's own probability with p. The *sum* of the likeliest counts.",
)
def _(logits, p):
    probs = logits.softmax(0)
    return logits.masked_fill((probs < p) & (probs < probs.max()), -math.inf)


@top_p.mistake(
    "what has at least probability 1 − p by itself",
    hint="You cut tokens whose own probability is below 1 − p. The *sum* of the likeliest counts.",
)
def _(logits, p):
    probs = logits.softmax(0)
    return logits.masked_fill((probs < 1 - p) & (probs < probs.max()), -math.inf)


@top_p.mistake(
    "a share p of the tokens",
    hint="You keep a share p of the *number* of tokens. Asked for is a share of the probability.",
)
def _(logits, p):
    n = max(1, math.ceil(p * len(logits)))
    out = torch.full_like(logits, -math.inf)
    best = logits.topk(n).indices
    out[best] = logits[best]
    return out


@top_p.mistake(
    "typical tokens",
    hint="You sort by how near a token's surprise is to the entropy (typical sampling). Top-p "
    "takes the likeliest.",
)
def _(logits, p):
    log_p = logits.double().log_softmax(0)
    entropy = -(log_p.exp() * log_p).sum()
    order = (-log_p - entropy).abs().argsort(stable=True)
    sums = log_p.exp()[order].cumsum(0)
    out = logits.clone()
    out[order[sums - log_p.exp()[order] >= p]] = -math.inf
    return out


@top_p.mistake(
    "by entropy",
    hint="You keep what is likelier than a bound made of the entropy (eta sampling). Top-p adds up "
    "probabilities.",
)
def _(logits, p):
    log_p = logits.log_softmax(0)
    entropy = -(log_p.exp() * log_p).sum()
    bound = (1 - p) ** 0.5 * torch.exp(-entropy)
    low = (log_p.exp() < bound) & (log_p < log_p.max())
    return logits.masked_fill(low, -math.inf)


@top_p.mistake(
    "one token fewer than reaches p",
    hint="You cut the token with which the sum reaches p. It belongs to the set: without it the "
    "set has less than p.",
)
def _(logits, p):
    probs, order = logits.double().softmax(0).sort(descending=True, stable=True)
    cut = probs.cumsum(0) >= p
    cut[0] = False
    out = logits.clone()
    out[order[cut]] = -math.inf
    return out


@top_p.mistake(
    "two tokens at least",
    hint="You always keep two tokens. One is enough if it has p alone.",
)
def _(logits, p):
    return _kept(logits, logits.softmax(0), p, at_least=2)


@top_p.mistake(
    "in the order of the vocabulary, the likeliest kept",
    hint="You add probabilities up in the vocabulary's order. Sort them first, likeliest first.",
)
def _(logits, p):
    probs = logits.double().softmax(0)
    cut = probs.cumsum(0) - probs >= p
    cut[logits.argmax()] = False
    return logits.masked_fill(cut, -math.inf)


@top_p.mistake(
    "the smallest number there is in place of minus infinity",
    hint="You give cut tokens the smallest number of the format. Minus infinity is asked for.",
)
def _(logits, p):
    kept = _kept(logits, logits.softmax(0), p)
    return kept.masked_fill(kept == -math.inf, torch.finfo(logits.dtype).min)


@top_p.mistake(
    "log-probabilities of all, some cut",
    hint="You return ln p of what stays. Its logits are asked for, unchanged.",
)
def _(logits, p):
    return _kept(logits.log_softmax(0), logits.softmax(0), p)


@top_p.mistake(
    "less the largest logit",
    hint="You take the largest logit off what stays. It is returned unchanged.",
)
def _(logits, p):
    return _kept(logits - logits.max(), logits.softmax(0), p)


@top_p.mistake(
    "shares of the logits",
    hint="You add up logits as shares of their sum. Make probabilities of them by a softmax.",
)
def _(logits, p):
    low = logits - logits.min()
    return _kept(logits, low / low.sum().clamp(min=1e-9), p)


@top_p.mistake(
    "p of the square of the probabilities",
    hint="You add up squared probabilities. They are added up as they are.",
)
def _(logits, p):
    return _kept(logits, logits.softmax(0) ** 2, p)


def _search(scores, ids, n_beams, n, end, alpha, *, rule=None, stop=None, worth=None, keep=None):
    """The search with one of its parts exchanged: rule, stop, worth, and what is kept."""
    beams, finished = [(0.0, list(ids))], []
    for step in range(n):
        longer = [
            (rule(s, float(x)) if rule else s + float(x), [*text, token])
            for s, text in beams
            for token, x in enumerate(scores(text).tolist())
        ]
        longer.sort(key=lambda beam: -beam[0])
        best = keep(longer, n_beams, end) if keep else longer[:n_beams]
        finished += [beam for beam in best if beam[1][-1] == end]
        beams = [beam for beam in best if beam[1][-1] != end]
        if not beams or (stop and stop(finished, beams, n_beams, step)):
            break
    worth = worth or (lambda s, m: s / m**alpha)
    all_of_them = finished + beams
    return max(all_of_them, key=lambda b: worth(b[0], max(len(b[1]) - len(ids), 1)))[1]


@beam_search.mistake(
    "stops when as many texts have ended as there are beams",
    hint="You stop once `n_beams` texts are finished, as many libraries do. Here it goes on until "
    "no beam is left, or n steps are done.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(scores, ids, n_beams, n, end, alpha, stop=lambda f, b, k, t: len(f) >= k)


@beam_search.mistake(
    "stops when the best finished sum is above all beams",
    hint="You stop once a finished text's sum is above each beam's. Divided by a power of the "
    "length, a longer text may still win.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def stop(finished, beams, k, step):
        return bool(finished) and max(f[0] for f in finished) >= max(b[0] for b in beams)

    return _search(scores, ids, n_beams, n, end, alpha, stop=stop)


@beam_search.mistake(
    "Google's length penalty",
    hint="You divide by ((5 + m) / 6)^α, as Google's translator did. Divide by m^α.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(
        scores, ids, n_beams, n, end, alpha, worth=lambda s, m: s / ((5 + m) / 6) ** alpha
    )


@beam_search.mistake(
    "one token more in the length",
    hint="You divide by (m + 1)^α. m counts the new tokens, no more.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(scores, ids, n_beams, n, end, alpha, worth=lambda s, m: s / (m + 1) ** alpha)


@beam_search.mistake(
    "one and the logarithm of the length",
    hint="You divide by a power of 1 + ln m. It is m to the power of α.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(
        scores, ids, n_beams, n, end, alpha, worth=lambda s, m: s / (1 + math.log(m)) ** alpha
    )


@beam_search.mistake(
    "log-probabilities multiplied",
    hint="You multiply log-probabilities. They are added: the probabilities are multiplied.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(scores, ids, n_beams, n, end, alpha, rule=lambda s, x: -abs(s * x) if s else x)


@beam_search.mistake(
    "the weakest token of a text",
    hint="You keep each text's smallest log-probability. They are added up.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(scores, ids, n_beams, n, end, alpha, rule=min)


@beam_search.mistake(
    "one continuation of each beam",
    hint="You keep each beam's best continuation. The largest of *all* sums stay, several of one "
    "beam if they are larger.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        seen, out = {}, []
        for beam in longer:
            key = tuple(beam[1][:-1])
            if seen.setdefault(key, 0) < (k if len(key) == len(ids) else 1):
                seen[key] += 1
                out.append(beam)
        return out[:k]

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "finished ones take no place of a beam",
    hint="You keep `n_beams` that go on, and the finished ones besides. Those that end are among "
    "the `n_beams` largest, or fall away.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        going = [beam for beam in longer if beam[1][-1] != end][:k]
        return going + [beam for beam in longer if beam[1][-1] == end]

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "twice as many looked at",
    hint="You look at the 2 · n_beams largest: those of them that end are finished, and n_beams "
    "others go on (as libraries do). Here the `n_beams` largest of all are all that stays.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        most = longer[: 2 * k]
        going = [beam for beam in most if beam[1][-1] != end][:k]
        return going + [beam for beam in most if beam[1][-1] == end]

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "ended texts among the best ones only where they lead",
    hint="An end counts in yours if it is the largest sum of the step. Each end among the "
    "`n_beams` largest is finished.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        most = longer[:k]
        return most[:1] + [beam for beam in most[1:] if beam[1][-1] != end]

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "the smallest sums kept",
    hint="You keep the smallest sums. Log-probabilities are negative: the largest is the "
    "likeliest.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(
        scores, ids, n_beams, n, end, alpha, keep=lambda longer, k, end: longer[::-1][:k]
    )


@beam_search.mistake(
    "the likeliest text first, as far as it goes",
    hint="You open the text with the largest sum each time (best-first search), n times in all. "
    "Beams go on together, one token a step.",
)
def _(scores, ids, n_beams, n, end, alpha):
    open_ones, finished = [(0.0, list(ids))], []
    for _ in range(n):
        if not open_ones:
            break
        open_ones.sort(key=lambda b: -b[0])
        s, text = open_ones.pop(0)
        longer = [(s + x, [*text, v]) for v, x in enumerate(scores(text).tolist())]
        finished += [b for b in longer if b[1][-1] == end]
        open_ones += [b for b in longer if b[1][-1] != end]
    both = [b for b in finished + open_ones if len(b[1]) > len(ids)] or [(0.0, list(ids))]
    return max(both, key=lambda b: b[0] / max(len(b[1]) - len(ids), 1) ** alpha)[1]


@beam_search.mistake(
    "beams drawn by chance",
    hint="You draw continuations by chance. The `n_beams` largest sums are kept.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        noise = -torch.log(-torch.log(torch.rand(len(longer)).clamp(1e-6, 1 - 1e-6)))
        order = sorted(range(len(longer)), key=lambda i: -(longer[i][0] + float(noise[i])))
        return [longer[i] for i in order[:k]]

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "a token less likely once another beam has taken it",
    hint="You make a token cost more once another beam has taken it in this step (diverse beams). "
    "Sums are compared as they are.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        left, out = list(longer), []
        while left and len(out) < k:
            used = [beam[1][-1] for beam in out]
            best = max(left, key=lambda beam: beam[0] - 0.5 * used.count(beam[1][-1]))
            out.append(best)
            left.remove(best)
        return out

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "different last tokens alone",
    hint="You keep one continuation for each new token. Two beams may end with the same one.",
)
def _(scores, ids, n_beams, n, end, alpha):
    def keep(longer, k, end):
        out = {}
        for beam in longer:
            out.setdefault(beam[1][-1], beam)
        return list(out.values())[:k]

    return _search(scores, ids, n_beams, n, end, alpha, keep=keep)


@beam_search.mistake(
    "the model sees the new tokens alone",
    hint="You hand `scores` the new tokens. It takes the whole text, with `ids` in front.",
)
def _(scores, ids, n_beams, n, end, alpha):
    begin = len(ids)
    tail = _search(lambda t: scores(t[1:] or list(ids)), [0], n_beams, n, end, alpha)[1:]
    return [*ids[:begin], *tail]


@beam_search.mistake(
    "the text that ends soonest",
    hint="You return the shortest finished text. The one with the largest s / mᵅ is asked for.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(scores, ids, n_beams, n, end, alpha, worth=lambda s, m: -m)


@beam_search.mistake(
    "the longest text",
    hint="You return the longest text. The one with the largest s / mᵅ is asked for.",
)
def _(scores, ids, n_beams, n, end, alpha):
    return _search(scores, ids, n_beams, n, end, alpha, worth=lambda s, m: m)


@draw_token.mistake(
    "the two likeliest tokens alone",
    hint="You draw among the two likeliest tokens. All tokens are in it.",
)
def _(logits, temperature, u):
    def alter(p):
        kept = torch.zeros_like(p).scatter(0, p.topk(min(2, len(p))).indices, 1.0) * p
        return kept / kept.sum()

    return _drawn(logits, temperature, u, alter=alter)


@draw_token.mistake(
    "the likeliest nine tenths alone",
    hint="You cut the unlikely tail off before you draw (top-p of 0.9). All tokens are in it.",
)
def _(logits, temperature, u):
    kept = _kept(logits / temperature, (logits / temperature).softmax(0), 0.9)
    return _first(kept.softmax(0), u)


@draw_token.mistake(
    "the likeliest one as soon as it has one half",
    hint="You take the likeliest token if it has at least one half. u decides in any case.",
)
def _(logits, temperature, u):
    probs = (logits / temperature).softmax(0)
    return int(probs.argmax()) if probs.max() >= 0.5 else _first(probs, u)


@top_p.mistake(
    "the likeliest token alone",
    hint="You keep the likeliest token alone. As many stay as are needed for p.",
)
def _(logits, p):
    return _kept(logits, logits.softmax(0), 0.0)


@top_p.mistake(
    "above the mean logit",
    hint="You keep what lies above the mean logit. The likeliest until they have p are kept.",
)
def _(logits, p):
    return logits.masked_fill(logits < logits.mean(), -torch.inf)
