"""Pairs of sentences: where texts are cut, what the labels say, and that nothing tells on them."""

import functools
import math
import re

import numpy as np
import pytest
import torch
from numerics import close, in_double

from llmcourse.errors import UserError
from llmcourse.models.bert import BERT, bert_recipe, modern_bert_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.mlm import MaskedLM
from llmcourse.objectives.sentence_pair import KINDS, Cut, SentencePairs, pair_loss
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.registry import train_tokenizer

V = 20
PLAIN = Vocabulary.plain(V, (0,))
MASK, CLS, SEP = V, V + 1, V + 2
END = 256  # the end of text, of the tokenizer of bytes


def seed(number=0):
    return np.random.default_rng(number)


@functools.cache
def bytewise():
    return Vocabulary.of(train_tokenizer("byte", [], 257))


@functools.cache
def tinytown_rows(n_stories=400, length=61):
    """Windows of tinytown's stories, as a run reads them."""
    stories = [story.text for story in tinytown.stories(n_stories)]
    tokenizer = train_tokenizer("bpe", stories[:200], 512)
    ids = [token for text in stories for token in [*tokenizer.encode(text), tokenizer.eot_id]]
    n_rows = len(ids) // length
    rows = torch.tensor(ids[: n_rows * length]).view(n_rows, length)
    return tokenizer, Vocabulary.of(tokenizer), rows


def byte_row(text):
    """A row of bytes, where `|` ends a document."""
    return torch.tensor([[END if byte == ord("|") else byte for byte in text.encode()]])


def halves_of(text):
    (cut,) = SentencePairs(bytewise()).cuts(byte_row(text))
    return text[cut.start : cut.middle], text[cut.middle : cut.end]


class TestCuts:
    @pytest.mark.parametrize(
        ("text", "first", "second"),
        [
            ("ago. It rained. Ann ran. So wet. And the", " It rained. Ann ran.", " So wet."),
            ("Go. I am. We go. Up. Yes. No", " I am. We go.", " Up. Yes."),
            # a document's first sentence begins a half; a half is half the window at the most
            ("x.|Ann ran. Bob sat. So did I.", "Ann ran.", " Bob sat."),
            # the end of a sentence nearest to the middle is the end of a document, too
            ("One. Two. Three.|Four. Five. Six.", " Three.|Four.", " Five. Six."),
            ("Well. One two. 3.14 is so. Seven. Eig", " One two.", " 3.14 is so."),
        ],
    )
    def test_by_hand(self, text, first, second):
        assert halves_of(text) == (first, second)

    @pytest.mark.parametrize(
        "text", ["no sentence ends here at all", "one. and no other", "never. ending", "odd one"]
    )
    def test_in_the_middle_where_no_sentences_are(self, text):
        middle = len(text) // 2
        assert halves_of(text) == (text[:middle], text[middle:])

    def test_plain_tokens(self):
        rows = torch.arange(14).view(2, 7)
        assert SentencePairs(PLAIN).cuts(rows) == [Cut(0, 3, 7, False)] * 2

    @pytest.mark.parametrize("length", [90, 151, 300])
    def test_brute_force(self, length):
        """All triples of places of all rows, judged by the text next to them."""
        stories = "|".join(story.text for story in tinytown.stories(40))
        rows = [stories[i : i + length] for i in range(0, len(stories) - length, length)]
        tokens = torch.cat([byte_row(row) for row in rows])
        found = 0
        for text, cut in zip(rows, SentencePairs(bytewise()).cuts(tokens), strict=True):
            starts = {m.end() for m in re.finditer(r"[.!?|](?!\|)(?=.)", text)}
            stops = {m.end() for m in re.finditer(r"[.!?]|[^|](?=\|)", text)}
            half = length // 2
            best = None
            for middle in starts & stops:
                before = [a for a in starts if middle - half <= a < middle]
                after = [b for b in stops if middle < b <= middle + half]
                if before and after:
                    distance = abs(2 * middle - length)
                    best = min(best or (length,), (distance, min(before), middle, max(after)))
            if best is None:
                assert cut == (0, half, length, False)
            else:
                assert cut == (*best[1:], True)
                found += 1
        assert found > 10

    def test_most_windows_of_stories_hold_whole_sentences(self):
        tokenizer, vocabulary, rows = tinytown_rows()
        cuts = SentencePairs(vocabulary).cuts(rows)
        assert np.mean([cut.whole for cut in cuts]) > 0.9
        for row, cut in zip(rows.tolist(), cuts, strict=True):
            if cut.whole:
                assert tokenizer.decode(row[cut.start : cut.middle])[-1] in ".!?"
                assert tokenizer.decode(row[cut.middle : cut.end])[-1] in ".!?"


class TestRows:
    TOKENS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])

    def test_window(self):
        """A prepared row is as long as the model's context."""
        task = SentencePairs(PLAIN)
        assert task.window(8) == 5
        assert task.prepare(self.TOKENS, seed()).ids.shape == (2, 8)
        assert task.special_tokens == ("[MASK]", "[CLS]", "[SEP]")

    def test_sop_by_hand(self):
        wanted = {
            1: ([CLS, 1, 2, SEP, 3, 4, 5, SEP], [0, 0, 0, 0, 1, 1, 1, 1]),
            0: ([CLS, 3, 4, 5, SEP, 1, 2, SEP], [0, 0, 0, 0, 0, 1, 1, 1]),
        }
        seen = set()
        for number in range(20):
            batch = SentencePairs(PLAIN, "sop").prepare(self.TOKENS, seed(number))
            label = int(batch.labels[0])
            assert (batch.ids[0].tolist(), batch.extras["segments"][0].tolist()) == wanted[label]
            assert batch.extras["mask"].shape == (2, 1, 1, 8)
            assert batch.extras["mask"].all()
            assert (batch.targets == IGNORE).all()
            seen.add(label)
        assert seen == {0, 1}

    def test_nsp_by_hand(self):
        wanted = {1: [CLS, 1, 2, SEP, 3, 4, 5, SEP], 0: [CLS, 1, 2, SEP, 8, 9, 10, SEP]}
        seen = set()
        for number in range(20):
            batch = SentencePairs(PLAIN, "nsp").prepare(self.TOKENS, seed(number))
            label = int(batch.labels[0])
            assert batch.ids[0].tolist() == wanted[label]
            seen.add(label)
        assert seen == {0, 1}

    def test_padding(self):
        """Shorter halves leave room at the end, which nobody looks at."""
        text = "ago. It rained. Ann ran. So wet. And the"
        vocabulary = bytewise()
        batches = [
            SentencePairs(vocabulary, "sop").prepare(byte_row(text), seed(i)) for i in range(9)
        ]
        batch = next(batch for batch in batches if batch.labels[0] == 1)
        ids = batch.ids[0].tolist()
        shown = [258, *b" It rained. Ann ran.", 259, *b" So wet.", 259]
        assert ids == shown + [vocabulary.blank_id] * (len(text) + 3 - len(shown))
        mask = batch.extras["mask"][0, 0, 0].tolist()
        assert mask == [True] * len(shown) + [False] * (len(ids) - len(shown))
        segments = batch.extras["segments"][0].tolist()
        assert segments == [0] * 22 + [1] * 9 + [0] * (len(ids) - 31)

    def test_a_row_alone_keeps_its_own_half(self):
        batches = [SentencePairs(PLAIN).prepare(self.TOKENS[:1], seed(i)) for i in range(9)]
        assert all(batch.labels.tolist() == [1] for batch in batches)
        assert batches[0].ids[0].tolist() == [CLS, 1, 2, SEP, 3, 4, 5, SEP]

    @pytest.mark.parametrize("kind", KINDS)
    def test_same_draws_same_batch_and_the_input_is_left_alone(self, kind):
        _, vocabulary, rows = tinytown_rows()
        task, before = SentencePairs(vocabulary, kind, MaskedLM(vocabulary)), rows.clone()
        first, second, other = (task.prepare(rows, seed(i)) for i in (3, 3, 4))
        assert torch.equal(rows, before)
        for name in ("ids", "targets", "labels"):
            assert torch.equal(getattr(first, name), getattr(second, name))
            assert not torch.equal(getattr(first, name), getattr(other, name))
        assert all(torch.equal(first.extras[name], second.extras[name]) for name in first.extras)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"kind": "nps"}, "unknown kind='nps'.*nsp"),
            ({"pair_weight": 0}, "pair_weight=0 must be at least 1"),
        ],
    )
    def test_bad_settings(self, settings, message):
        with pytest.raises(UserError, match=message) as caught:
            SentencePairs(PLAIN, **settings)
        assert "\n" not in str(caught.value)

    def test_too_short(self):
        with pytest.raises(UserError, match="a window of 1 tokens cannot be cut in two"):
            SentencePairs(PLAIN).prepare(torch.ones(2, 1).long(), seed())


class TestManyDraws:
    """40 rows, each of tokens of its own, so that each half tells where it is from."""

    ROWS = torch.arange(400).view(40, 10)
    WIDE = Vocabulary.plain(400)

    def batches(self, kind, n=200):
        rng = seed()
        return [SentencePairs(self.WIDE, kind).prepare(self.ROWS, rng) for _ in range(n)]

    @pytest.mark.parametrize("kind", KINDS)
    def test_half_of_the_labels_are_1(self, kind):
        labels = torch.stack([batch.labels for batch in self.batches(kind)]).double()
        assert abs(labels.mean().item() - 0.5) < 5 * 0.5 / math.sqrt(labels.numel())
        assert (labels.mean(0) - 0.5).abs().max() < 5 * 0.5 / math.sqrt(200)  # in every row

    def test_the_label_says_whether_the_order_is_kept(self):
        for batch in self.batches("sop", 20):
            first, second = batch.ids[:, 1], batch.ids[:, 7]
            assert torch.equal((first < second).long(), batch.labels)
            assert torch.equal(first // 10, second // 10)

    def test_the_label_says_whether_b_is_from_the_same_row(self):
        others = torch.zeros(40, 40)
        for batch in self.batches("nsp"):
            origin = batch.ids[:, 7] // 10
            assert torch.equal(batch.ids[:, 1] // 10, torch.arange(40))
            assert (batch.ids[:, 7] % 10 == 5).all()  # the second half, as it stands there
            assert torch.equal((origin == torch.arange(40)).long(), batch.labels)
            others[torch.arange(40), origin] += 1
        strangers = others[~torch.eye(40, dtype=torch.bool)]
        n, share = 200 * 40, 1 / (2 * 40 * 39)
        assert strangers.sum() + others.trace() == n
        per_row = others.fill_diagonal_(0).sum(0)  # each row is as likely to be taken from
        assert (per_row - 100).abs().max() < 5 * 10
        assert strangers.max() < n * share + 7 * math.sqrt(n * share) + 5


class TestNothingGivesTheLabelAway:
    @pytest.mark.parametrize("kind", KINDS)
    def test_lengths(self, kind):
        """By the lengths of the halves, the best guess that a table makes is hardly any better."""
        _, vocabulary, rows = tinytown_rows()
        task, rng = SentencePairs(vocabulary, kind), seed()
        lengths, labels = [], []
        for _ in range(12):
            batch = task.prepare(rows[torch.from_numpy(rng.permutation(len(rows)))], rng)
            total = batch.extras["mask"].sum((1, 2, 3))
            second = batch.extras["segments"].sum(1)
            lengths.append(torch.stack([total - second, second], 1) // 6)
            labels.append(batch.labels)
        cells, labels = torch.cat(lengths), torch.cat(labels)
        cell = cells[:, 0] * 20 + cells[:, 1]
        train, test = slice(None, None, 2), slice(1, None, 2)
        ones = torch.bincount(cell[train], labels[train].double(), minlength=400)
        share = ones / torch.bincount(cell[train], minlength=400)
        guesses = (share[cell[test]] > 0.5).long()
        assert len(labels) > 5000
        assert (guesses == labels[test]).double().mean() < 0.56

    @pytest.mark.parametrize("kind", KINDS)
    def test_marks_and_gaps_at_the_ends(self, kind):
        """What stands first and last in each half is as frequent under both labels."""
        tokenizer, vocabulary, rows = tinytown_rows()
        task, rng = SentencePairs(vocabulary, kind), seed()
        seen = {0: [], 1: []}
        for _ in range(4):
            batch = task.prepare(rows, rng)
            for ids, label in zip(batch.ids.tolist(), batch.labels.tolist(), strict=True):
                first, second = ids[1 : ids.index(task.sep_id)], ids[ids.index(task.sep_id) + 1 :]
                second = second[: second.index(task.sep_id)]
                ends = [tokenizer.decode(half)[-1] in ".!?" for half in (first, second)]
                seen[label].append(ends)
        for place in (0, 1):
            shares = {label: np.mean([ends[place] for ends in seen[label]]) for label in seen}
            assert shares[0] == pytest.approx(shares[1], abs=0.04)
            assert shares[1] > 0.9

    def test_a_torn_half_meets_a_torn_half(self):
        """Of two kinds of cut, each exchanges with its own."""
        whole, torn = "ago. It rained. Ann ran. Wet", "nothing in here ends at all!"[:-1] + " "
        rows = torch.cat([byte_row(whole), byte_row(torn)] * 3)
        for number in range(20):
            batch = SentencePairs(bytewise(), "nsp").prepare(rows, seed(number))
            ends = [(ids == 259).nonzero()[-1] - 1 for ids in batch.ids]
            marks = [int(ids[end]) == ord(".") for ids, end in zip(batch.ids, ends, strict=True)]
            assert marks == [True, False] * 3


def model_of(vocabulary, length, **settings):
    sizes = {"context_length": length, "d_model": 16, "n_layers": 2, "n_heads": 2}
    recipe = {"vocab_size": vocabulary.size + 3, "n_pair_labels": 2, **sizes, **settings}
    return in_double(lambda: BERT(bert_recipe(**recipe)))


def read(model, batch):
    with torch.no_grad():
        return model(ids=batch.ids, **batch.extras)


class TestHiding:
    @pytest.mark.parametrize("unit", ["token", "word", "span"])
    def test_only_text_is_hidden(self, unit):
        """Never [CLS] or [SEP], the padding or the end of a document; and its share is kept."""
        _, vocabulary, rows = tinytown_rows()
        masking = MaskedLM(vocabulary, mask_rate=0.3, unit=unit)
        plain = SentencePairs(vocabulary, "sop").prepare(rows, seed(2))
        batch = SentencePairs(vocabulary, "sop", masking).prepare(rows, seed(2))
        hidden = batch.targets != IGNORE
        assert torch.equal(batch.ids[~hidden], plain.ids[~hidden])
        assert torch.equal(batch.targets[hidden], plain.ids[hidden])
        text = batch.extras["mask"].flatten(1) & vocabulary.is_text(plain.ids)
        assert not hidden[~text].any()
        n = int(text.sum())
        loose = 5 if unit == "token" else 12  # what falls together varies more
        assert abs(hidden[text].double().mean() - 0.3) < loose * math.sqrt(0.3 * 0.7 / n)
        masked = (batch.ids[hidden] == masking.mask_id).double().mean()
        assert masked == pytest.approx(0.8, abs=0.03)
        assert (batch.ids[hidden] <= masking.mask_id).all()

    def test_padding_is_no_text_of_a_vocabulary_without_special_tokens(self):
        """Its blank is a token like any other."""
        vocabulary, tokens = Vocabulary.plain(300), byte_row("One. Two a. Three. Four. Fi")
        vocabulary = Vocabulary(
            **{**vars(vocabulary), "ends_sentence": torch.arange(300) == ord(".")}
        )
        task = SentencePairs(vocabulary, "sop", MaskedLM(vocabulary, mask_rate=1.0))
        batch = task.prepare(tokens, seed())
        shown = batch.extras["mask"][0, 0, 0]
        assert not shown.all()
        assert (batch.targets[0, ~shown] == IGNORE).all()
        assert (batch.targets[0, shown] != IGNORE).sum() == shown.sum() - 3

    def test_what_was_masked_and_the_padding_cannot_be_read_off(self):
        _, vocabulary, rows = tinytown_rows()
        model = model_of(vocabulary, 64)
        task = SentencePairs(vocabulary, "sop", MaskedLM(vocabulary, replace=(1, 0, 0)))
        batch = task.prepare(rows[:4], seed())
        before = read(model, batch)
        shown = batch.extras["mask"].flatten(1)
        assert not shown.all()
        ids = torch.where(shown, batch.ids, (batch.ids + 1) % vocabulary.size)
        after = model(ids=ids, **batch.extras)
        assert torch.equal(before.pair_logits, after.pair_logits)
        assert torch.equal(before.logits[shown], after.logits[shown])
        assert (batch.ids[batch.targets != IGNORE] == task.masking.mask_id).all()

    def test_both_halves_are_seen(self):
        _, vocabulary, rows = tinytown_rows()
        model = model_of(vocabulary, 64)
        batch = SentencePairs(vocabulary, "nsp").prepare(rows[:4], seed())
        before = read(model, batch).pair_logits
        for place in (1, int(batch.extras["mask"][0].sum()) - 2):
            ids = batch.ids.clone()
            ids[0, place] = (ids[0, place] + 1) % vocabulary.size
            after = model(ids=ids, **batch.extras).pair_logits
            assert (before[0] != after[0]).all()
            assert torch.equal(before[1:], after[1:])


class TestLoss:
    @pytest.fixture
    def vocabulary(self):
        return tinytown_rows()[1]

    @pytest.fixture
    def rows(self):
        return tinytown_rows()[2][:6]

    def by_hand(self, output, batch):
        """The nats of the tokens and those of the pairs, and how many there are of each."""
        tokens, n = 0.0, 0
        for b, t in (batch.targets != IGNORE).nonzero().tolist():
            weights = output.logits[b, t].exp()
            tokens -= math.log(weights[batch.targets[b, t]] / weights.sum())
            n += 1
        pairs = 0.0
        for scores, label in zip(output.pair_logits, batch.labels.tolist(), strict=True):
            pairs -= math.log(scores.exp()[label] / scores.exp().sum())
        return tokens, n, pairs, len(batch.labels)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(("pair_weight", "weight"), [(None, 9), (4, 4)])
    def test_brute_force_of_both(self, kind, pair_weight, weight, vocabulary, rows):
        """Unless given, a pair weighs 0.15 * 61 = 9.15, rounded, of the hidden tokens."""
        task = SentencePairs(vocabulary, kind, MaskedLM(vocabulary), pair_weight)
        batch = task.prepare(rows, seed())
        output = read(model_of(vocabulary, 64), batch)
        total, count = task.loss(output, batch)
        tokens, n, pairs, n_rows = self.by_hand(output, batch)
        assert task.weight(64) == weight
        assert n > 20
        assert count == n + weight * n_rows
        close(total, torch.tensor(tokens + weight * pairs, dtype=torch.float64), largest=10)

    def test_brute_force_of_pairs_alone(self, vocabulary, rows):
        task = SentencePairs(vocabulary, "sop")
        batch = task.prepare(rows, seed())
        output = read(model_of(vocabulary, 64), batch)
        total, count = task.loss(output, batch)
        _, n, pairs, n_rows = self.by_hand(output, batch)
        assert (n, count, n_rows) == (0, 6, 6)
        close(total, torch.tensor(pairs, dtype=torch.float64), largest=1)

    def test_figures(self, vocabulary, rows):
        task = SentencePairs(vocabulary, "sop", MaskedLM(vocabulary))
        batch = task.prepare(rows, seed())
        output = read(model_of(vocabulary, 64), batch)
        metrics = task.metrics(output, batch)
        tokens, n, pairs, _ = self.by_hand(output, batch)
        assert list(metrics) == ["token loss", "pair loss", "pair accuracy"]
        assert [metric.count for metric in metrics.values()] == [n, 6, 6]
        assert metrics["token loss"].total.item() == pytest.approx(tokens, abs=1e-9)
        assert metrics["pair loss"].total.item() == pytest.approx(pairs, abs=1e-9)
        right = sum(
            scores[label] > scores[1 - label]
            for scores, label in zip(output.pair_logits.tolist(), batch.labels, strict=True)
        )
        assert metrics["pair accuracy"].total == right
        alone = SentencePairs(vocabulary, "sop").metrics(output, batch)
        assert list(alone) == ["pair loss", "pair accuracy"]

    @pytest.mark.parametrize("hides", [True, False])
    def test_micro_batches_add_up(self, hides, vocabulary, rows):
        task = SentencePairs(vocabulary, "nsp", MaskedLM(vocabulary) if hides else None)
        model, batch = model_of(vocabulary, 64), task.prepare(rows, seed())
        whole = task.loss(read(model, batch), batch)
        parts = [batch.rows(slice(0, 1)), batch.rows(slice(1, 4)), batch.rows(slice(4, 6))]
        sums = [task.loss(read(model, part), part) for part in parts]
        assert sum(part.count for part in sums) == whole.count
        close(sum(part.total for part in sums), whole.total, largest=1)

    def test_half_precision_is_summed_in_single(self):
        logits = torch.randn(4096, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
        total, _ = pair_loss(logits, torch.zeros(4096).long())
        exact = torch.nn.functional.cross_entropy(
            logits.double(), torch.zeros(4096).long(), reduction="sum"
        )
        assert total.dtype == torch.float32
        assert total.item() == pytest.approx(exact.item(), rel=1e-6)

    def test_a_model_without_the_head(self, vocabulary, rows):
        task = SentencePairs(vocabulary)
        batch = task.prepare(rows, seed())
        output = read(model_of(vocabulary, 64, n_pair_labels=0), batch)
        with pytest.raises(UserError, match="no head for pairs: build it with n_pair_labels=2"):
            task.loss(output, batch)


def trained(task, rows, n_steps):
    """A model after a small budget, and its share of right answers on rows held out."""
    seed_all(0)
    length = rows.size(1) + 3
    recipe = {"d_model": 48, "n_layers": 1, "n_heads": 4, "n_segments": 2, "n_pair_labels": 2}
    recipe |= {"vocab_size": task.vocabulary.size + 3, "context_length": length}
    model = BERT(modern_bert_recipe(**recipe))
    optimizer, rng = torch.optim.AdamW(model.parameters(), lr=3e-3), numpy_rng(0, "pairs")
    train, valid = rows[256:], rows[:256]
    for _ in range(n_steps):
        batch = task.prepare(train[torch.from_numpy(rng.integers(len(train), size=32))], rng)
        total, count = task.loss(model(ids=batch.ids, **batch.extras), batch)
        (total / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    batch = task.prepare(valid, seed())
    metrics = task.metrics(read(model, batch), batch)
    return (metrics["pair accuracy"].total / metrics["pair accuracy"].count).item()


class TestLearning:
    """A coin is right on half of 256 pairs, and on 62% of them hardly ever."""

    @pytest.mark.slow
    def test_the_order_of_stories(self):
        _, vocabulary, rows = tinytown_rows(1500)
        assert trained(SentencePairs(vocabulary, "sop"), rows, 150) > 0.68

    def test_what_follows(self):
        """Each row is about one of four subjects: of two halves, three in four strangers differ."""
        rng = seed()
        subjects = rng.integers(4, size=(6256, 1))
        rows = torch.from_numpy(1 + 4 * subjects + rng.integers(4, size=(6256, 8)))
        assert trained(SentencePairs(PLAIN, "nsp"), rows, 250) > 0.7
