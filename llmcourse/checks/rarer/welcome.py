"""Rarer mistakes of chapter 00's first exercises: losses, units, pairs and counts."""

import math

import torch

from llmcourse.checks.bank.welcome import (
    bits_per_byte,
    next_token_pairs,
    uniform_loss,
    unigram_loss,
)

# What guessing costs


@uniform_loss.mistake(
    "the bits that an id takes",
    hint="You count the binary digits that write an id down. The loss is a logarithm, and no "
    "whole number.",
)
def _(vocab_size):
    return float((vocab_size - 1).bit_length())


@uniform_loss.mistake(
    "the logarithm of being wrong",
    hint="You take the logarithm of the probability that the guess is wrong. Take that of the "
    "right token.",
)
def _(vocab_size):
    return -math.log(1 - 1 / vocab_size) if vocab_size > 1 else 0.0


@uniform_loss.mistake(
    "yes or no for each token",
    hint="You add a binary cross-entropy for each token of the vocabulary. The next token is "
    "one choice among V: only its own probability counts.",
)
def _(vocab_size):
    rest = (vocab_size - 1) * math.log(1 - 1 / vocab_size) if vocab_size > 1 else 0.0
    return math.log(vocab_size) - rest


@uniform_loss.mistake(
    "yes or no, mean over the tokens",
    hint="You take the mean of a binary cross-entropy over the vocabulary. The next token is "
    "one choice among V: only its own probability counts.",
)
def _(vocab_size):
    rest = (vocab_size - 1) * math.log(1 - 1 / vocab_size) if vocab_size > 1 else 0.0
    return (math.log(vocab_size) - rest) / vocab_size


@uniform_loss.mistake(
    "the squared error",
    hint="You take the square of what is missing to 1. The loss is minus a logarithm.",
)
def _(vocab_size):
    return (1 - 1 / vocab_size) ** 2


@uniform_loss.mistake(
    "how many guesses it takes",
    hint="You count how many guesses it takes on average. The loss is the logarithm of a "
    "probability.",
)
def _(vocab_size):
    return (vocab_size + 1) / 2


@uniform_loss.mistake(
    "the sum of 1 / k",
    hint="You add 1, 1/2, 1/3 and so on up to 1 / V. That grows like the logarithm and is above "
    "it.",
)
def _(vocab_size):
    return sum(1 / k for k in range(1, vocab_size + 1))


@uniform_loss.mistake(
    "spread evenly over the bits of a byte",
    hint="You divide by 8. The loss is for a token, and it is in nats.",
)
def _(vocab_size):
    return math.log2(vocab_size) / 8


@uniform_loss.mistake(
    "relative to the largest entropy",
    hint="You divide the loss by the largest that it can be. Asked for are nats.",
)
def _(vocab_size):
    return 1.0


@uniform_loss.mistake(
    "distance from the uniform model",
    hint="You measure how far the model is from the uniform one, which it is. Asked for is its "
    "loss.",
)
def _(vocab_size):
    return 0.0


@uniform_loss.mistake(
    "the scores of a model at its start",
    hint="You add what scores of variance 1 cost on top. Here all tokens are exactly equally "
    "likely.",
)
def _(vocab_size):
    return math.log(vocab_size) + 0.5


@uniform_loss.mistake(
    "a score of 1 for the right token",
    hint="You give the right token a higher score than the others. All are equally likely here.",
)
def _(vocab_size):
    return math.log(vocab_size - 1 + math.e) - 1


@uniform_loss.mistake(
    "GPT-2's vocabulary", hint="You take GPT-2's vocabulary, whatever is given. Use the argument."
)
def _(vocab_size):
    return math.log(50257)


@uniform_loss.mistake(
    "an epsilon beside the probability",
    hint="You add a small number to the probability before the logarithm. 1 / V is never 0, so "
    "nothing needs it, and it makes the loss of a large vocabulary too small.",
)
def _(vocab_size):
    return -math.log(1 / vocab_size + 1e-5)


@uniform_loss.mistake(
    "one added to the probability",
    hint="You add 1 to the probability within the logarithm, as `log1p` does. Take the "
    "logarithm of the probability itself.",
)
def _(vocab_size):
    return -math.log1p(1 / vocab_size)


@uniform_loss.mistake(
    "the terms of the wrong tokens",
    hint="You leave the right token's term out of the entropy. All V terms make the loss.",
)
def _(vocab_size):
    return (vocab_size - 1) / vocab_size * math.log(vocab_size)


@uniform_loss.mistake(
    "one over the logarithm",
    hint="You return one over the logarithm of V. The logarithm of one over V is asked for, and "
    "its sign turned.",
)
def _(vocab_size):
    return 1 / math.log(vocab_size) if vocab_size > 1 else math.inf


# Bits per byte


@bits_per_byte.mistake(
    "times the eight bits of a byte",
    hint="You multiply by 8. A byte of the text has eight bits, but how many the model needs "
    "for it is another number, which the loss says.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / n_bytes * 8


@bits_per_byte.mistake(
    "perplexity of a token, shared out",
    hint="You share the perplexity of a token out among its bytes. What adds up, and can be "
    "shared out, is the logarithm.",
)
def _(loss, n_tokens, n_bytes):
    return math.exp(loss) * n_tokens / n_bytes


@bits_per_byte.mistake(
    "perplexity shared out, then bits",
    hint="You share the perplexity out and take the logarithm after that. What adds up, and can "
    "be shared out, is the logarithm.",
)
def _(loss, n_tokens, n_bytes):
    return math.log2(math.exp(loss) * n_tokens / n_bytes)


@bits_per_byte.mistake(
    "two to the power of the loss",
    hint="You take 2 to the power of the loss. To change from nats to bits, divide.",
)
def _(loss, n_tokens, n_bytes):
    return 2 ** (loss * n_tokens / n_bytes)


@bits_per_byte.mistake(
    "whole bytes per token",
    hint="You round the bytes per token down to a whole number. Let the division keep its "
    "fraction.",
)
def _(loss, n_tokens, n_bytes):
    return loss / math.log(2) / max(1, n_bytes // n_tokens)


@bits_per_byte.mistake(
    "whole bytes per token, rounded",
    hint="You round the bytes per token to a whole number. Let the division keep its fraction.",
)
def _(loss, n_tokens, n_bytes):
    return loss / math.log(2) / max(1, round(n_bytes / n_tokens))


@bits_per_byte.mistake(
    "whole tokens per byte",
    hint="You divide the tokens by the bytes in whole numbers, which is mostly 0.",
)
def _(loss, n_tokens, n_bytes):
    return loss * (n_tokens // n_bytes) / math.log(2)


@bits_per_byte.mistake(
    "whole bits for the text",
    hint="You round the cost of the text up to whole bits. It need not be a whole number.",
)
def _(loss, n_tokens, n_bytes):
    return math.ceil(loss * n_tokens / math.log(2)) / n_bytes


@bits_per_byte.mistake(
    "whole bits for a token",
    hint="You round the cost of a token up to whole bits. It need not be a whole number.",
)
def _(loss, n_tokens, n_bytes):
    return math.ceil(loss / math.log(2)) * n_tokens / n_bytes


@bits_per_byte.mistake(
    "no more than 8",
    hint="You cap the result at 8. A model may well need more bits for a byte than the byte has.",
)
def _(loss, n_tokens, n_bytes):
    return min(8.0, loss * n_tokens / math.log(2) / n_bytes)


@bits_per_byte.mistake(
    "tokens and bytes together",
    hint="You divide by tokens and bytes together. The bytes alone share the cost.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / math.log(2) / (n_tokens + n_bytes)


@bits_per_byte.mistake(
    "sixteen bits for each id",
    hint="You count 16 bits for each id, as they lie on a disk. What the model needs is in the "
    "loss.",
)
def _(loss, n_tokens, n_bytes):
    return 16 * n_tokens / n_bytes


@bits_per_byte.mistake(
    "ln 2 is 0.69",
    hint="You round ln 2 to two digits, which shows in the result. Python has `math.log`.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / 0.69 / n_bytes


@bits_per_byte.mistake(
    "ln 2 is 0.7",
    hint="You round ln 2 to one digit, which shows in the result. Python has `math.log`.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / 0.7 / n_bytes


@bits_per_byte.mistake("divided by ln 2 twice", hint="You convert to bits twice. Once is enough.")
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / n_bytes / math.log(2) ** 2


@bits_per_byte.mistake(
    "bits per kilobyte", hint="You divide by 1024 bytes at a time. Asked for is one byte."
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / math.log(2) / (n_bytes / 1024)


@bits_per_byte.mistake(
    "bytes per bit",
    hint="You return bytes for each bit. It is the other way round: bits for each byte.",
)
def _(loss, n_tokens, n_bytes):
    return n_bytes * math.log(2) / (loss * n_tokens)


@bits_per_byte.mistake(
    "bits saved",
    hint="You return how many of a byte's eight bits the model saves. Asked for is how many it "
    "needs.",
)
def _(loss, n_tokens, n_bytes):
    return 8 - loss * n_tokens / math.log(2) / n_bytes


@bits_per_byte.mistake(
    "the ratio of compression",
    hint="You return how many times smaller the text would be. Asked for are the bits that a "
    "byte needs.",
)
def _(loss, n_tokens, n_bytes):
    return 8 * n_bytes * math.log(2) / (loss * n_tokens)


@bits_per_byte.mistake(
    "times ln 2, and by tokens",
    hint="You multiply by ln 2 and by the bytes per token. Both are the wrong way round.",
)
def _(loss, n_tokens, n_bytes):
    return loss * math.log(2) * n_bytes / n_tokens


@bits_per_byte.mistake(
    "whole bits for the text, rounded down",
    hint="You round the cost of the text down to whole bits. It need not be a whole number.",
)
def _(loss, n_tokens, n_bytes):
    return int(loss * n_tokens / math.log(2)) / n_bytes


# What is read, and what is said


@next_token_pairs.mistake(
    "the last target ignored",
    hint="You keep all tokens as inputs and fill the last target with -100. The last token has "
    "nothing after it: it is not read.",
)
def _(tokens):
    return tokens, torch.cat([tokens[1:], tokens.new_tensor([-100])])


@next_token_pairs.mistake(
    "a beginning before the first",
    hint="You put a token of your own before the first. The row has all that is read.",
)
def _(tokens):
    return torch.cat([tokens.new_zeros(1), tokens[:-1]]), tokens


@next_token_pairs.mistake(
    "the last token twice",
    hint="You repeat the last token as its own target. It has nothing after it: it is not read.",
)
def _(tokens):
    return tokens, torch.cat([tokens[1:], tokens[-1:]])


@next_token_pairs.mistake(
    "only the last, as a number",
    hint="You ask for the last token alone. Each position has a token that comes next, so the "
    "targets are a row.",
)
def _(tokens):
    return tokens[:-1], tokens[-1]


@next_token_pairs.mistake(
    "all beginnings",
    hint="You return one row for each beginning, filled up with 0. The model reads the row "
    "once, and answers at each position.",
)
def _(tokens):
    n = len(tokens) - 1
    return tokens[:-1].expand(n, n).tril(), tokens[1:]


@next_token_pairs.mistake(
    "the step to the next",
    hint="You return how far the next id is from this one. The target is the id itself.",
)
def _(tokens):
    return tokens[:-1], tokens[1:] - tokens[:-1]


@next_token_pairs.mistake(
    "repetitions ignored",
    hint="You set a target that equals its input to -100. A repeated token is to be learned, too.",
)
def _(tokens):
    return tokens[:-1], tokens[1:].where(tokens[1:] != tokens[:-1], -100)


@next_token_pairs.mistake(
    "repetitions left out",
    hint="You leave pairs out whose two tokens are equal. A repeated token is to be learned, too.",
)
def _(tokens):
    other = tokens[1:] != tokens[:-1]
    return tokens[:-1][other], tokens[1:][other]


@next_token_pairs.mistake(
    "each token once", hint="You drop what was there before. A text repeats its tokens."
)
def _(tokens):
    kept = torch.tensor(list(dict.fromkeys(tokens.tolist())), dtype=tokens.dtype)
    return kept[:-1], kept[1:]


@next_token_pairs.mistake("sorted", hint="You sort the tokens. Their order is what is learned.")
def _(tokens):
    rising = tokens.sort().values
    return rising[:-1], rising[1:]


@next_token_pairs.mistake(
    "neighbours on both sides",
    hint="You ask for the token before as well as the one after (skip-grams). Here, only the "
    "next one is to be said.",
)
def _(tokens):
    return torch.cat([tokens[:-1], tokens[1:]]), torch.cat([tokens[1:], tokens[:-1]])


@next_token_pairs.mistake(
    "all that come later",
    hint="You pair each token with all that come later. Asked for is the one that comes next.",
)
def _(tokens):
    pairs = torch.combinations(tokens)
    return pairs[:, 0], pairs[:, 1]


@next_token_pairs.mistake(
    "a batch of one", hint="You add an axis for a batch. Asked for are rows, as the one given."
)
def _(tokens):
    return tokens[None, :-1], tokens[None, 1:]


@next_token_pairs.mistake(
    "as columns", hint="You make columns. Asked for are rows, as the one given."
)
def _(tokens):
    return tokens[:-1, None], tokens[1:, None]


@next_token_pairs.mistake(
    "the targets as one-hot rows",
    hint="You spread each target over the vocabulary. Asked for are the ids.",
)
def _(tokens):
    return tokens[:-1], torch.nn.functional.one_hot(tokens[1:].clamp(0))


@next_token_pairs.mistake(
    "one mask token in the middle",
    hint="You hide a token and ask for it (a masked language model). Here, each position has "
    "the next token to say.",
)
def _(tokens):
    hidden = tokens.clone()
    hidden[len(tokens) // 2] = 0
    return hidden, tokens


@next_token_pairs.mistake(
    "rolled and cut at the end",
    hint="You roll the row in the wrong direction: each position should say the token that "
    "comes after.",
)
def _(tokens):
    return tokens[:-1], tokens.roll(1)[:-1]


@next_token_pairs.mistake(
    "sliding windows of three",
    hint="You read two tokens for each target. At each position, one more token is read.",
)
def _(tokens):
    return tokens.unfold(0, 2, 1)[:-1], tokens[2:]


@next_token_pairs.mistake(
    "a mask as the third", hint="You return a mask, too. Asked for are two tensors."
)
def _(tokens):
    return tokens[:-1], tokens[1:], torch.ones_like(tokens[1:])


@next_token_pairs.mistake(
    "the first token for all",
    hint="You let the model read the first token only. At each position it reads the token there.",
)
def _(tokens):
    return tokens[:1].expand(len(tokens) - 1), tokens[1:]


@next_token_pairs.mistake(
    "the first and the last",
    hint="You return two single tokens. Asked for are all that are read, and all that are to be "
    "said.",
)
def _(tokens):
    return tokens[0], tokens[-1]


@next_token_pairs.mistake(
    "a dictionary", hint="You return a dictionary. Asked for is a tuple of two tensors."
)
def _(tokens):
    return {"input_ids": tokens[:-1], "labels": tokens[1:]}


@next_token_pairs.mistake(
    "a list of beginnings",
    hint="You return each beginning of the row as a tensor of its own. The model reads the row "
    "once, and answers at each position.",
)
def _(tokens):
    return [tokens[:k] for k in range(1, len(tokens))], tokens[1:]


# The baseline that counts


def _counted(train_ids, valid_ids, vocab_size, add=1.0, total=0.0, seen=True):
    counts = torch.bincount(train_ids, minlength=vocab_size).double()
    counts = counts + add if seen else counts.where(counts > 0, add)
    total = total or counts.sum()
    return -(counts / total).log()[valid_ids]


@unigram_loss.mistake(
    "a small epsilon added", hint="You add a tiny number to each count. One is added here."
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids, valid_ids, vocab_size, 1e-8).mean().item()


@unigram_loss.mistake(
    "an epsilon beside the share",
    hint="You add a tiny number to the shares within the logarithm. One is added here, and to "
    "the counts.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = torch.bincount(train_ids, minlength=vocab_size).double() / len(train_ids)
    return -(shares + 1e-8).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "the vocabulary of what occurs",
    hint="You take the largest id that occurs for the end of the vocabulary. It has V tokens.",
)
def _(train_ids, valid_ids, vocab_size):
    size = int(torch.cat([train_ids, valid_ids]).max()) + 1
    return _counted(train_ids, valid_ids, size).mean().item()


@unigram_loss.mistake(
    "the vocabulary up to the training text's largest id",
    hint="You take the training text's largest id for the end of the vocabulary. It has V tokens.",
)
def _(train_ids, valid_ids, vocab_size):
    total = len(train_ids) + int(train_ids.max()) + 1 if len(train_ids) else vocab_size
    return _counted(train_ids, valid_ids, vocab_size, total=total).mean().item()


@unigram_loss.mistake(
    "learning on the way",
    hint="You go on counting in the validation text. The counts are the training text's, and "
    "stay as they are.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    losses = []
    for token in valid_ids.tolist():
        losses.append(-math.log(counts[token] / counts.sum()))
        counts[token] += 1
    return sum(losses) / len(losses)


@unigram_loss.mistake(
    "tokens never seen left out",
    hint="You leave tokens out that the training text has not. They count: adding one is for them.",
)
def _(train_ids, valid_ids, vocab_size):
    known = valid_ids[torch.isin(valid_ids, train_ids)]
    return _counted(train_ids, known, vocab_size).mean().nan_to_num(0.0).item()


@unigram_loss.mistake(
    "tokens never seen cost nothing",
    hint="You add nothing for tokens that the training text has not, and divide by all. Adding "
    "one is for them: they cost most.",
)
def _(train_ids, valid_ids, vocab_size):
    known = valid_ids[torch.isin(valid_ids, train_ids)]
    return (_counted(train_ids, known, vocab_size).sum() / len(valid_ids)).item()


@unigram_loss.mistake(
    "the distance to the validation text",
    hint="You take the divergence from the validation text's shares: its own entropy is missing.",
)
def _(train_ids, valid_ids, vocab_size):
    own = _counted(valid_ids, valid_ids, vocab_size, 0.0)
    return (_counted(train_ids, valid_ids, vocab_size) - own).mean().item()


@unigram_loss.mistake(
    "the shares as scores",
    hint="You put a softmax over the shares, as `cross_entropy` does. They are probabilities "
    "already.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    shares = (counts / counts.sum()).expand(len(valid_ids), -1)
    return torch.nn.functional.cross_entropy(shares, valid_ids).item()


@unigram_loss.mistake(
    "mixed with the uniform model",
    hint="You mix the shares with the uniform model's. One is added to each count instead.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = torch.bincount(train_ids, minlength=vocab_size).double() / len(train_ids)
    return -(0.9 * shares + 0.1 / vocab_size).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "one added to the shares",
    hint="You add one to the shares. It is added to the counts, before the division.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = torch.bincount(train_ids, minlength=vocab_size).double() / len(train_ids) + 1
    return -(shares / shares.sum()).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "one added within the logarithm",
    hint="You take the logarithm of the share plus one. The one belongs to the counts.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = torch.bincount(train_ids, minlength=vocab_size).double() / len(train_ids)
    return -shares.log1p()[valid_ids].mean().item()


@unigram_loss.mistake(
    "the median", hint="You take the median of the losses. The mean is asked for."
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids, valid_ids, vocab_size).quantile(0.5).item()


@unigram_loss.mistake(
    "without the first token",
    hint="You leave the validation text's first token out. A model that reads nothing can guess "
    "it, too.",
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids, valid_ids[1:], vocab_size).mean().nan_to_num(0.0).item()


@unigram_loss.mistake(
    "divided by V",
    hint="You divide the sum of the losses by V. They are as many as the validation text has "
    "tokens.",
)
def _(train_ids, valid_ids, vocab_size):
    return (_counted(train_ids, valid_ids, vocab_size).sum() / vocab_size).item()


@unigram_loss.mistake(
    "whether it occurs", hint="You note only whether a token occurs. How often is what counts."
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids.unique(), valid_ids, vocab_size).mean().item()


@unigram_loss.mistake(
    "how often the commonest is wrong",
    hint="You count how often the commonest token is not the one. A loss is minus the logarithm "
    "of a share.",
)
def _(train_ids, valid_ids, vocab_size):
    best = torch.bincount(train_ids, minlength=vocab_size).argmax()
    return (valid_ids != best).double().mean().item()


@unigram_loss.mistake(
    "pairs of tokens",
    hint="You count which token follows which (a bigram model). Here each token is guessed "
    "without the one before.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.ones(vocab_size, vocab_size, dtype=torch.double)
    for a, b in zip(train_ids[:-1].tolist(), train_ids[1:].tolist(), strict=True):
        counts[a, b] += 1
    losses = -(counts / counts.sum(1, keepdim=True)).log()[valid_ids[:-1], valid_ids[1:]]
    return losses.mean().nan_to_num(0.0).item()


@unigram_loss.mistake(
    "a discount for the unseen",
    hint="You take 0.75 from each count and share that out (absolute discounting). Here one is "
    "added.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double()
    spare = 0.75 * (counts > 0).sum()
    shares = ((counts - 0.75).clamp(min=0) + spare / vocab_size) / counts.sum()
    return -shares.log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "a share for new tokens by how many there are",
    hint="You give unseen tokens the share of the distinct ones (Witten and Bell). Here one is "
    "added.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double()
    types = (counts > 0).sum()
    shares = (counts + types / vocab_size) / (counts.sum() + types)
    return -shares.log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "1 / (N + V) only for the unseen",
    hint="You add one only where a token was never seen, and divide the others by the text's "
    "length. Each count gets one, and one sum divides all.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double()
    n = len(train_ids)
    shares = (counts / n).where(counts > 0, 1 / (n + vocab_size))
    return -shares.log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "never seen as if seen once",
    hint="You take a count of at least one (clamped). One is added to each count, the large "
    "ones too.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double().clamp(min=1)
    return -(counts / len(train_ids)).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "V added", hint="You add V to each count. Each gets one; it is the sum that grows by V."
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids, valid_ids, vocab_size, float(vocab_size)).mean().item()


@unigram_loss.mistake(
    "the gain over guessing",
    hint="You return how much less it costs than guessing. Asked for is the loss itself.",
)
def _(train_ids, valid_ids, vocab_size):
    return math.log(vocab_size) - _counted(train_ids, valid_ids, vocab_size).mean().item()


@unigram_loss.mistake(
    "token 0 is filler",
    hint="You leave token 0 out in both texts, as if it were filler. It is a token like the "
    "others.",
)
def _(train_ids, valid_ids, vocab_size):
    train_ids, valid_ids = train_ids[train_ids != 0], valid_ids[valid_ids != 0]
    return _counted(train_ids, valid_ids, vocab_size).mean().nan_to_num(0.0).item()


@unigram_loss.mistake(
    "the mean share",
    hint="You return the mean of the shares. The loss is the mean of minus their logarithms.",
)
def _(train_ids, valid_ids, vocab_size):
    return (-_counted(train_ids, valid_ids, vocab_size)).exp().mean().item()


@unigram_loss.mistake(
    "the mean of what is missing to 1",
    hint="You return the mean probability of being wrong. The loss is the mean of minus the "
    "logarithm.",
)
def _(train_ids, valid_ids, vocab_size):
    return 1 - (-_counted(train_ids, valid_ids, vocab_size)).exp().mean().item()


@unigram_loss.mistake(
    "the geometric mean of the shares",
    hint="You take the exponential at the end, without the sign: the geometric mean of the "
    "shares. The loss is asked for.",
)
def _(train_ids, valid_ids, vocab_size):
    return math.exp(-_counted(train_ids, valid_ids, vocab_size).mean().item())


@unigram_loss.mistake(
    "1 / V added to the shares",
    hint="You add 1 / V to the shares, and divide again. One is added to the counts.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = torch.bincount(train_ids, minlength=vocab_size).double() / len(train_ids)
    return -((shares + 1 / vocab_size) / 2).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "the unseen as likely as any",
    hint="For a token never seen you take 1 / V, and the plain share for the others. One is "
    "added to each count instead.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = torch.bincount(train_ids, minlength=vocab_size).double() / len(train_ids)
    return -shares.where(shares > 0, 1 / vocab_size).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "the validation text's counts smoothed, too",
    hint="You add one to the validation text's counts, too. Its tokens count as often as they "
    "stand there.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(valid_ids, minlength=vocab_size) + 1
    losses = _counted(train_ids, torch.arange(vocab_size), vocab_size)
    return ((counts / counts.sum()) * losses).sum().item()


@unigram_loss.mistake(
    "the validation text's own entropy",
    hint="You take the entropy of the validation text's own shares. The shares are the training "
    "text's.",
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(valid_ids, valid_ids, vocab_size, 0.0).mean().item()


@unigram_loss.mistake(
    "weighed by the shares again",
    hint="You multiply each token's loss by its share, and take the mean. The validation text "
    "has each token as often as it counts.",
)
def _(train_ids, valid_ids, vocab_size):
    losses = _counted(train_ids, valid_ids, vocab_size)
    return ((-losses).exp() * losses).mean().item()


@unigram_loss.mistake(
    "one added to what was seen",
    hint="You add one only where the count is not 0, so a token never seen stays impossible.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double()
    counts = counts + (counts > 0)
    return -(counts / counts.sum()).clamp(min=1e-12).log()[valid_ids].mean().item()


@unigram_loss.mistake(
    "without the last token",
    hint="You leave the validation text's last token out. All of them are guessed.",
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids, valid_ids[:-1], vocab_size).mean().nan_to_num(0.0).item()


@unigram_loss.mistake(
    "the training text without its last token",
    hint="You do not count the training text's last token. It is counted, too.",
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids[:-1], valid_ids, vocab_size).mean().item()


@unigram_loss.mistake(
    "the training text without its first token",
    hint="You do not count the training text's first token. It is counted, too.",
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids[1:], valid_ids, vocab_size).mean().item()


@unigram_loss.mistake(
    "the mean over both texts",
    hint="You take the mean over both texts. The validation text alone is asked about.",
)
def _(train_ids, valid_ids, vocab_size):
    return _counted(train_ids, torch.cat([train_ids, valid_ids]), vocab_size).mean().item()
