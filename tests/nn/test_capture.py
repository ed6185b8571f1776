import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, gpt2_recipe
from llmcourse.nn.capture import capture, is_watched


@pytest.fixture
def model():
    sizes = {"vocab_size": 20, "context_length": 8, "d_model": 16, "n_layers": 3, "n_heads": 2}
    return GPT(gpt2_recipe(**sizes))


@pytest.fixture
def ids():
    return torch.randint(20, (2, 5))


def watched(model):
    return [name for name, module in model.named_modules() if is_watched(module)]


def test_every_match_by_name_and_shape(model, ids):
    with capture(model, "blocks.*.attention.weights") as seen:
        output = model(ids)
    assert list(seen) == [f"blocks.{layer}.attention.weights" for layer in range(3)]
    assert all(weights.shape == (2, 2, 5, 5) for weights in seen.values())
    assert all(torch.allclose(w.sum(-1), torch.ones(2, 2, 5)) for w in seen.values())
    torch.testing.assert_close(output.logits, model(ids).logits, rtol=0, atol=1e-5)


def test_what_is_seen_is_what_flowed(model, ids):
    with capture(model, "blocks.2.hidden") as seen:
        output = model(ids)
    assert torch.equal(model.norm(seen["blocks.2.hidden"]), output.hidden)


def test_detached_unless_asked(model, ids):
    with capture(model, "blocks.0.hidden") as seen:
        model(ids)
    assert not seen["blocks.0.hidden"].requires_grad
    with capture(model, "blocks.0.hidden", detach=False) as seen:
        logits = model(ids).logits
    (gradient,) = torch.autograd.grad(logits.sum(), seen["blocks.0.hidden"])
    assert gradient.abs().sum() > 0


def test_hooks_are_gone_afterwards(model, ids):
    with capture(model, "blocks.*") as seen:
        assert watched(model)
    assert watched(model) == []
    model(ids)
    assert seen == {}


def test_hooks_are_gone_after_an_error(model):
    with pytest.raises(IndexError), capture(model, "*"):
        model(torch.tensor([[99]]))
    assert watched(model) == []


def test_captures_nest(model, ids):
    with capture(model, "blocks.0.hidden") as outer, capture(model, "blocks.?.hidden") as inner:
        model(ids)
    assert len(outer) == 1
    assert len(inner) == 3


def test_one_of_several(model, ids):
    with capture(model, "blocks.[02].hidden") as seen:
        model(ids)
    assert set(seen) == {"blocks.0.hidden", "blocks.2.hidden"}


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("blocks.0.attn.weights", "; did you mean 'blocks.*.attention.weights'?"),
        ("zzz", "; there are: blocks, blocks.*, blocks.*.attention, blocks.*.attention.k_proj, "),
    ],
)
def test_no_match_says_what_is_near(model, pattern, hint):
    with pytest.raises(UserError) as caught, capture(model, pattern):
        pass
    assert str(caught.value).startswith(f"no module is named {pattern!r}{hint}")


def test_modules_that_return_no_tensor_leave_nothing():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model = nn.Sequential(Pair())
    with capture(model, "0") as seen:
        model(torch.zeros(1))
    assert seen == {}


def test_compiled_models_are_refused(model):
    compiled = torch.compile(model, backend="eager")
    with pytest.raises(UserError, match="_orig_mod"), capture(compiled, "*"):
        pass
