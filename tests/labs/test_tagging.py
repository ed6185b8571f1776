import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.evaluate.features import CountReader
from llmcourse.evaluate.spans import spans_of
from llmcourse.labs.tagging import (
    PathScores,
    TaggedSentence,
    accuracy,
    fit_tagger,
    most_frequent_tags,
    standardised,
    tinytown_sentences,
    word_vectors,
)
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer


def sentence(words, tags):
    starts = [sum(len(word) + 1 for word in words[:at]) for at in range(len(words))]
    places = tuple((start, start + len(word)) for start, word in zip(starts, words, strict=True))
    return TaggedSentence(" ".join(words), places, tuple(tags))


def test_sentences_have_the_words_and_entities_of_their_stories():
    (story,) = tinytown.stories(1, seed=4)
    labelled = list(tinytown_sentences(1, seed=4))
    assert [s.text for s in labelled] == [s.text for s in story.sentences]
    for ours, theirs in zip(labelled, story.sentences, strict=True):
        assert ours.words == [token.text for token in theirs.tokens]
        found = {(span.label, span.start, span.end) for span in spans_of(ours.tags)}
        assert found == {(e.kind, e.start, e.end) for e in theirs.entities}
    tags = [token.tag for s in story.sentences for token in s.tokens]
    assert [tag for s in tinytown_sentences(1, seed=4, pos=True) for tag in s.tags] == tags


def test_a_words_vector_is_the_mean_over_its_pieces():
    vectors = word_vectors(CountReader(256), ByteTokenizer(), [sentence(["ab", "a"], "OO")])
    (rows,) = vectors
    assert rows.shape == (2, 256)
    assert rows[0, [ord("a"), ord("b")]].tolist() == [0.5, 0.5]
    assert rows[1, ord("a")] == 1


def test_standardising_uses_the_first_part_alone():
    train = [torch.tensor([[0.0, 5.0], [2.0, 5.0]]), torch.tensor([[4.0, 5.0]])]
    ours, theirs = standardised(train, [torch.tensor([[4.0, 6.0]])])
    together = torch.cat(ours)
    torch.testing.assert_close(together[:, 0].mean(), torch.tensor(0.0))
    torch.testing.assert_close(together[:, 0].std(), torch.tensor(1.0))
    assert theirs[0].tolist() == [[1.0, pytest.approx(1000.0, rel=1e-3)]]  # it never changed


def toy(n=8):
    """Words 0, 1 and 2, where the second 2 in a row is tagged otherwise: a neighbour decides."""
    rows = [torch.eye(3)[[0, 2, 2, 1]], torch.eye(3)[[2, 2, 0]]] * n
    return rows, [["x", "b", "i", "y"], ["b", "i", "x"]] * n


def test_a_crf_learns_what_the_word_alone_cannot_tell():
    rows, tags = toy()
    alone = fit_tagger(rows, tags).predict(rows)
    together = fit_tagger(rows, tags, crf=True).predict(rows)
    assert accuracy(tags, together) == 1
    assert accuracy(tags, alone) < 0.8


def test_the_fit_is_where_the_gradient_vanishes():
    rows, tags = toy(1)
    tagger = fit_tagger(rows, tags, crf=True, decay=0.1)
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])
    targets = torch.tensor([[tagger.tags.index(t) for t in [*row, "x"][:4]] for row in tags])
    loss = tagger.loss(padded, targets, mask)
    loss = loss + 0.05 * sum(p.square().sum() for p in tagger.parameters())
    loss.backward()
    assert all(p.grad.abs().max() < 1e-3 for p in tagger.parameters())


def test_a_scheme_forbids_what_it_does_not_allow():
    rows = [torch.eye(3)[[0, 1]], torch.eye(3)[[2, 1]], torch.eye(3)[[0, 0]]]
    tags = [["B-X", "I-X"], ["O", "O"], ["B-X", "I-X"]]
    tagger = fit_tagger(rows, tags, crf=True, scheme="IOB2")
    tagger.head.bias.data[tagger.tags.index("I-X")] = 50.0
    assert tagger.predict([torch.zeros(1, 3)])[0] != ["I-X"]


def test_scores_of_paths_make_a_crf_and_minus_infinity_forbids():
    scores = PathScores(torch.tensor([0.0, -torch.inf]), torch.tensor([[1.0, 2], [3, 4]]),
                        torch.tensor([0.0, 0.5]))  # fmt: skip
    crf = scores.crf()
    assert crf.best(torch.tensor([[[0.0, 9.0]]])) == [[0]]
    assert torch.equal(crf.transitions, scores.transitions)
    assert crf.score(torch.zeros(1, 2, 2), torch.tensor([[0, 1]])).item() == 2.5


def test_the_most_frequent_tag_of_a_word_and_of_all():
    found = most_frequent_tags([sentence(["to", "go", "to"], "PVA"), sentence(["to"], "P")])
    assert found == {"": "P", "to": "P", "go": "V"}
    assert accuracy(["PV", "A"], ["PA", "A"]) == pytest.approx(2 / 3)


def test_bad_input_is_told_in_a_line():
    with pytest.raises(UserError, match="at least one sentence"):
        fit_tagger([], [])
    with pytest.raises(UserError, match="sentence 1 has 2 words and 1 tags"):
        fit_tagger([torch.zeros(1, 2), torch.zeros(2, 2)], [["O"], ["O"]])
