import pytest
import torch
from denoised import rng
from small_text import guessing, learn, score, story_rows

from llmcourse.models.encoder_decoder import EncoderDecoder, modern_encoder_decoder_recipe
from llmcourse.objectives.span_corruption import SpanCorruption
from llmcourse.objectives.text_infilling import TextInfilling


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spans", "infilling"])
def test_a_small_model_beats_guessing(kind):
    vocabulary, rows = story_rows(1600)
    spans = SpanCorruption(vocabulary, 24)
    objective = spans if kind == "spans" else TextInfilling(vocabulary)
    length = objective.window(24)
    torch.manual_seed(0)
    sizes = {"context_length": 24, "d_model": 48, "n_layers": 2, "n_heads": 4}
    n_tokens = vocabulary.size + len(objective.special_tokens)
    model = EncoderDecoder(modern_encoder_decoder_recipe(vocab_size=n_tokens, **sizes))
    learn(model, objective, rows[:, :length], steps=80)
    held_out = story_rows(64, seed=2)[1][:, :length]
    with torch.no_grad():
        loss = score(model, objective, held_out, rng())
    # A quarter of a target of spans is sentinels, which cost nothing once they are known.
    baseline = guessing(held_out) * (0.75 if kind == "spans" else 1.0)
    assert loss.total / loss.count < 0.6 * baseline
