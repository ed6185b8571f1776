"""The two halves of a run that hang on its objective: the task, and what is trained."""

import numpy as np
import pytest
import torch
from small_runs import run, small

from llmcourse.errors import UserError
from llmcourse.models.dual_encoder import DualEncoder
from llmcourse.objectives.clm import CausalLM
from llmcourse.objectives.sentence_pair import SentencePairs
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.train.assemble import build_model, build_objective

TOKENIZER = ByteTokenizer()


def built(tmp_path, **changes):
    settings = small(tmp_path, **changes)
    objective = build_objective(settings, TOKENIZER)
    return objective, build_model(settings, TOKENIZER.vocab_size + len(objective.special_tokens))


@pytest.mark.parametrize(
    ("objective", "rate"), [("mlm", 0.15), ("span-corruption", 0.15), ("denoising", 0.3)]
)
def test_each_task_hides_its_usual_share_unless_told(objective, rate, tmp_path):
    assert built(tmp_path, objective__name=objective)[0].mask_rate == rate
    assert built(tmp_path, objective__name=objective, objective__mask_rate=0.4)[0].mask_rate == 0.4


def test_settings_reach_the_task(tmp_path):
    task = {"objective__unit": "span", "objective__mean_span": 5.0}
    masking = built(tmp_path, objective__name="mlm-sop", **task)[0].masking
    assert (masking.unit, masking.mean_span) == ("span", 5.0)
    assert (
        built(tmp_path, objective__name="plm", objective__predict_one_in=3)[0].predict_one_in == 3
    )
    contrast = built(tmp_path, objective__name="contrastive", objective__temperature=0.2)[0]
    assert (contrast.temperature, contrast.views) == (0.2, "crop")


@pytest.mark.parametrize("kind", ["nsp", "sop"])
def test_pairs_come_with_and_without_hidden_words(kind, tmp_path):
    alone, _ = built(tmp_path, objective__name=kind)
    beside, _ = built(tmp_path, objective__name=f"mlm-{kind}")
    assert isinstance(alone, SentencePairs)
    assert (alone.kind, alone.masking) == (kind, None)
    assert beside.kind == kind
    assert beside.masking is not None


def test_documents_are_kept_apart_where_that_is_asked(tmp_path):
    assert built(tmp_path)[0].separator is None
    apart, _ = built(tmp_path, data__separate_documents=True)
    assert isinstance(apart, CausalLM)
    assert apart.separator == TOKENIZER.eot_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__n_heads": 8}, r"model\.n_heads=8 does nothing with model\.family=rnn_lm"),
        ({"data__separate_documents": True}, r"needs a mask, and model\.family=rnn_lm takes none"),
    ],
)
def test_what_a_family_has_no_use_for_is_refused_before_text_is_read(changes, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        run(tmp_path / "run", model__family="rnn_lm", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", ["nsp", "sop", "contrastive"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_the_task_never_asks_is_not_trained(objective, tied, tmp_path):
    """Exactly the parameters that a step moves require gradients."""
    # Blocks that begin as the identity pass no gradient on in the first step.
    model_settings = {"model__tie_embeddings": tied, "model__zero_init_outputs": False}
    task, model = built(tmp_path, objective__name=objective, **model_settings)
    tokens = torch.randint(256, (4, task.window(32)), generator=torch.Generator().manual_seed(0))
    batch = task.prepare(tokens, np.random.default_rng(0))
    task.loss(model(ids=batch.ids, **batch.extras), batch).total.backward()
    reader = model.encoder if isinstance(model, DualEncoder) else model
    trained = {name for name, p in reader.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in reader.named_parameters() if p.grad is not None}
    assert "token_embedding.weight" in trained
    assert "mlm_transform.proj.weight" not in trained
