import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.viz.sampling import Knobs, next_token_bars, sampling_playground

LOGITS = torch.tensor([0.2, 0.5, 0.3]).log()
NAMES = ["b", "a", "c"]


def test_the_defaults_change_nothing():
    assert torch.equal(Knobs()(LOGITS), LOGITS)


@pytest.mark.parametrize(
    ("knobs", "kept"),
    [
        ({"top_k": 2}, [1, 2]),
        ({"top_p": 0.4}, [1]),
        ({"min_p": 0.5}, [1, 2]),
        ({"temperature": 3.0, "top_p": 0.45}, [1, 2]),
    ],
)
def test_each_knob_rules_tokens_out(knobs, kept):
    found = Knobs(**knobs)(LOGITS)
    assert (found > -torch.inf).nonzero().flatten().tolist() == kept


def test_bars_show_both_distributions_and_the_title_counts():
    ax = next_token_bars(LOGITS, NAMES, Knobs(top_k=2))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "c", "b"]
    own, drawn = ([bar.get_width() for bar in box] for box in ax.containers)
    assert own == pytest.approx([0.5, 0.3, 0.2])
    assert drawn == pytest.approx([0.625, 0.375, 0.0])
    assert ax.get_title(loc="left") == "2 of 3 tokens are possible"
    alone = next_token_bars(LOGITS, NAMES, Knobs(top_k=1))
    assert alone.get_title(loc="left") == "1 of 3 tokens is possible"


def test_complains():
    with pytest.raises(UserError, match="2 names for 3 logits"):
        next_token_bars(LOGITS, NAMES[:2], Knobs())
    with pytest.raises(UserError, match=r"top_p=2.0 must be above 0"):
        next_token_bars(LOGITS, NAMES, Knobs(top_p=2.0))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"vocab_size": 257, "context_length": 16, "d_model": 16, "n_layers": 1, "n_heads": 2}
    return GPT(modern_recipe(**sizes)).eval()


def test_the_playground_answers_to_every_knob(model):
    explorer = sampling_playground(model, ByteTokenizer(), "a cat")
    title = lambda: explorer._draw(**explorer.values).axes[0].get_title(loc="left")  # noqa: E731
    assert title() == "257 of 257 tokens are possible"
    for name, value in {"top_k": 5, "temperature": 0.4, "min_p": 1.0}.items():
        before = bytes(explorer.picture.value)
        explorer.controls[name].value = value
        assert explorer.message.value == ""
        assert bytes(explorer.picture.value) != before
    assert title() == "1 of 257 tokens is possible"


@pytest.mark.parametrize("prompt", ["", "x" * 40, "$\\alpha", "ünï"])
def test_any_text_may_be_typed(model, prompt):
    explorer = sampling_playground(model, ByteTokenizer(), "a")
    explorer.controls["prompt"].value = prompt
    assert explorer.message.value == ""


def test_the_texts_begin_with_the_prompt_and_are_the_same_again(model):
    def texts():
        explorer = sampling_playground(model, ByteTokenizer(), "a cat", n_texts=2, longest=3)
        return explorer._draw(**explorer.values).axes[1].texts[0].get_text()

    assert texts() == texts()
    assert texts().count("a cat") == 2
