"""Rarer mistakes of chapter 00's exercise on writing."""

import itertools

import torch

from llmcourse.checks.bank.writing import write


def _written(scores, ids, n, pick=torch.argmax, read=lambda text: text):
    text = list(ids)
    for _ in range(n):
        text.append(int(pick(scores(read(text)))))
    return text


def _drawn(scores, ids, n, warmth=1.0):
    return _written(scores, ids, n, lambda s: torch.multinomial((s / warmth).softmax(-1), 1))


@write.mistake(
    "drawn by the shares",
    hint="You draw the next token at random (sampling). Take the likeliest one.",
)
def _(scores, ids, n):
    return _drawn(scores, ids, n)


@write.mistake(
    "drawn with little warmth",
    hint="You draw the next token at random at a low temperature. Take the likeliest one.",
)
def _(scores, ids, n):
    return _drawn(scores, ids, n, 0.1)


@write.mistake(
    "drawn from the two likeliest",
    hint="You draw among the likeliest few (top-k). Take the likeliest one.",
)
def _(scores, ids, n):
    def two(s):
        best = s.topk(2)
        return best.indices[torch.multinomial(best.values.softmax(-1), 1)]

    return _written(scores, ids, n, two)


@write.mistake(
    "by size without the sign",
    hint="You compare sizes without their signs. A score far below zero is an unlikely token.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s.abs().argmax())


@write.mistake(
    "the last of equals",
    hint="You look for the highest score from the end, and number the tokens from there.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s.flip(0).argmax())


@write.mistake(
    "the first token left out of the choice",
    hint="You look for the highest score after the first one and forget to add 1 to its place.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s[1:].argmax())


@write.mistake("token 0 is filler", hint="You never take token 0. It is a token like the others.")
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s[1:].argmax() + 1)


@write.mistake(
    "the last three tokens are read",
    hint="You hand over the last three tokens. Hand over the whole text so far.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: text[-3:])


@write.mistake(
    "the beginning and the newest token are read",
    hint="You hand over the beginning and the newest token, without those between. Hand over "
    "all of it.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda t: t[: len(ids)] + t[len(ids) :][-1:])


@write.mistake(
    "each token read once",
    hint="You hand over each distinct token once. A text repeats its tokens.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: list(dict.fromkeys(text)))


@write.mistake("read sorted", hint="You hand the text over sorted. Its order counts.")
def _(scores, ids, n):
    return _written(scores, ids, n, read=sorted)


@write.mistake(
    "always filled to eight tokens",
    hint="You fill the text with zeros before the model reads it. Hand over the text as it is.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: [0] * (8 - len(text)) + text)


@write.mistake(
    "a beginning of its own",
    hint="You put a token before the text when the model reads it. Hand over the text as it is.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: [0, *text])


@write.mistake(
    "the scores of the rounds add up",
    hint="You add the scores of all rounds. Each round's choice follows from its own scores.",
)
def _(scores, ids, n):
    text, total = list(ids), 0
    for _ in range(n):
        total = total + scores(text)
        text.append(int(total.argmax()))
    return text


@write.mistake(
    "only tokens that were not there",
    hint="You never take a token that is in the text already. A text repeats its tokens.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        left = scores(text).clone()
        left[list(set(text))] = -torch.inf
        text.append(int(left.argmax()))
    return text


@write.mistake(
    "no new token twice",
    hint="You never take a token that you wrote before. A text repeats its tokens.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        left = scores(text).clone()
        left[text[len(ids) :]] = -torch.inf
        text.append(int(left.argmax()))
    return text


@write.mistake(
    "never the same token twice in a row",
    hint="You forbid the token that was written last. It may come again.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        left = scores(text).clone()
        left[text[-1]] = -torch.inf
        text.append(int(left.argmax()))
    return text


@write.mistake(
    "repetition costs",
    hint="You lower the scores of tokens that are in the text already (a penalty on "
    "repetition). Take the scores as they are.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        left = scores(text).clone()
        for token in set(text):
            left[token] = left[token] / 1.3 if left[token] > 0 else left[token] * 1.3
        text.append(int(left.argmax()))
    return text


@write.mistake(
    "repetition costs a point",
    hint="You take something off the scores of tokens that are in the text already. Take the "
    "scores as they are.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        left = scores(text).clone()
        for token in text:
            left[token] -= 1
        text.append(int(left.argmax()))
    return text


@write.mistake(
    "the end at token 0",
    hint="You stop as soon as token 0 comes. Go on `n` times: no token ends the text here.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text).argmax()))
        if text[-1] == 0:
            break
    return text


@write.mistake(
    "the end at the same token twice", hint="You stop when a token follows itself. Go on `n` times."
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        new = int(scores(text).argmax())
        if text and new == text[-1]:
            break
        text.append(new)
    return text


@write.mistake(
    "the text cut to n",
    hint="You return only `n` tokens from the front. The beginning and `n` new ones are asked for.",
)
def _(scores, ids, n):
    return _written(scores, ids, n)[:n]


@write.mistake(
    "the new tokens first", hint="You return the new tokens before the beginning. They follow it."
)
def _(scores, ids, n):
    text = _written(scores, ids, n)
    return text[len(ids) :] + text[: len(ids)]


@write.mistake(
    "the new tokens backwards",
    hint="You return the new tokens in the wrong order: the one written first stands first.",
)
def _(scores, ids, n):
    text = _written(scores, ids, n)
    return text[: len(ids)] + text[len(ids) :][::-1]


@write.mistake(
    "one new list in the list",
    hint="You put the new tokens into the list as one list. They are its elements.",
)
def _(scores, ids, n):
    return [*ids, _written(scores, ids, n)[len(ids) :]]


@write.mistake(
    "the steps as texts", hint="You return the text after every round. Return the last one."
)
def _(scores, ids, n):
    text = _written(scores, ids, n)
    return [text[: len(ids) + k] for k in range(1, n + 1)]


@write.mistake(
    "the choice of the round before",
    hint="You write the choice of the round before. Read first, then write what follows from it.",
)
def _(scores, ids, n):
    text, new = list(ids), ids[-1]
    for _ in range(n):
        text.append(new)
        new = int(scores(text).argmax())
    return text


@write.mistake(
    "two tokens of a reading",
    hint="You take the two best tokens of each reading. Read anew for each token.",
)
def _(scores, ids, n):
    text = list(ids)
    while len(text) < len(ids) + n:
        text += scores(text).topk(2).indices.tolist()
    return text[: len(ids) + n]


@write.mistake(
    "the best of pairs",
    hint="You look two tokens ahead. Take the likeliest next one, whatever comes after it.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        now = scores(text).log_softmax(-1)
        then = torch.stack([scores([*text, t]).log_softmax(-1).max() for t in range(len(now))])
        text.append(int((now + then).argmax()))
    return text


@write.mistake(
    "two texts kept",
    hint="You keep the two best texts (a beam search) and return the likeliest whole. Take the "
    "likeliest token each time.",
)
def _(scores, ids, n):
    kept = [(0.0, list(ids))]
    for _ in range(n):
        longer = [
            (total + float(s), [*text, t])
            for total, text in kept
            for t, s in enumerate(scores(text).log_softmax(-1))
        ]
        kept = sorted(longer, key=lambda one: -one[0])[:2]
    return kept[0][1]


@write.mistake(
    "what followed a token is remembered",
    hint="You remember by the last token what came next, and do not ask again. The whole text "
    "decides.",
)
def _(scores, ids, n):
    text, known = list(ids), {}
    for _ in range(n):
        if text[-1] not in known:
            known[text[-1]] = int(scores(text).argmax())
        text.append(known[text[-1]])
    return text


@write.mistake(
    "the mean of the ids",
    hint="You weigh the ids by their shares and round. An id is a name: take the one with the "
    "highest score.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: (s.softmax(-1) * torch.arange(len(s))).sum().round())


@write.mistake(
    "the first above the mean",
    hint="You take the first score that is high enough. Take the highest.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: (s > s.mean()).int().argmax())


@write.mistake(
    "the last four tokens are read",
    hint="You hand over the last four tokens. Hand over the whole text so far.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: text[-4:])


@write.mistake("each new token twice", hint="You put each new token there twice. Once is enough.")
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text += [int(scores(text).argmax())] * 2
    return text


@write.mistake(
    "the last token written over",
    hint="You put the new token in place of the last. It goes behind it.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text[-1] = int(scores(text).argmax())
    return text


@write.mistake(
    "the mean with the scores before",
    hint="You mix the scores with those of the round before. Each round's choice follows from "
    "its own scores.",
)
def _(scores, ids, n):
    text, before = list(ids), None
    for _ in range(n):
        now = scores(text)
        text.append(int((now if before is None else now + before).argmax()))
        before = now
    return text


@write.mistake(
    "what rose since the round before",
    hint="You compare the scores with those of the round before. Each round's choice follows "
    "from its own scores.",
)
def _(scores, ids, n):
    text, before = list(ids), 0
    for _ in range(n):
        now = scores(text)
        text.append(int((now - before).argmax()))
        before = now
    return text


@write.mistake(
    "drawn among the likely ones",
    hint="You draw among the tokens that are likely enough (nucleus, min-p). Take the likeliest "
    "one.",
)
def _(scores, ids, n):
    def likely(s):
        shares = s.softmax(-1)
        return torch.multinomial(shares.where(shares >= shares.max() / 2, 0.0), 1)

    return _written(scores, ids, n, likely)


@write.mistake("the ids as texts", hint="You turn the ids into strings. Plain ints are asked for.")
def _(scores, ids, n):
    return [str(token) for token in _written(scores, ids, n)]


@write.mistake(
    "one text", hint="You join the ids to one string. A list of plain ints is asked for."
)
def _(scores, ids, n):
    return " ".join(map(str, _written(scores, ids, n)))


@write.mistake(
    "the beginning and the rest apart",
    hint="You return the beginning and the new tokens as two lists. One list is asked for.",
)
def _(scores, ids, n):
    return list(ids), _written(scores, ids, n)[len(ids) :]


@write.mistake(
    "the farthest from the mean",
    hint="You take the score that is farthest from the mean, on either side. Take the highest.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: (s - s.mean()).abs().argmax())


@write.mistake(
    "a token of chance now and then",
    hint="You take some token by chance now and then. Take the likeliest each time.",
)
def _(scores, ids, n):
    def mostly(s):
        return torch.randint(len(s), (1,)) if torch.rand(1) < 0.1 else s.argmax()

    return _written(scores, ids, n, mostly)


@write.mistake(
    "drawn with much warmth",
    hint="You draw at random at a high temperature. Take the likeliest token.",
)
def _(scores, ids, n):
    return _drawn(scores, ids, n, 2.0)


@write.mistake(
    "drawn by the scores themselves",
    hint="You draw by the scores as if they were shares. Take the likeliest token.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: torch.multinomial(s.clamp(min=0) + 1e-6, 1))


@write.mistake(
    "noise on the scores",
    hint="You add noise to the scores (Gumbel's trick), which draws at random. Leave them as "
    "they are.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: (s - (-torch.rand(len(s)).log()).log()).argmax())


@write.mistake(
    "no pair of tokens twice",
    hint="You forbid a token that followed the last one before (no repeated bigram). A text "
    "repeats its pairs.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        left = scores(text).clone()
        for before, after in itertools.pairwise(text):
            if before == text[-1]:
                left[after] = -torch.inf
        text.append(int(left.argmax()))
    return text


@write.mistake(
    "the end where a pair comes again",
    hint="You stop when a pair of tokens comes again. Go on `n` times.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        new = int(scores(text).argmax())
        if (text[-1], new) in itertools.pairwise(text):
            break
        text.append(new)
    return text


@write.mistake(
    "the new tokens read backwards",
    hint="You hand the new tokens over with the newest first. They stand in the order of writing.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda t: t[: len(ids)] + t[len(ids) :][::-1])


@write.mistake(
    "the newest read first",
    hint="You hand the newest token over before the others. It stands at the end.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: text[-1:] + text[:-1])


@write.mistake(
    "the beginning read twice",
    hint="You hand the beginning over twice: the text so far has it already.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: list(ids) + text)


@write.mistake(
    "the first token is not read",
    hint="You hand the text over without its first token. Hand over all of it.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, read=lambda text: text[1:] or text)


@write.mistake("rounded scores", hint="You round the scores. The likeliest may lead by little.")
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s.round().argmax())


@write.mistake(
    "scores rounded to a tenth",
    hint="You round the scores to one decimal. The likeliest may lead by less.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: (s * 10).round().argmax())


@write.mistake(
    "ids one too low", hint="You take one off the place of the highest score. The place is the id."
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s.argmax() - 1)


@write.mistake(
    "the third likeliest", hint="You take the third token of the ranking. Take the first."
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s.topk(3).indices[2])


@write.mistake(
    "the last token left out of the choice",
    hint="You look at all scores but the last one. It belongs to a token, too.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: s[:-1].argmax())


@write.mistake(
    "scores times the ids",
    hint="You multiply the scores by the ids. An id is a name, and no weight.",
)
def _(scores, ids, n):
    return _written(scores, ids, n, lambda s: (s * torch.arange(len(s))).argmax())


@write.mistake(
    "a new reading every second round",
    hint="You read anew only every second round. Each token needs a reading of its own.",
)
def _(scores, ids, n):
    text, known = list(ids), scores(ids)
    for k in range(n):
        known = known if k % 2 else scores(text)
        text.append(int(known.argmax()))
    return text


@write.mistake(
    "remembered by the last two tokens",
    hint="You remember by the last two tokens what came next, and do not ask again. The whole "
    "text decides.",
)
def _(scores, ids, n):
    text, known = list(ids), {}
    for _ in range(n):
        last = tuple(text[-2:])
        if last not in known:
            known[last] = int(scores(text).argmax())
        text.append(known[last])
    return text


@write.mistake(
    "n texts of one step",
    hint="You return the beginning with one new token, `n` times. The new tokens follow one "
    "another.",
)
def _(scores, ids, n):
    return [[*ids, int(scores(ids).argmax())] for _ in range(n)]
