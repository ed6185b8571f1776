"""How well an encoder-decoder learns to translate number words into Chinese numerals.

    python benchmarks/translation.py                      0 to 99,999,999, a few minutes

What chapter 05 does with numbers below 100,000 in seconds, with every number that both languages
can name here. Counted are exact matches on numbers that training never saw, by their length in
digits, beside three baselines: the commonest translation, the source's digits copied one by one,
and digits drawn at random. Each length is equally likely, in training and in the test.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import RESULTS, keep
from torch import Tensor

from llmcourse.generate.seq2seq import generate_from_source
from llmcourse.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from llmcourse.optim.groups import split_for_muon
from llmcourse.optim.muon import BatchedMuon
from llmcourse.randomness import seed_all
from llmcourse.tinytown.numbers import LIMIT, NumberPair, number_pairs

PAD, START, STOP = range(3)
DIGITS = "零一二三四五六七八九"


def words(pair: NumberPair) -> list[str]:
    return pair.english.replace("-", " ").split()


def table(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one tensor, filled up with padding."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


class Vocabulary:
    """A number for each word of one language; three are kept for padding, start and stop."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.words = sorted({word for text in texts for word in text})

    def __len__(self) -> int:
        return len(self.words) + 3

    def encode(self, text: Sequence[str]) -> list[int]:
        return [self.words.index(word) + 3 for word in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.words[id - 3] for id in ids if id > STOP)


def train(model: EncoderDecoder, source: Tensor, target: Tensor, steps: int, batch: int) -> None:
    """Muon for the matrices, AdamW for the rest, rates that fall to a twentieth."""
    matrices, rest = split_for_muon(model)
    muon = BatchedMuon(matrices, lr=0.03, weight_decay=0.0)
    optimizers = [muon, torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)]
    cooling = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.05, steps) for o in optimizers]
    for _ in range(steps):
        rows = torch.randint(len(source), (batch,))
        read, write = source[rows], target[rows]
        logits = model(read, write[:, :-1], source_mask=padding(read)).logits
        loss = F.cross_entropy(logits.flatten(0, 1), write[:, 1:].flatten(), ignore_index=PAD)
        model.zero_grad()
        loss.backward()
        for part in (*optimizers, *cooling):
            part.step()


def padding(source: Tensor) -> Tensor:
    """True where a source is text: `B 1 1 S`."""
    return (source != PAD)[:, None, None]


def baselines(pairs: Sequence[NumberPair], seed: int) -> dict[str, Callable[[NumberPair], str]]:
    """What needs no model, for comparison."""
    commonest = Counter(pair.chinese for pair in pairs).most_common(1)[0][0]
    rng = random.Random(seed)
    return {
        "commonest": lambda pair: commonest,
        "digits copied": lambda pair: "".join(DIGITS[int(digit)] for digit in str(pair.value)),
        "random digits": lambda pair: "".join(rng.choice(DIGITS) for _ in pair.chinese),
    }


def exact(pairs: Sequence[NumberPair], said: Sequence[str]) -> dict[str, float]:
    """The share of exact matches, over all and for each number of digits."""
    right: dict[str, list[bool]] = {"all": []}
    for pair, text in zip(pairs, said, strict=True):
        for group in ("all", str(len(str(pair.value)))):
            right.setdefault(group, []).append(text == pair.chinese)
    return {name: sum(hits) / len(hits) for name, hits in sorted(right.items())}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = {"limit": LIMIT, "examples": 40_000, "unseen": 2_000, "steps": 2_500}
    defaults |= {"batch_size": 64, "d_model": 64, "n_layers": 2, "n_decoder_layers": 1}
    defaults |= {"n_heads": 4, "seed": 0}
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def examples(settings: argparse.Namespace) -> tuple[list[NumberPair], list[NumberPair]]:
    """Numbers to learn from, and others of three digits and more, none of which is among them."""
    held = number_pairs(settings.unseen, seed=settings.seed + 1, limit=settings.limit)
    unseen = {pair.value: pair for pair in held if pair.value >= 100}
    drawn = number_pairs(settings.examples, seed=settings.seed, limit=settings.limit)
    return [pair for pair in drawn if pair.value not in unseen], list(unseen.values())


def build(settings: argparse.Namespace, n_read: int, n_write: int, length: int) -> EncoderDecoder:
    """The model of chapter 05: two blocks read, one writes."""
    names = ("d_model", "n_layers", "n_decoder_layers", "n_heads")
    return EncoderDecoder(
        EncoderDecoderConfig(
            source_vocab_size=n_read,
            vocab_size=n_write,
            context_length=length,
            mlp="gelu_tanh",
            positions="learned",
            qk_norm=False,
            tie_embeddings=False,
            zero_init_outputs=False,
            **{name: getattr(settings, name) for name in names},
        )
    )


def main() -> None:
    settings = parse()
    learn, unseen = examples(settings)
    english = Vocabulary([words(pair) for pair in learn + unseen])
    chinese = Vocabulary([pair.chinese for pair in learn + unseen])
    read = table([[*english.encode(words(pair)), STOP] for pair in learn + unseen])
    write = table([[START, *chinese.encode(pair.chinese), STOP] for pair in learn + unseen])
    length = max(read.size(1), write.size(1))
    seed_all(settings.seed)
    model = build(settings, len(english), len(chinese), length)
    began = time.perf_counter()
    train(model, read[: len(learn)], write[: len(learn)], settings.steps, settings.batch_size)
    seconds = time.perf_counter() - began
    asked = read[len(learn) :]
    options = {"start_id": START, "stop_id": STOP, "max_new_tokens": length - 1}
    rows = generate_from_source(model, asked, source_mask=padding(asked), **options)
    found = {"encoder-decoder": exact(unseen, [chinese.decode(row) for row in rows])}
    for name, answer in baselines(learn, settings.seed).items():
        found[name] = exact(unseen, [answer(pair) for pair in unseen])
    for name, shares in found.items():
        print(f"{name:<16} {shares['all']:7.2%} of {len(unseen)} unseen numbers")
    results = {"parameters": model.n_parameters, "seconds": seconds, "unseen": len(unseen)}
    kept = {name: value for name, value in vars(settings).items() if name != "out"}
    keep("translation", kept, {**results, "exact": found}, settings.out)


if __name__ == "__main__":
    main()
