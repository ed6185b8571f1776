"""Rarer mistakes of the exercises on masks. Chapter 07 teaches this."""

import torch

from llmcourse.checks.bank.masking import choose_words, hide_tokens, order_masks


def _hide(
    dice,
    masked=lambda fate: fate < 0.8,
    noisy=lambda fate: (fate >= 0.8) & (fate < 0.9),
    among=lambda chosen: chosen,
    asked=lambda chosen, masked, noisy: chosen,
    answers=None,
    ignore=-100,
):
    """Hide tokens, with one thing done otherwise."""
    tokens, chosen, fate, noise, mask_id = dice
    masks, noises = among(chosen) & masked(fate), among(chosen) & noisy(fate)
    read = torch.where(masks, torch.full_like(tokens, mask_id), tokens)
    read = torch.where(noises, noise, read)
    wanted = tokens if answers is None else answers(tokens, read, noise)
    told = asked(chosen, masks, noises)
    return read, torch.where(told, wanted, torch.full_like(tokens, ignore))


def _hidden(name, hint, **otherwise):
    """Catalogue a way to hide that does one thing otherwise."""

    @hide_tokens.mistake(name, hint=hint)
    def _(tokens, chosen, fate, noise, mask_id):
        return _hide((tokens, chosen, fate, noise, mask_id), **otherwise)


_hidden(
    "noise at 0.9 itself",
    "You put noise at a fate of 0.9 as well. From 0.9 on a token stays.",
    noisy=lambda fate: (fate >= 0.8) & (fate <= 0.9),
)
_hidden(
    "nothing at 0.8 itself",
    "At a fate of 0.8 your token stays. From 0.8 on there is noise.",
    noisy=lambda fate: (fate > 0.8) & (fate < 0.9),
)
_hidden(
    "masked below 0.9",
    "You mask below 0.9. Between 0.8 and 0.9 there is noise.",
    masked=lambda fate: fate < 0.9,
    noisy=lambda fate: fate < 0,
)
_hidden(
    "noise below 0.1, a mask from 0.2",
    "You count from the other end: masks from 0.2 on. They are below 0.8.",
    masked=lambda fate: fate >= 0.2,
    noisy=lambda fate: (fate >= 0.1) & (fate < 0.2),
)
_hidden(
    "noise in half of what is left, from the middle",
    "You put noise from 0.5 to 0.8 as torch's recipe throws a second die. Here one die decides: "
    "0.8 to 0.9.",
    masked=lambda fate: fate < 0.5,
    noisy=lambda fate: (fate >= 0.5) & (fate < 0.8),
)
_hidden(
    "fifteen, fifteen, seventy",
    "You mask below 0.15. The 15 % are chosen already: of those, 80 % are masked.",
    masked=lambda fate: fate < 0.15,
)
_hidden(
    "ELECTRA's share",
    "You mask below 0.85. It is 0.8.",
    masked=lambda fate: fate < 0.85,
    noisy=lambda fate: (fate >= 0.85) & (fate < 0.9),
)
_hidden(
    "eighty, twenty, none beyond 0.95",
    "You put noise up to 0.95. It ends at 0.9.",
    noisy=lambda fate: (fate >= 0.8) & (fate < 0.95),
)
_hidden(
    "the choice forgotten, and all are asked",
    "You hide and ask by the fate alone. Only the chosen are hidden and asked.",
    among=lambda chosen: torch.ones_like(chosen),
    asked=lambda chosen, masked, noisy: torch.ones_like(chosen),
)
_hidden(
    "the noisy alone asked",
    "You ask the noisy ones alone. All chosen ones are asked.",
    asked=lambda chosen, masked, noisy: noisy,
)
_hidden(
    "asked for the noise",
    "You ask for the noise. It is the original token that is asked.",
    answers=lambda tokens, read, noise: noise,
)
_hidden(
    "asked for the next token",
    "You ask for the token that follows. It is the chosen one itself.",
    answers=lambda tokens, read, noise: tokens.roll(-1),
)
_hidden(
    "asked for the token before",
    "You ask for the token before. It is the chosen one itself.",
    answers=lambda tokens, read, noise: tokens.roll(1),
)


@hide_tokens.mistake(
    "the chosen by their place in order",
    hint="You take the fates in the order of the chosen. Each place has its own.",
)
def _(tokens, chosen, fate, noise, mask_id):
    own = torch.ones_like(fate)
    own[chosen] = fate[: int(chosen.sum())]
    return _hide((tokens, chosen, own, noise, mask_id))


@hide_tokens.mistake(
    "one noise for all places",
    hint="You put the first noise everywhere. Each place has its own.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return _hide((tokens, chosen, fate, noise[:1].expand_as(tokens), mask_id))


@hide_tokens.mistake(
    "the noise of the next place",
    hint="You take the noise of the neighbour. Each place has its own.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return _hide((tokens, chosen, fate, noise.roll(1), mask_id))


@hide_tokens.mistake(
    "a token from elsewhere in the text as noise",
    hint="You take the noise for a place in the text. It is a token.",
)
def _(tokens, chosen, fate, noise, mask_id):
    other = tokens[noise % len(tokens)]
    return _hide((tokens, chosen, fate, other, mask_id))


@hide_tokens.mistake(
    "equal tokens hidden together",
    hint="You hide every place that holds a hidden token's number. Only chosen places are hidden.",
)
def _(tokens, chosen, fate, noise, mask_id):
    read, asked = _hide((tokens, chosen, fate, noise, mask_id))
    hidden = tokens[read == mask_id]
    return torch.where(torch.isin(tokens, hidden), torch.full_like(read, mask_id), read), asked


@hide_tokens.mistake(
    "masks put beside the tokens",
    hint="You put the mask in front of the token and keep both. It takes the token's place.",
)
def _(tokens, chosen, fate, noise, mask_id):
    read, asked = _hide((tokens, chosen, fate, noise, mask_id))
    keep = read != mask_id
    return read[keep], asked[keep]


@hide_tokens.mistake(
    "a yes or no in place of the token",
    hint="You return where something is asked. It is the token that is asked.",
)
def _(tokens, chosen, fate, noise, mask_id):
    read = _hide((tokens, chosen, fate, noise, mask_id))[0]
    return read, torch.where(chosen, torch.ones_like(tokens), torch.full_like(tokens, -100))


# Whole words


@choose_words.mistake(
    "hidden above the rate",
    hint="You hide the words whose draw is above the rate. It is below.",
)
def _(words, draws, rate):
    return draws[words] > rate


@choose_words.mistake(
    "a die for each token",
    hint="You roll for each token. All tokens of a word share its die.",
)
def _(words, draws, rate):
    return draws[torch.arange(len(words)) % len(draws)] < rate


@choose_words.mistake(
    "the word after",
    hint="You take the die of the next word. Words are counted from 0, and dice too.",
)
def _(words, draws, rate):
    return draws.roll(-1)[words] < rate


@choose_words.mistake(
    "words counted anew from the window's first",
    hint="You subtract the first word's number. The dice belong to the numbers as they are.",
)
def _(words, draws, rate):
    return draws[words - words.min()] < rate


@choose_words.mistake(
    "words counted anew, without gaps",
    hint="You number the words of the window anew. The dice belong to the numbers as they are.",
)
def _(words, draws, rate):
    return draws[words.unique(return_inverse=True)[1]] < rate


@choose_words.mistake(
    "only words of several tokens",
    hint="You hide words of more than one token alone. Every word has its die.",
)
def _(words, draws, rate):
    return (draws[words] < rate) & (torch.bincount(words)[words] > 1)


@choose_words.mistake(
    "only words of one token",
    hint="You hide words of one token alone. Every word has its die.",
)
def _(words, draws, rate):
    return (draws[words] < rate) & (torch.bincount(words)[words] == 1)


@choose_words.mistake(
    "one answer for each word",
    hint="You return one answer for each word. Every token has one.",
)
def _(words, draws, rate):
    return draws[words.unique()] < rate


@choose_words.mistake(
    "the numbers of the hidden words",
    hint="You return word numbers. Asked for is yes or no, for each token.",
)
def _(words, draws, rate):
    return torch.where(draws[words] < rate, words, torch.full_like(words, -1))


@choose_words.mistake(
    "a share of the words, the lowest draws",
    hint="You hide a fixed share of the words, those with the lowest draws. Each word stands by "
    "itself: below the rate.",
)
def _(words, draws, rate):
    there = words.unique()
    n = round(rate * len(there))
    return torch.isin(words, there[draws[there].argsort()[:n]])


@choose_words.mistake(
    "a share of the tokens",
    hint="You go on until a share of the tokens is hidden, as BERT does. Here each word stands by "
    "itself: below the rate.",
)
def _(words, draws, rate):
    hidden = torch.zeros_like(words, dtype=torch.bool)
    for word in draws[words.unique()].argsort().tolist():
        word = words.unique()[word]
        if hidden.sum() + (words == word).sum() <= rate * len(words):
            hidden |= words == word
    return hidden


@choose_words.mistake(
    "one word at least",
    hint="You hide the lowest draw's word if none is below the rate. Then none is hidden.",
)
def _(words, draws, rate):
    own = draws[words]
    return (own < rate) | ((own == own.min()) & (own.min() >= rate))


@choose_words.mistake(
    "the longer, the likelier",
    hint="You multiply the rate by the number of a word's tokens. It is the same for all words.",
)
def _(words, draws, rate):
    return draws[words] < rate * torch.bincount(words)[words]


@choose_words.mistake(
    "the longer, the less likely",
    hint="You divide the rate by the number of a word's tokens. It is the same for all words.",
)
def _(words, draws, rate):
    return draws[words] < rate / torch.bincount(words)[words]


@choose_words.mistake(
    "whole words round a hidden token",
    hint="You roll for each token and hide the word of any that is hit. A word has one die.",
)
def _(words, draws, rate):
    hit = words[draws[torch.arange(len(words)) % len(draws)] < rate]
    return torch.isin(words, hit)


@choose_words.mistake(
    "the mean draw of the word's tokens",
    hint="You average dice over a word's places. A word has one die, by its number.",
)
def _(words, draws, rate):
    own = draws[torch.arange(len(words)) % len(draws)]
    return torch.stack([own[words == w].mean() for w in words]) < rate


@choose_words.mistake(
    "a rate in percent",
    hint="You divide the rate by 100. It is a share already.",
)
def _(words, draws, rate):
    return draws[words] < rate / 100


# The masks of an order


def _masks(rank, content=lambda row, column: column <= row, query=lambda row, column: column < row):
    return content(rank[:, None], rank[None, :]), query(rank[:, None], rank[None, :])


@order_masks.mistake(
    "the order taken for the ranks, turned over",
    hint="You compare `order` itself, and with rows and columns exchanged.",
)
def _(order):
    content, query = _masks(order)
    return content.T, query.T


@order_masks.mistake(
    "an empty row opened to all",
    hint="You open the empty row to everything, as one does against a softmax of nothing. It stays "
    "empty.",
)
def _(order):
    content, query = _masks(order.argsort())
    return content, query | ~query.any(1, keepdim=True)


@order_masks.mistake(
    "earlier in the order or in the text",
    hint="You let a position see what is earlier in the text, too. The order alone decides.",
)
def _(order):
    past = torch.ones(len(order), len(order), dtype=torch.bool).tril()
    content, query = _masks(order.argsort())
    return content | past, query | past.tril(-1)


@order_masks.mistake(
    "a query mask two steps back",
    hint="Your query mask leaves out the one right before. All earlier ones may be seen.",
)
def _(order):
    return _masks(order.argsort(), query=lambda r, c: c < r - 1)


@order_masks.mistake(
    "a content mask one step ahead",
    hint="Your content mask lets the next of the order be seen. The earlier ones, and itself.",
)
def _(order):
    return _masks(order.argsort(), content=lambda r, c: c <= r + 1)


@order_masks.mistake(
    "the ranks from 1",
    hint="You compare ranks that count from 1 with places that count from 0.",
)
def _(order):
    rank = order.argsort()
    return rank[:, None] + 1 > rank[None, :] + 1, rank[:, None] > rank[None, :] + 1


@order_masks.mistake(
    "the diagonal of the order",
    hint="You open the places (t, order[t]) in place of the diagonal. A position sees itself at "
    "(t, t).",
)
def _(order):
    query = _masks(order.argsort())[1]
    own = torch.zeros_like(query)
    own[torch.arange(len(order)), order] = True
    return query | own, query


@order_masks.mistake(
    "rows of a running list, the last one missing",
    hint="You forget to enter the last of the order. It sees all that came earlier.",
)
def _(order):
    content, query = (m.clone() for m in _masks(order.argsort()))
    content[order[-1]] = False
    query[order[-1]] = False
    return content, query


# Second thoughts


@order_masks.mistake(
    "the order applied to itself",
    hint="You look positions up in the order twice. You need the time at which each comes.",
)
def _(order):
    return _masks(order[order])


@order_masks.mistake(
    "a query mask of the text's past as well",
    hint="Your content mask follows the order, and your query mask asks for the past of the text "
    "as well. The order alone decides.",
)
def _(order):
    content, query = _masks(order.argsort())
    return content, query & torch.ones_like(query).tril()


@order_masks.mistake(
    "the first of the order is seen by nobody",
    hint="You leave the first of the order out of the columns. All that come later may look at it.",
)
def _(order):
    content, query = (m.clone() for m in _masks(order.argsort()))
    keep = content[order[0], order[0]].clone()
    content[:, order[0]], query[:, order[0]] = False, False
    content[order[0], order[0]] = keep
    return content, query


@order_masks.mistake(
    "position 0 comes first",
    hint="You let position 0 come first, whatever the order says. `order[0]` comes first.",
)
def _(order):
    rank = order.argsort().clone()
    rank[0] = -1
    return _masks(rank)


@order_masks.mistake(
    "the ends of the text may always be seen",
    hint="You let position 0 be seen by all, as one does with [CLS]. Only the order decides.",
)
def _(order):
    content, query = (m.clone() for m in _masks(order.argsort()))
    content[:, 0], query[1:, 0] = True, True
    return content, query


@order_masks.mistake(
    "two earlier ones at most",
    hint="You let a position see the last two that came before it. All earlier ones may be seen.",
)
def _(order):
    return _masks(
        order.argsort(),
        lambda r, c: (c <= r) & (c >= r - 2),
        lambda r, c: (c < r) & (c >= r - 2),
    )


@order_masks.mistake(
    "the query mask of what comes later",
    hint="Your query mask holds those that come later. Like the content mask, it holds the earlier "
    "ones.",
)
def _(order):
    return _masks(order.argsort(), query=lambda r, c: c > r)


@order_masks.mistake(
    "the content mask of what comes later",
    hint="Your content mask holds those that come later. Like the query mask, it holds the earlier "
    "ones.",
)
def _(order):
    return _masks(order.argsort(), content=lambda r, c: c >= r)


@order_masks.mistake(
    "one mask, twice the query's",
    hint="Your content mask is what comes right before, and itself. All earlier ones belong to it.",
)
def _(order):
    content, query = _masks(order.argsort(), content=lambda r, c: (c == r) | (c == r - 1))
    return content, query


# Second thoughts on eighty, ten, ten


_hidden(
    "0.8 and 0.1 exchanged",
    "You mask below 0.1 and put noise from there to 0.9. Eight tenths are masked.",
    masked=lambda fate: fate < 0.1,
    noisy=lambda fate: (fate >= 0.1) & (fate < 0.9),
)
_hidden(
    "ten, ten, eighty",
    "You mask below 0.1, put noise up to 0.2 and leave the rest. Eight tenths are masked.",
    masked=lambda fate: fate < 0.1,
    noisy=lambda fate: (fate >= 0.1) & (fate < 0.2),
)
_hidden(
    "masks from 0.8 on",
    "You mask from 0.8 on, and leave what is below. It is the other way round.",
    masked=lambda fate: fate >= 0.9,
    noisy=lambda fate: (fate >= 0.8) & (fate < 0.9),
)
_hidden(
    "nine, half, half",
    "You mask below 0.9 and put noise up to 0.95. Masks end at 0.8, noise at 0.9.",
    masked=lambda fate: fate < 0.9,
    noisy=lambda fate: (fate >= 0.9) & (fate < 0.95),
)
_hidden(
    "noise added to the token",
    "You ask for the sum of the token and its noise. The noise takes the token's place, and the "
    "token is asked.",
    answers=lambda tokens, read, noise: tokens + noise,
)
_hidden(
    "the unchanged alone asked",
    "You ask the chosen ones that stay, and no others. All chosen ones are asked.",
    asked=lambda chosen, masked, noisy: chosen & ~masked & ~noisy,
)
_hidden(
    "asked by the fate",
    "You ask wherever the fate is below 0.9, chosen or not. All chosen ones are asked, and only "
    "those.",
    asked=lambda chosen, masked, noisy: masked | noisy | ~chosen,
)


@hide_tokens.mistake(
    "noise added to the tokens",
    hint="You add the noise to the token's number. It takes its place.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return _hide((tokens, chosen, fate, tokens + noise, mask_id))


@hide_tokens.mistake(
    "the choice taken from the fate",
    hint="You choose by a fate below 0.15. `chosen` says which are asked for.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return _hide((tokens, fate < 0.15, fate, noise, mask_id))


@hide_tokens.mistake(
    "the first chosen one alone",
    hint="You hide and ask the first of the chosen. All of them are.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return _hide((tokens, chosen & (chosen.cumsum(0) == 1), fate, noise, mask_id))


@hide_tokens.mistake(
    "noise of token 0 taken for none",
    hint="You take a noise of 0 for no noise. 0 is a token like any other.",
)
def _(tokens, chosen, fate, noise, mask_id):
    return _hide((tokens, chosen, fate, torch.where(noise > 0, noise, tokens), mask_id))
