from dataclasses import replace
from functools import partial

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.finetune import stages
from llmcourse.finetune.heads import HeadOutput
from llmcourse.finetune.methods import fingerprint, layer_groups
from llmcourse.finetune.stages import Labelled, Stage, Unlabelled, deepened, run, run_stage
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.objectives.clm import CausalLM
from llmcourse.randomness import numpy_rng

SIZES = {"vocab_size": 12, "context_length": 8, "d_model": 8, "n_layers": 2, "n_heads": 2}
# The label is whether the text ends in a token below 6.
ROWS = [[n % 11 + 1, n % 7 + 1, n % 5 + 3] for n in range(24)]
TASK = Labelled(ROWS, [int(row[-1] < 6) for row in ROWS], 2)
STAGE = Stage(name="target", task=TASK, steps=4, batch_size=8)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return GPT(modern_recipe(**SIZES))


def weights(model):
    return fingerprint(dict(model.named_parameters()))


def test_what_is_passed_in_stays_as_it_is_and_the_backbone_is_carried_over(backbone):
    before = weights(backbone)
    first, second = run(backbone, [STAGE, replace(STAGE, name="again")])
    assert weights(backbone) == before != weights(first.backbone)
    assert weights(first.backbone) != weights(second.backbone)
    alone = run_stage(first.backbone, replace(STAGE, name="again"), seed=1000)
    assert weights(alone.backbone) == weights(second.backbone)


def test_a_head_is_new_where_the_labels_are_others(backbone):
    three = Labelled(ROWS, [n % 3 for n in range(24)], 3)
    done = run(backbone, [STAGE, replace(STAGE, task=three)])
    assert [len(stage.model.head.weight) for stage in done] == [2, 3]


def test_a_seed_says_everything(backbone):
    one, two, other = (run(backbone, [STAGE], seed=seed)[0] for seed in (3, 3, 4))
    assert one.losses == two.losses != other.losses
    assert weights(one.model) == weights(two.model)


def test_a_stage_learns(backbone):
    done = run(backbone, [replace(STAGE, steps=60, lr=0.02)])[0]
    assert TASK.n_right(done.model) == 24
    assert done.losses[-1] < 0.1 < 0.5 < done.losses[0]


@pytest.mark.parametrize(
    ("method", "still"), [("frozen", ["embeddings", "block 1", "block 2"]), ("full", [])]
)
def test_what_may_not_move_does_not_by_a_bit(backbone, method, still):
    stage = replace(STAGE, method=method, weight_decay=0.5, lr=0.1)
    model = run(backbone, [stage])[0].model
    begun = TASK.attach(backbone)
    same = [
        now.name
        for now, then in zip(layer_groups(model), layer_groups(begun), strict=True)
        if fingerprint(now.parameters) == fingerprint(then.parameters)
    ]
    assert same == still


def test_layers_thaw_from_the_top(backbone):
    one_step = replace(STAGE, method="gradual", steps=1)
    model = run(backbone, [one_step])[0].model
    assert weights(model.backbone) == weights(backbone)
    assert run(backbone, [replace(one_step, steps=8)])[0].backbone.blocks[1] is not None
    assert weights(run(backbone, [replace(one_step, steps=8)])[0].backbone) != weights(backbone)


def test_rates_fall_towards_the_bottom(backbone):
    optimizer, _ = stages.optimizer_of(TASK.attach(backbone), replace(STAGE, layer_decay=0.5, lr=1))
    assert [group["peak"] for group in optimizer.param_groups] == [0.125, 0.25, 0.5, 1.0]


def distance(model, backbone):
    pairs = zip(model.backbone.parameters(), backbone.parameters(), strict=True)
    return sum(float((a - b).detach().square().sum()) for a, b in pairs)


def test_l2_sp_holds_near_the_start(backbone):
    free, held = (run(backbone, [replace(STAGE, steps=20, l2_sp=a)])[0] for a in (0.0, 10.0))
    assert distance(held.model, backbone) < 0.5 * distance(free.model, backbone)


def test_l2_sp_is_its_formula(backbone):
    model = TASK.attach(backbone)
    start = {n: p.detach() - 0.5 for n, p in backbone.named_parameters()}
    n = sum(p.numel() for p in backbone.parameters())
    assert stages.l2_sp(model, start, 0.1).item() == pytest.approx(0.1 / 2 * n * 0.25, rel=1e-4)
    assert stages.l2_sp(model, start, 0.0).item() == 0


def test_the_best_weights_on_the_validation_split_are_kept(backbone):
    stage = replace(STAGE, steps=60, lr=0.5, every=1, patience=3, validation=TASK)
    done = run(backbone, [stage])[0]
    assert done.kept == min(range(len(done.validation)), key=done.validation.__getitem__)
    assert len(done.losses) == done.kept + 1 + 3 or len(done.losses) == 60
    assert TASK.mean_loss(done.model) == pytest.approx(min(done.validation), abs=1e-6)


def test_text_without_labels_is_a_task_too(backbone):
    stream = torch.arange(4000) % 5
    pretrain = Stage(name="read", task=Unlabelled(CausalLM(), stream, 6), steps=30, lr=0.02)
    read, target = run(backbone, [pretrain, STAGE])
    assert read.losses[-1] < 0.5 * read.losses[0]
    assert read.backbone is read.model
    assert target.kept is None


def test_padding_changes_nothing(backbone):
    alone = TASK.attach(backbone).eval()
    mixed = Labelled([*ROWS[:3], [1] * 8], [0] * 4, 2)
    pairs = zip(mixed.logits(alone), Labelled(ROWS[:3], [0] * 3, 2).logits(alone), strict=False)
    for with_padding, without in pairs:
        torch.testing.assert_close(with_padding, without)


class Listener(torch.nn.Module):
    """Remembers what it is given, and scores everything alike."""

    def forward(self, ids, *, mask):
        self.seen = ids.tolist()
        return HeadOutput(torch.zeros(len(ids), 1), torch.zeros(*ids.shape, 1))


def test_a_batch_has_no_text_twice():
    listener = Listener()
    Labelled(ROWS, [0] * 24, 1).loss(listener, 24, numpy_rng(0))
    assert sorted(listener.seen) == sorted(ROWS)


@pytest.mark.parametrize("recipe", [modern_recipe, gpt2_recipe])
def test_a_deeper_model_begins_with_the_blocks_of_the_shallower(recipe):
    torch.manual_seed(0)
    old = GPT(recipe(**SIZES))
    new = deepened(old, 4)
    assert new.config.n_layers == 4
    for i in range(4):
        assert weights(new.blocks[i]) == weights(old.blocks[i // 2])
    assert torch.equal(new.token_embedding.weight, old.token_embedding.weight)


def test_growing_is_a_stage(backbone):
    grown = run(backbone, [replace(STAGE, first=partial(deepened, n_layers=3))])[0]
    assert grown.backbone.config.n_layers == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda b: Labelled([[1]], [0, 1], 2), "1 texts with 2 labels"),
        (lambda b: Labelled([], [], 2), "0 texts"),
        (lambda b: Labelled([[1], []], [0, 1], 2), "text 1 is empty"),
        (lambda b: Labelled([[1]], [2], 2), "text 0 has the label 2"),
        (lambda b: run(b, []), "no stages"),
        (lambda b: run(b, [replace(STAGE, steps=0)]), "0 steps"),
        (lambda b: run(b, [replace(STAGE, method="frosen")]), "frozen"),
        (lambda b: deepened(b, 1), "n_layers=1"),
    ],
)
def test_what_makes_no_sense_is_refused(backbone, make, says):
    with pytest.raises(UserError, match=says):
        make(backbone)
