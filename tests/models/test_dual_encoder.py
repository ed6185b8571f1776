import pytest
import torch
from numerics import close, in_double
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.errors import UserError
from llmcourse.models.bert import BERT, BERTConfig, modern_bert_recipe
from llmcourse.models.dual_encoder import (
    DualEncoder,
    DualEncoderConfig,
    dual_encoder_recipe,
    mean_pool,
)
from llmcourse.models.files import load_model, save_model
from llmcourse.nn import masks
from llmcourse.nn.capture import capture

V, C = 50, 12
SIZES = {"vocab_size": V, "context_length": C, "d_model": 32, "n_layers": 2, "n_heads": 4}
CONFIGS = {
    "recipe": dual_encoder_recipe(**SIZES),
    "projection": dual_encoder_recipe(**SIZES, projection=True),
    "around a bert of 2018": DualEncoderConfig(
        **SIZES, residual="post", positions="learned", bias=True, projection=True
    ),
}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def double(config):
    return in_double(lambda: DualEncoder(config))


@pytest.fixture
def model(config):
    return double(config)


def tokens_of(length, seed):
    return torch.randint(V, (3, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def ids():
    return tokens_of(C, 1)


@pytest.fixture
def others():
    return tokens_of(7, 2)


class TestPooling:
    def test_worked_example(self):
        hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [50.0, 70.0]]])
        assert mean_pool(hidden[:, :2]).tolist() == [[2.0, 4.0]]
        mask = torch.tensor([True, True, False]).reshape(1, 1, 1, 3)
        assert mean_pool(hidden, mask).tolist() == [[2.0, 4.0]]

    def test_of_nothing_it_is_zero(self):
        hidden = torch.ones(1, 3, 2)
        assert mean_pool(hidden, torch.zeros(1, 1, 1, 3, dtype=torch.bool)).tolist() == [[0, 0]]


class TestForward:
    def test_vectors_are_means_of_what_a_bert_makes(self, model, ids, others):
        """Row by row, with the BERT's own forward pass."""
        output = model(ids, others=others)
        for row in range(3):
            for texts, vectors in ((ids, output.anchors), (others, output.others)):
                hidden = model.encoder(texts[row : row + 1]).hidden[0]
                close(vectors[row], model.projection(sum(hidden) / len(hidden)))
        first = model.encoder(ids)
        close(output.logits, first.logits)
        close(output.hidden, first.hidden)

    def test_shapes(self, model, ids, others):
        output = model(ids, others=others)
        assert output.logits.shape == (3, C, V)
        assert output.hidden.shape == (3, C, 32)
        assert output.anchors.shape == output.others.shape == (3, 32)

    def test_the_two_texts_do_not_see_each_other(self, model, ids, others):
        output = model(ids, others=others)
        changed = model(ids, others=(others + 1) % V)
        assert torch.equal(output.anchors, changed.anchors)
        assert not torch.isclose(output.others, changed.others).all(-1).any()
        close(model.embed(others), output.others)
        close(model(others, others=ids).others, output.anchors)

    def test_padding_is_invisible(self, model, ids, others):
        lengths, short = torch.tensor([5, C, 9]), torch.tensor([7, 3, 1])
        reading = {"mask": masks.padding(lengths, C), "others_mask": masks.padding(short, 7)}
        output = model(ids, others=others, **reading)
        for row in range(3):
            alone = model(
                ids[row : row + 1, : lengths[row]], others=others[row : row + 1, : short[row]]
            )
            close(output.anchors[row], alone.anchors[0])
            close(output.others[row], alone.others[0])
        ids[0, 5:] = (ids[0, 5:] + 1) % V
        assert torch.equal(model(ids, others=others, **reading).anchors, output.anchors)
        ids[0, 4] = (ids[0, 4] + 1) % V
        assert not torch.isclose(model(ids, others=others, **reading).anchors, output.anchors).all()

    def test_without_others_evaluation_reads_the_same_twice(self, model, ids):
        mask = masks.padding(torch.tensor([5, C, 9]), C)
        output = model(ids, mask=mask)
        close(output.others, output.anchors)

    def test_without_others_training_makes_two_views(self, ids):
        model = double(CONFIGS["recipe"]).train()
        output = model(ids)
        assert not torch.isclose(output.others, output.anchors).all(-1).any()

    def test_views_that_cannot_differ(self, ids, others):
        model = DualEncoder(dual_encoder_recipe(**SIZES, dropout=0.0))
        with pytest.raises(UserError, match="without dropout both views of a text are the same"):
            model(ids)
        assert model(ids, others=others).anchors.isfinite().all()
        assert model.eval()(ids).anchors.isfinite().all()

    def test_too_long(self, model, ids):
        with pytest.raises(UserError, match="13 tokens do not fit into the context_length of 12"):
            model(ids, others=tokens_of(C + 1, 3))


class TestTraining:
    def test_everything_but_the_berts_heads_learns(self, model, ids, others):
        output = model(ids, others=others)
        (output.anchors * output.others).sum().backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        heads = ("k_proj.bias", "encoder.lm_head", "encoder.mlm_transform", "encoder.pooler")
        heads += ("encoder.segment_embedding",)  # of which one row is used
        assert all(any(part in name for part in heads) for name in still), still

    def test_a_trained_bert_moves_in(self, ids):
        bert = in_double(lambda: BERT(modern_bert_recipe(**SIZES)))
        with torch.no_grad():
            bert.token_embedding.weight.mul_(torch.linspace(0.5, 2, 32))
        model = double(CONFIGS["recipe"])
        assert not torch.isclose(model(ids).hidden, bert(ids).hidden).all()
        model.encoder.load_state_dict(bert.state_dict())
        close(model(ids).hidden, bert(ids).hidden)
        close(model(ids).logits, bert(ids).logits)

    def test_seeded(self, config):
        torch.manual_seed(7)
        first = DualEncoder(config).state_dict()
        torch.manual_seed(7)
        second = DualEncoder(config).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_a_projection_begins_by_keeping_the_size(self, ids):
        torch.manual_seed(0)
        model = DualEncoder(dual_encoder_recipe(**SIZES, projection=True)).eval()
        vectors = torch.randn(1000, 32)
        assert model.projection(vectors).std().item() == pytest.approx(1, abs=0.1)


class TestSizes:
    def test_parameters_are_counted_by_formula(self, config):
        model = DualEncoder(config)
        assert config.n_parameters == sum(p.numel() for p in model.parameters())
        assert model.n_parameters == config.n_parameters

    def test_operations_are_counted_by_formula(self, config):
        """Of a forward pass over two texts of `context_length`; training takes three times that."""
        model = DualEncoder(config).eval()
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(torch.zeros(1, C).long())
        assert model.flops_per_token == 3 * counter.get_total_flops() / C
        assert model.flops_per_token == config.flops_per_token


def test_its_encoder_is_a_bert_that_can_be_saved(tmp_path):
    model = DualEncoder(dual_encoder_recipe(**SIZES, projection=True)).eval()
    save_model(model.encoder, tmp_path)
    ids = torch.arange(C)[None]
    assert torch.equal(load_model(tmp_path)(ids).hidden, model(ids).hidden)


class TestRecipes:
    def test_it_is_the_modern_bert_with_dropout(self):
        ours = dual_encoder_recipe(**SIZES)
        bert = modern_bert_recipe(**SIZES, dropout=0.1)
        assert all(getattr(ours, name) == value for name, value in vars(bert).items())
        assert isinstance(ours, BERTConfig)
        assert isinstance(DualEncoder(ours).projection, nn.Identity)

    def test_bad_configs(self):
        with pytest.raises(UserError, match="n_heads=5 does not divide d_model=32"):
            dual_encoder_recipe(**{**SIZES, "n_heads": 5})
