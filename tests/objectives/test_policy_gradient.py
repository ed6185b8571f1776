import types
import warnings
from unittest.mock import MagicMock

import pytest
import torch
from numerics import close

from llmcourse.errors import UserError
from llmcourse.objectives.policy_gradient import group_advantages, grpo_loss, kl_estimate


class TestAdvantages:
    def test_worked_example(self):
        """One of four right: 3/4 over the sample's deviation of 1/2, and -1/4 over it."""
        rewards = torch.tensor([[1.0, 0, 0, 0], [2, 2, 2, 2]], dtype=torch.float64)
        scaled = 1 / (0.5 + 1e-4)
        wanted = torch.tensor([[0.75, -0.25, -0.25, -0.25], [0, 0, 0, 0]], dtype=torch.float64)
        close(group_advantages(rewards), wanted * scaled, largest=1)
        close(group_advantages(rewards, scale=False), wanted, largest=0.5)

    def test_adding_a_constant_or_scaling_all_rewards_changes_nothing(self):
        generator = torch.Generator().manual_seed(0)
        rewards = torch.rand(5, 6, dtype=torch.float64, generator=generator)
        found = group_advantages(rewards)
        close(group_advantages(rewards + 9), found, largest=1)
        close(group_advantages(1000 * rewards), found, atol=2e-3, largest=1)  # but for the 1e-4
        close(found.mean(dim=1), torch.zeros(5, dtype=torch.float64))

    def test_complains_about_a_group_of_one(self):
        with pytest.raises(UserError, match=r"^a group of 1 has nothing to be compared with"):
            group_advantages(torch.ones(4, 1))


class TestKL:
    def test_mean_is_the_divergence_and_no_value_is_negative(self):
        """Over all tokens of a vocabulary, weighed by the policy that draws them."""
        generator = torch.Generator().manual_seed(0)
        log_p, log_q = torch.randn(2, 1, 9, dtype=torch.float64, generator=generator).log_softmax(
            -1
        )
        found = kl_estimate(log_p, log_q)
        close((log_p.exp() * found).sum(), (log_p.exp() * (log_p - log_q)).sum(), largest=0.1)
        assert (found >= 0).all()


class TestGRPO:
    @pytest.fixture
    def given(self):
        generator = torch.Generator().manual_seed(0)
        now, old, reference = -2 * torch.rand(3, 6, 5, dtype=torch.float64, generator=generator)
        mask = torch.arange(5) < torch.tensor([[5], [1], [3], [4], [2], [5]])
        rewards = torch.rand(2, 3, dtype=torch.float64, generator=generator)
        return now, old, reference, group_advantages(rewards).flatten(), mask

    @pytest.mark.parametrize(("clip", "weight"), [(0.2, 0.04), (0.1, 0.0), (0.5, 2.0)])
    def test_equals_trls_trainer(self, given, clip, weight):
        """Their trainer's own loss, of a model that says what it is told to say."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from trl import GRPOTrainer
        now, old, reference, advantages, mask = given
        trainer = MagicMock(
            _get_per_token_logps_and_entropies=lambda *_, **__: (now, torch.zeros_like(now), None),
            aux_loss_enabled=False,
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            importance_sampling_level="token",
            beta=weight,
            loss_type="grpo",
            epsilon_low=clip,
            epsilon_high=clip,
            use_vllm=False,
            current_gradient_accumulation_steps=1,
            _entropy_bonus_enabled=False,
            args=types.SimpleNamespace(delta=None, use_bias_correction_kl=False),
            _metrics=MagicMock(),
        )
        trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda x: x
        ids = torch.zeros(6, 5, dtype=torch.long)
        theirs = GRPOTrainer._compute_loss(
            trainer,
            MagicMock(training=True),
            {
                "prompt_ids": ids[:, :1],
                "prompt_mask": ids[:, :1] + 1,
                "completion_ids": ids,
                "completion_mask": mask.long(),
                "advantages": advantages,
                "old_per_token_logps": old,
                "ref_per_token_logps": reference,
            },
        )
        total, count = grpo_loss(now, old, reference, advantages, mask, clip, weight)
        close(total / count, theirs, largest=0.01)
        assert count == 6

    def test_gradient_on_policy_is_that_of_advantage_times_log_probability(self, given):
        now, _, _, advantages, mask = given
        now.requires_grad_()
        total, _ = grpo_loss(now, now.detach(), now.detach(), advantages, mask)
        (gradient,) = torch.autograd.grad(total, now)
        close(gradient, -advantages[:, None] * mask / mask.sum(1, keepdim=True), largest=0.1)

    @pytest.mark.parametrize(
        ("moved", "advantage", "learns"),
        [
            (0.5, 1.0, False),  # already likelier by more than the clip: enough
            (0.5, -1.0, True),  # likelier, and bad: must come down
            (-0.5, -1.0, False),
            (-0.5, 1.0, True),
            (0.1, 1.0, True),
        ],
    )
    def test_clip_stops_what_has_moved_far_enough(self, moved, advantage, learns):
        old = torch.full((1, 1), -2.0)
        now = (old + moved).requires_grad_()
        grpo_loss(now, old, old, torch.tensor([advantage]), old < 0, kl_weight=0.0).total.backward()
        assert (now.grad != 0).item() is learns

    def test_what_is_not_the_answers_may_be_anything(self, given):
        now, old, reference, advantages, mask = given
        wanted = grpo_loss(*given)
        torn = [each.masked_fill(~mask, float("-inf")) for each in (now, old, reference)]
        torn[0].requires_grad_()
        total, _count = grpo_loss(*torn, advantages, mask)
        close(total, wanted.total)
        total.backward()
        assert torn[0].grad.isfinite().all()

    def test_an_answer_without_a_token_does_not_count(self, given):
        now, old, reference, advantages, mask = given
        fewer = mask.clone()
        fewer[1] = False
        kept = [0, 2, 3, 4, 5]
        total, count = grpo_loss(now, old, reference, advantages, fewer)
        close(total, grpo_loss(*(each[kept] for each in given)).total)
        assert count == 5

    def test_complains(self, given):
        with pytest.raises(UserError, match=r"clip=-0.1 and kl_weight=0.0"):
            grpo_loss(*given, clip=-0.1, kl_weight=0.0)
