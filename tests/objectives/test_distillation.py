import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from numerics import close

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE, token_loss
from llmcourse.objectives.distillation import hidden_state_loss, soft_target_loss


@pytest.fixture
def given():
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=generator)
    targets = torch.randint(7, (3, 5), generator=generator)
    targets[0, :2] = targets[2, 4] = IGNORE
    return student, teacher, targets


class TestSoftTargets:
    def test_worked_example(self):
        """Two tokens; the teacher says 3 : 1 at temperature 2, and the student 1 : 1."""
        teacher = torch.tensor([[[2 * math.log(3), 0.0]]], dtype=torch.float64)
        student = torch.zeros(1, 1, 2, dtype=torch.float64)
        total, count = soft_target_loss(student, teacher, torch.tensor([[1]]), 2.0, 0.25)
        divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
        assert total.item() == pytest.approx(0.25 * 4 * divergence + 0.75 * math.log(2))
        assert count == 1

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_equals_the_librarys_divergence_and_cross_entropy(self, given, temperature, share):
        student, teacher, targets = given
        wanted = torch.tensor(0.0, dtype=torch.float64)
        for b, t in (targets != IGNORE).nonzero().tolist():
            said, taught = student[b, t], teacher[b, t]
            divergence = F.kl_div(
                (said / temperature).log_softmax(0),
                (taught / temperature).softmax(0),
                reduction="sum",
            )
            hard = F.cross_entropy(said, targets[b, t])
            wanted = wanted + share * temperature**2 * divergence + (1 - share) * hard
        total, count = soft_target_loss(student, teacher, targets, temperature, share)
        close(total, wanted, largest=1)
        assert count == 12

    def test_equals_trls(self, given):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from trl.experimental.gkd import GKDTrainer
        student, teacher, targets = given
        theirs = GKDTrainer.generalized_jsd_loss(
            student, teacher, targets, beta=0, temperature=3.0, reduction="sum"
        )
        close(soft_target_loss(student, teacher, targets, 3.0, 1.0).total, 9 * theirs, largest=1)

    def test_a_student_that_says_the_same_pays_nothing_for_it(self, given):
        _, teacher, targets = given
        total, _ = soft_target_loss(teacher + 5, teacher, targets, 2.0, 1.0)  # a shift is no change
        close(total, torch.zeros_like(total))

    def test_share_zero_is_the_cross_entropy(self, given):
        student, teacher, targets = given
        close(
            soft_target_loss(student, teacher, targets, 7.0, 0.0).total,
            token_loss(student, targets).total,
            largest=1,
        )

    def test_temperature_squared_keeps_the_size_of_the_gradient(self, given):
        """For small logits of mean 0 it tends to (student - teacher) / V, whatever τ."""
        student, teacher, targets = (each.clone() for each in given)
        targets[targets == IGNORE] = 0
        student, teacher = (each - each.mean(-1, keepdim=True) for each in (student, teacher))
        student.requires_grad_()
        for temperature in (300.0, 3000.0):
            total, _ = soft_target_loss(student, teacher, targets, temperature, 1.0)
            (gradient,) = torch.autograd.grad(total, student)
            close(gradient, (student.detach() - teacher) / 7, atol=10 / temperature, largest=0.5)

    def test_the_teacher_gets_no_gradient(self, given):
        student, teacher, targets = given
        student.requires_grad_(), teacher.requires_grad_()
        soft_target_loss(student, teacher, targets).total.backward()
        assert teacher.grad is None
        assert (student.grad[targets == IGNORE] == 0).all()
        assert (student.grad[targets != IGNORE] != 0).any()

    def test_half_precision_is_summed_in_float32(self, given):
        student, teacher, targets = given
        total, _ = soft_target_loss(student.bfloat16(), teacher.bfloat16(), targets)
        assert total.dtype == torch.float32

    def test_nothing_scored(self, given):
        student, teacher, targets = given
        total, count = soft_target_loss(student, teacher, torch.full_like(targets, IGNORE))
        assert total == 0
        assert count == 0

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"temperature": 0.0}, "temperature=0.0 must be above 0: try 2"),
            ({"share": 1.5}, "share=1.5 must lie between 0 and 1: try 0.5"),
        ],
    )
    def test_complains(self, given, change, message):
        with pytest.raises(UserError, match=f"^{message}$"):
            soft_target_loss(*given, **change)

    def test_complains_about_another_vocabulary(self, given):
        student, teacher, targets = given
        with pytest.raises(UserError, match="the student scores 7 tokens and the teacher 6"):
            soft_target_loss(student, teacher[..., :6], targets)


class TestHiddenStates:
    @pytest.fixture
    def states(self):
        generator = torch.Generator().manual_seed(0)
        student = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
        projection = torch.randn(4, 6, dtype=torch.float64, generator=generator)
        teacher = torch.randn(2, 3, 6, dtype=torch.float64, generator=generator)
        return student, teacher, projection, torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()

    def test_equals_the_mean_squared_error_of_each_state(self, states):
        student, teacher, projection, _mask = states
        total, count = hidden_state_loss(*states)
        places = [(0, 0), (0, 1), (1, 0)]
        wanted = sum(F.mse_loss(student[at] @ projection, teacher[at]) for at in places)
        close(total, wanted, largest=1)
        assert count == 3

    def test_a_student_from_which_the_teacher_can_be_read_pays_nothing(self, states):
        student, _, projection, mask = states
        total, _ = hidden_state_loss(student, student @ projection, projection, mask)
        close(total, torch.zeros_like(total))

    def test_student_and_projection_learn_the_teacher_does_not(self, states):
        student, teacher, projection, mask = states
        for each in (student, teacher, projection):
            each.requires_grad_()
        hidden_state_loss(student, teacher, projection, mask).total.backward()
        assert teacher.grad is None
        assert (projection.grad != 0).all()
        assert (student.grad[~mask] == 0).all()
        assert (student.grad[mask] != 0).all()

    def test_complains_about_a_projection_that_leads_elsewhere(self, states):
        student, teacher, projection, mask = states
        with pytest.raises(UserError, match=r"shape \[6, 4\].*width 4 to the teacher's 6"):
            hidden_state_loss(student, teacher, projection.T, mask)
