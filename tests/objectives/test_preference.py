import math
import types
import warnings
from unittest.mock import MagicMock

import pytest
import torch
from numerics import close

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.preference import (
    SequenceLogProbs,
    bradley_terry_loss,
    chosen_nll_loss,
    dpo_loss,
    sequence_log_probs,
    simpo_loss,
)


@pytest.fixture
def given():
    """Log-probabilities of four pairs of answers, under a policy and a reference."""
    generator = torch.Generator().manual_seed(0)
    return tuple(-20 * torch.rand(4, 4, dtype=torch.float64, generator=generator))


def trls(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports warn of what is none of ours
        return getattr(__import__(module, fromlist=[name]), name)


class TestSequenceLogProbs:
    @pytest.fixture
    def rows(self):
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(3, 5, 7, dtype=torch.float64, generator=generator)
        targets = torch.randint(7, (3, 5), generator=generator)
        targets[0, :2] = targets[1, 3:] = targets[2] = IGNORE
        return logits, targets

    def test_worked_example(self):
        """Two tokens of the vocabulary; the answer's are given 1/4 and 1/2, the prompt's 1/2."""
        logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0]]])
        found = sequence_log_probs(logits, torch.tensor([[IGNORE, 1, 0]]))
        assert found.total.item() == pytest.approx(math.log(1 / 8))
        assert found.count.item() == 2
        assert found.mean.item() == pytest.approx(math.log(1 / 8) / 2)

    def test_is_the_product_of_the_scored_tokens_probabilities(self, rows):
        logits, targets = rows
        found = sequence_log_probs(logits, targets)
        for row, wanted, total in zip(logits.softmax(-1), targets, found.total, strict=True):
            chances = [row[t, v].item() for t, v in enumerate(wanted.tolist()) if v != IGNORE]
            assert total.exp().item() == pytest.approx(math.prod(chances))
        assert found.count.tolist() == [3, 3, 0]
        assert found.mean[2] == 0

    @pytest.mark.parametrize("mean", [False, True])
    def test_equals_trls(self, rows, mean):
        logits, targets = (each[:2] for each in rows)
        # Theirs shifts by itself: what is scored at t is predicted at t - 1.
        labels = torch.cat([torch.full((2, 1), IGNORE), targets], dim=1)
        theirs = trls("trl.experimental.cpo", "CPOTrainer").get_batch_logps(
            torch.cat([logits, logits[:, :1]], dim=1), labels, average_log_prob=mean
        )
        found = sequence_log_probs(logits, targets)
        close(found.mean if mean else found.total, theirs, largest=1)

    def test_what_is_not_scored_gets_no_gradient(self, rows):
        logits, targets = rows
        logits.requires_grad_()
        sequence_log_probs(logits, targets).total.sum().backward()
        assert (logits.grad[targets == IGNORE] == 0).all()
        assert (logits.grad[targets != IGNORE] != 0).all()

    def test_half_precision_is_summed_in_float32(self, rows):
        assert sequence_log_probs(rows[0].bfloat16(), rows[1]).total.dtype == torch.float32


class TestBradleyTerry:
    def test_worked_example(self):
        """A reward that is ln 3 larger: three of four prefer it."""
        losses = bradley_terry_loss(
            torch.tensor([math.log(3), 0.0]), torch.tensor([0.0, math.log(3)])
        )
        assert losses.exp().tolist() == pytest.approx([4 / 3, 4])

    def test_only_differences_count_and_extremes_do_not_overflow(self):
        chosen, rejected = torch.tensor([1.0, 900.0, -900.0]), torch.tensor([2.0, -900.0, 900.0])
        losses = bradley_terry_loss(chosen, rejected)
        close(losses, bradley_terry_loss(chosen + 8, rejected + 8), largest=1)
        assert losses[1:].tolist() == [0, 1800]


class TestDPO:
    def test_worked_example(self):
        """The policy doubled the chosen answer's odds and halved the other's: 4^beta."""
        two = math.log(2)
        found = dpo_loss(*(torch.tensor([x]) for x in (-3 + two, -5 - two, -3.0, -5.0)), beta=0.5)
        assert found.losses.item() == pytest.approx(math.log(1.5))  # -log σ(ln 2) = -log(2/3)
        assert found.chosen_rewards.item() == pytest.approx(0.5 * two)
        assert found.margins.item() == pytest.approx(two)

    @pytest.mark.parametrize("beta", [0.1, 0.7])
    def test_equals_trls_trainer(self, given, beta):
        """Their trainer's own loss, of a model that says what it is told to say."""
        policy_chosen, policy_rejected, reference_chosen, reference_rejected = given
        trainer = MagicMock(
            beta=beta,
            ld_alpha=None,
            precompute_ref_logps=True,
            f_divergence_type="reverse_kl",
            loss_types=["sigmoid"],
            loss_weights=[1.0],
            use_weighting=False,
            aux_loss_enabled=False,
            _total_train_tokens=0,
            _tp_size=1,
        )
        trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda x: x
        logged = {}
        trainer._metrics = {"train": MagicMock(__getitem__=lambda _, k: logged.setdefault(k, []))}
        whole = torch.cat([policy_chosen, policy_rejected])[:, None]
        nothing = torch.zeros_like(whole)
        said = types.SimpleNamespace(
            log_probs=whole, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool()
        )
        theirs = trls("trl", "DPOTrainer")._compute_loss(
            trainer,
            MagicMock(return_value=said, training=True),
            {
                "input_ids": torch.zeros(8, 2, dtype=torch.long),
                "attention_mask": torch.ones(8, 2),
                "completion_mask": torch.tensor([[0, 1]]).repeat(8, 1),
                "ref_chosen_logps": reference_chosen,
                "ref_rejected_logps": reference_rejected,
            },
            False,
        )
        found = dpo_loss(*given, beta=beta)
        close(found.losses.mean(), theirs, largest=0.1)
        for name, ours in (
            ("chosen", found.chosen_rewards),
            ("rejected", found.rejected_rewards),
            ("margins", found.margins),
        ):
            assert logged[f"rewards/{name}"] == [pytest.approx(ours.mean().item())]

    def test_a_policy_that_is_its_reference_pays_ln_2(self, given):
        found = dpo_loss(*given[:2], *given[:2])
        assert found.losses.tolist() == pytest.approx([math.log(2)] * 4)
        assert found.margins.tolist() == [0] * 4

    def test_gradient_is_weighed_by_how_wrong_the_rewards_are(self, given):
        """Rafailov et al., section 4: β σ(reward of rejected - reward of chosen)."""
        given[0].requires_grad_(), given[1].requires_grad_(), given[2].requires_grad_()
        found = dpo_loss(*given, beta=0.3)
        found.losses.sum().backward()
        weights = 0.3 * torch.sigmoid(-found.margins)
        close(given[0].grad, -weights, largest=0.1)
        close(given[1].grad, weights, largest=0.1)
        assert given[2].grad is None  # the reference is held fixed
        assert not found.chosen_rewards.requires_grad

    def test_complains(self, given):
        with pytest.raises(UserError, match=r"^beta=0 must be above 0: try 0.1$"):
            dpo_loss(*given, beta=0)


class TestMends:
    @pytest.fixture
    def answers(self, given):
        lengths = torch.tensor([3, 9, 1, 20])
        return SequenceLogProbs(given[0], lengths), SequenceLogProbs(given[1], lengths.flip(0))

    def test_simpo_equals_trls(self, answers):
        theirs = trls("trl.experimental.cpo", "CPOTrainer").cpo_loss(
            MagicMock(
                alpha=0.0,
                beta=2.5,
                loss_type="simpo",
                simpo_gamma=0.8,
                label_smoothing=0.0,
                accelerator=types.SimpleNamespace(device="cpu"),
            ),
            *(each.mean for each in answers),
        )
        for ours, other in zip(simpo_loss(*answers, beta=2.5, gamma=0.8), theirs, strict=True):
            close(ours, other, largest=0.1)

    def test_simpo_does_not_mind_how_long_an_answer_is(self, answers):
        chosen, rejected = answers
        twice = SequenceLogProbs(2 * chosen.total, 2 * chosen.count)
        close(simpo_loss(twice, rejected).losses, simpo_loss(chosen, rejected).losses, largest=0.1)

    def test_the_chosen_answers_likelihood_is_a_tokens(self, answers):
        chosen, _ = answers
        close(chosen_nll_loss(chosen), -chosen.total / chosen.count, largest=1)

    def test_complains(self, answers):
        with pytest.raises(UserError, match="beta=-1 must be above 0"):
            simpo_loss(*answers, beta=-1)
