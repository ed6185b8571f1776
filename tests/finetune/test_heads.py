import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.finetune.heads import Classifier, Tagger, pool
from llmcourse.models.bert import BERT, modern_bert_recipe
from llmcourse.nn.masks import padding

SIZES = {"vocab_size": 20, "context_length": 16, "d_model": 8, "n_layers": 2, "n_heads": 2}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return BERT(modern_bert_recipe(**SIZES)).eval()


def test_the_mean_is_over_the_text_and_not_over_its_filling():
    hidden = torch.tensor([[[1.0], [3.0], [99.0]], [[2.0], [4.0], [6.0]]])
    mask = padding(torch.tensor([2, 3]), 3)
    assert pool(hidden, mask, "mean").tolist() == [[2.0], [4.0]]
    assert pool(hidden, mask, "first").tolist() == [[1.0], [2.0]]
    assert pool(hidden, mask, "last").tolist() == [[3.0], [6.0]]


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_a_text_is_judged_alike_alone_and_beside_a_longer_one(backbone, pooling):
    model = Classifier(backbone, 3, pooling=pooling).eval()
    short, long = torch.tensor([[5, 6, 7]]), torch.arange(1, 9)[None]
    together = torch.cat([torch.cat([short, torch.zeros(1, 5, dtype=torch.long)], 1), long])
    alone = model(short, mask=padding(torch.tensor([3]), 3)).logits
    beside = model(together, mask=padding(torch.tensor([3, 8]), 8)).logits
    torch.testing.assert_close(beside[:1], alone)
    assert beside.shape == (2, 3)


def test_a_tagger_reads_the_places_of_the_words(backbone):
    model = Tagger(backbone, 4).eval()
    ids, mask = torch.tensor([[1, 2, 3, 4]]), padding(torch.tensor([4]), 4)
    everywhere = model(ids, mask=mask).logits
    at_words = model(ids, mask=mask, words=torch.tensor([[0, 2, -1]])).logits
    assert everywhere.shape == (1, 4, 4)
    assert at_words.shape == (1, 3, 4)
    torch.testing.assert_close(at_words[:, :2], everywhere[:, [0, 2]])


def test_a_new_head_knows_nothing(backbone):
    logits = Classifier(backbone, 50)(torch.tensor([[1, 2]]), mask=padding(torch.tensor([2]), 2))
    assert logits.logits.softmax(-1).max() < 0.03


def test_no_labels_are_refused(backbone):
    with pytest.raises(UserError, match="n_labels=0"):
        Classifier(backbone, 0)
