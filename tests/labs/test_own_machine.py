from dataclasses import fields, replace

import pytest
import torch

from llmcourse import mine
from llmcourse.labs import own_machine
from llmcourse.labs.own_machine import OwnGPT, OwnParts, OwnTokenizer, learn_merges
from llmcourse.objectives.base import IGNORE, token_loss
from llmcourse.tokenizers.bpe import BPETokenizer

TEXTS = own_machine._texts()[:200]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMCOURSE_HOME", str(tmp_path_factory.mktemp("home")))
        return mine.parts()


def test_plain_bpe_learns_the_packages_merges(parts):
    assert learn_merges(TEXTS, 150, parts.merge) == BPETokenizer.train(TEXTS, 150 + 257).merges
    assert learn_merges(["ab"], 9, parts.merge) == BPETokenizer.train(["ab"], 258).merges


def test_the_tokenizer_encodes_as_the_packages_does(parts):
    theirs = BPETokenizer.train(TEXTS, 300)
    own = OwnTokenizer(TEXTS, 300, parts)
    text = "Mia saw 猫, and a pet of her own. Unbelievable!"
    assert own.encode(text) == theirs.encode(text)
    assert own.decode(own.encode(text)) == text
    assert own.end == theirs.eot_id


def test_the_model_says_what_the_packages_gpt_says(parts):
    gpt = own_machine._fresh()
    for parameter in gpt.parameters():  # zero-initialised projections would hide attention and MLP
        torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.randint(0, 1024, (2, 9))
    torch.testing.assert_close(OwnGPT(gpt, parts)(ids), gpt(ids).logits, atol=1e-4, rtol=1e-4)


def test_the_loss_is_the_packages(parts):
    logits, targets = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
    targets[0, 3:] = IGNORE
    total, count = token_loss(logits, targets)
    torch.testing.assert_close(own_machine.mean_loss(parts, logits, targets), total / count)


@pytest.fixture
def _small(monkeypatch):
    """Fewer stories and a smaller vocabulary."""
    monkeypatch.setattr(own_machine, "_texts", lambda: TEXTS)
    monkeypatch.setattr(own_machine, "VOCAB_SIZE", 320)


@pytest.mark.usefixtures("_small")
def test_every_part_is_used_and_together_they_learn_as_the_package_does(parts):
    used = set()

    def watched(name):
        def call(*args, **kwargs):
            used.add(name)
            return getattr(parts, name)(*args, **kwargs)

        return call

    machine = OwnParts(**{field.name: watched(field.name) for field in fields(OwnParts)})
    trained = own_machine.train(machine, steps=8)
    assert used == set(mine.PLACES)
    assert trained.losses == pytest.approx(own_machine.package_losses(8, of=8), abs=2e-4)
    assert trained.losses[-1] < trained.losses[0] - 0.5
    assert trained.story.startswith("Mia had a small dog named Biscuit.")


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    "broken",
    [
        {"causal_mask": lambda t, s: torch.ones(t, s, dtype=torch.bool)},
        {"rope": lambda x, positions, theta: x},
        {"clip": lambda gradients, max_norm: gradients},
        {"warmup_cosine": lambda progress, warmup, final: 1.0},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_wrong_part_shows_in_the_losses(parts, broken):
    losses = own_machine.train(replace(parts, **broken), steps=6).losses
    theirs = own_machine.package_losses(6, of=6)
    assert max(abs(a - b) for a, b in zip(losses, theirs, strict=True)) > mine.TOLERANCE
