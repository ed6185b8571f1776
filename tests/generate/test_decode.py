import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import apply_temperature, greedy, sample, top_k
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe

CONTEXT, VOCAB = 8, 13
SIZES = {
    "vocab_size": VOCAB,
    "context_length": CONTEXT,
    "d_model": 16,
    "n_layers": 2,
    "n_heads": 4,
}


@pytest.fixture(params=["gpt2", "modern", "grouped"])
def model(request):
    """In float64, with weights so large that every token matters to the next."""
    config = {
        "gpt2": gpt2_recipe(**SIZES),
        "modern": modern_recipe(**SIZES),
        "grouped": modern_recipe(**SIZES, n_kv_heads=2, mlp="swiglu", qk_norm=False),
    }[request.param]
    torch.manual_seed(0)
    model = GPT(config).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


@pytest.fixture
def prompt():
    return torch.randint(VOCAB, (3, 4), generator=torch.Generator().manual_seed(1))


def tokens(model, ids, n, **options):
    return torch.stack(list(generate(model, ids, max_new_tokens=n, **options)), dim=1)


class Watch:
    """Takes the likeliest token and remembers the scores."""

    def __init__(self):
        self.scores = []

    def __call__(self, logits):
        self.scores.append(logits)
        return greedy(logits)


@pytest.mark.parametrize("length", [1, 4, CONTEXT - 1, CONTEXT, CONTEXT + 5])
def test_cached_decoding_is_the_naive_one_token_for_token(model, length):
    """Far beyond the context, so that the window slides; the scores agree, not the tokens alone."""
    ids = torch.randint(VOCAB, (3, length), generator=torch.Generator().manual_seed(length))
    cached, naive = Watch(), Watch()
    with_cache = tokens(model, ids, 15, sampler=cached)
    without = tokens(model, ids, 15, sampler=naive, use_cache=False)
    assert torch.equal(with_cache, without)
    torch.testing.assert_close(
        torch.stack(cached.scores), torch.stack(naive.scores), rtol=1e-10, atol=1e-10
    )
    assert len({tuple(column) for column in with_cache.T.tolist()}) > 2


def test_the_naive_way_is_what_the_definition_says(model, prompt):
    ids = prompt
    for token in generate(model, prompt, max_new_tokens=9, sampler=greedy, use_cache=False):
        expected = model(ids[:, -CONTEXT:]).logits[:, -1].argmax(-1)
        assert torch.equal(token, expected)
        ids = torch.cat([ids, token[:, None]], dim=1)


def test_the_cache_reads_only_what_is_new(model, prompt):
    read = []
    hook = model.token_embedding.register_forward_pre_hook(
        lambda module, args: read.append(args[0].size(1))
    )
    tokens(model, prompt, 8, sampler=greedy)
    hook.remove()
    assert read == [4, 1, 1, 1, 1, CONTEXT, CONTEXT, CONTEXT]


def test_only_the_last_is_scored(model, prompt):
    """A vocabulary is large: scores that nobody looks at would cost as much as the whole stack."""
    scored = []
    hook = model.lm_head.register_forward_pre_hook(
        lambda module, args: scored.append(args[0].size(1))
    )
    tokens(model, prompt, 6, sampler=greedy)
    hook.remove()
    assert scored == [1] * 6


def test_a_batch_is_its_rows(model, prompt):
    together = tokens(model, prompt, 7, sampler=greedy)
    for row in range(len(prompt)):
        alone = tokens(model, prompt[row : row + 1], 7, sampler=greedy)
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("use_cache", [True, False])
def test_it_stops_before_the_token_that_ends_the_row(model, prompt, use_cache):
    row = tokens(model, prompt[:1], 12, sampler=greedy)[0].tolist()
    stop = row[5]
    options = {"sampler": greedy, "use_cache": use_cache, "stop_ids": (stop, VOCAB)}
    found = [int(t) for t in generate(model, prompt[:1], max_new_tokens=12, **options)]
    assert found == row[: row.index(stop)]


def test_it_stops_when_the_last_row_has_ended(model, prompt):
    script = iter(torch.tensor([[1, 2, 1], [9, 2, 1], [1, 2, 8], [1, 2, 1], [1, 9, 1], [1, 1, 1]]))
    found = tokens(model, prompt, 6, sampler=lambda logits: next(script), stop_ids=(8, 9))
    assert found.T.tolist() == [[1, 2, 1], [9, 2, 1], [1, 2, 8], [1, 2, 1]]


def test_the_same_seed_writes_the_same_text(model, prompt):
    def draw(seed, **options):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda logits: sample(top_k(apply_temperature(logits, 0.9), 5), generator)  # noqa: E731
        return tokens(model, prompt, 12, sampler=draw, **options)

    assert torch.equal(draw(0), draw(0))
    assert torch.equal(draw(0), draw(0, use_cache=False))
    assert not torch.equal(draw(0), draw(1))


def test_it_is_lazy_leaves_the_prompt_alone_and_keeps_no_gradients(model, prompt):
    before = prompt.clone()
    stream = generate(model, prompt, max_new_tokens=10**9, sampler=greedy)
    token = next(stream)
    assert token.shape == (3,)
    assert torch.equal(prompt, before)
    watch = Watch()
    tokens(model, prompt, 2, sampler=watch)
    assert not any(scores.requires_grad for scores in watch.scores)
    assert list(generate(model, prompt, max_new_tokens=0)) == []


def test_nothing_to_go_on_from_is_refused(model):
    with pytest.raises(UserError, match="nothing to go on from"):
        next(generate(model, torch.zeros(1, 0, dtype=torch.long), max_new_tokens=1))
