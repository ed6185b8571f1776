import itertools

import pytest
import torch
import torchcrf

from llmcourse.errors import UserError
from llmcourse.nn.crf import LinearChainCRF

B, T, C = 3, 5, 4
LENGTHS = (5, 3, 1)


@pytest.fixture
def crf():
    torch.manual_seed(0)
    made = LinearChainCRF(C).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


@pytest.fixture
def emissions():
    torch.manual_seed(1)
    return torch.randn(B, T, C, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def mask():
    return torch.arange(T) < torch.tensor(LENGTHS)[:, None]


def enumerated(crf, emissions, length):
    """Every tag sequence of one text, with its score added up by hand."""
    found = {}
    for tags in itertools.product(range(C), repeat=length):
        score = crf.start[tags[0]] + crf.end[tags[-1]]
        for place, tag in enumerate(tags):
            score = score + emissions[place, tag]
            if place:
                score = score + crf.transitions[tags[place - 1], tag]
        found[tags] = score
    return found


def test_everything_equals_the_sum_over_all_sequences(crf, emissions, mask):
    partition = crf.log_partition(emissions, mask)
    marginals = crf.marginals(emissions, mask)
    best = crf.best(emissions, mask)
    for row, length in enumerate(LENGTHS):
        scores = enumerated(crf, emissions[row], length)
        total = torch.logsumexp(torch.stack(list(scores.values())), 0)
        torch.testing.assert_close(partition[row], total)
        assert best[row] == list(max(scores, key=lambda tags: scores[tags].item()))
        for place, tag in itertools.product(range(length), range(C)):
            chosen = torch.stack([s for tags, s in scores.items() if tags[place] == tag])
            expected = (torch.logsumexp(chosen, 0) - total).exp()
            torch.testing.assert_close(marginals[row, place, tag], expected)
        assert not marginals[row, length:].any()


def test_the_same_as_pytorch_crf(crf, emissions, mask):
    other = torchcrf.CRF(C, batch_first=True).double()
    with torch.no_grad():
        other.start_transitions.copy_(crf.start)
        other.end_transitions.copy_(crf.end)
        other.transitions.copy_(crf.transitions)
    tags = torch.randint(C, (B, T))
    theirs = other(emissions, tags, mask, reduction="none")
    torch.testing.assert_close(crf.log_likelihood(emissions, tags, mask), theirs)
    assert crf.best(emissions, mask) == other.decode(emissions, mask)


def test_the_gradient_of_log_z_is_the_marginals(crf, emissions, mask):
    (gradient,) = torch.autograd.grad(crf.log_partition(emissions, mask).sum(), emissions)
    torch.testing.assert_close(gradient, crf.marginals(emissions, mask))


def test_the_gradient_of_the_loss_is_what_is_expected_less_what_was_seen(crf, emissions, mask):
    tags = torch.randint(C, (B, T))
    loss = -crf.log_likelihood(emissions, tags, mask).sum()
    (gradient,) = torch.autograd.grad(loss, emissions)
    seen = torch.nn.functional.one_hot(tags, C).double() * mask[..., None]
    torch.testing.assert_close(gradient, crf.marginals(emissions, mask) - seen)


def test_the_probabilities_of_all_sequences_sum_to_one(crf, emissions):
    tags = torch.tensor(list(itertools.product(range(C), repeat=3)))
    same = emissions[:1, :3].expand(len(tags), -1, -1)
    torch.testing.assert_close(
        crf.log_likelihood(same, tags).exp().sum(), torch.tensor(1.0, dtype=torch.float64)
    )


def test_without_transitions_it_is_a_softmax_at_each_place(emissions, mask):
    crf = LinearChainCRF(C).double()
    alone = emissions.softmax(-1) * mask[..., None]
    torch.testing.assert_close(crf.marginals(emissions, mask), alone)


def test_what_fills_up_a_text_changes_nothing(crf, emissions, mask):
    other = emissions.detach().clone()
    other[~mask] = 100.0
    tags = torch.randint(C, (B, T))
    wrong = tags.masked_fill(~mask, -100)
    for name, rest in (("log_partition", ()), ("marginals", ())):
        torch.testing.assert_close(
            getattr(crf, name)(emissions, *rest, mask), getattr(crf, name)(other, *rest, mask)
        )
    torch.testing.assert_close(crf.score(emissions, tags, mask), crf.score(other, wrong, mask))
    assert crf.best(emissions, mask) == crf.best(other, mask)


def test_long_texts_and_large_scores_stay_finite(crf):
    emissions = 300 * torch.randn(1, 400, C, dtype=torch.float64)
    assert crf.log_partition(emissions).isfinite().all()
    assert crf.log_likelihood(emissions, torch.tensor(crf.best(emissions))).item() <= 0


def test_forbidden_pairs_never_come(emissions):
    forbidden = {(0, 1), (None, 2), (3, None)}
    crf = LinearChainCRF(C, forbidden).double()
    for tags in crf.best(torch.randn(200, T, C, dtype=torch.float64)):
        assert (0, 1) not in set(itertools.pairwise(tags))
        assert tags[0] != 2
        assert tags[-1] != 3
    assert crf.marginals(emissions)[:, 0, 2].max() < 1e-12
    likelihood = crf.log_likelihood(emissions, torch.tensor([[0, 1, 0, 0, 0]] * B))
    assert (likelihood < -1000).all()


def test_it_learns_that_two_tags_alternate():
    torch.manual_seed(0)
    crf, nothing = LinearChainCRF(2), torch.zeros(1, 8, 2)
    tags = torch.tensor([[0, 1] * 4])
    optimizer = torch.optim.Adam(crf.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (-crf.log_likelihood(nothing, tags).sum()).backward()
        optimizer.step()
    assert crf.best(nothing) == tags.tolist()
    assert crf.log_likelihood(nothing, tags).exp() > 0.9


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: LinearChainCRF(0), "n_tags=0 must be at least 1"),
        (lambda: LinearChainCRF(2, [(0, 2)]), "forbidden pair"),
        (lambda: LinearChainCRF(2).log_partition(torch.zeros(1, 0, 2)), "at least one token"),
        (
            lambda: LinearChainCRF(2).best(torch.zeros(1, 2, 2), torch.tensor([[False, True]])),
            "mask is true from a text's first token",
        ),
    ],
)
def test_bad_input_is_one_line(made, said):
    with pytest.raises(UserError, match=said):
        made()
