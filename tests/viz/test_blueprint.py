"""The plan of a GPT says what is in it."""

from llmcourse.viz.blueprint import gpt_blueprint


def words_of(drawn):
    return [text.get_text() for text in drawn.axes[0].texts]


def test_the_plan_names_every_part_in_order():
    words = [words for words in words_of(gpt_blueprint(3)) if words]
    places = [words.index(part) for part in ("token\nembedding", "attention", "MLP")]
    places += [words.index("final\nnorm"), words.index("head"), words.index("logits\nB T V")]
    assert places == sorted(places)
    assert words.count("norm") == words.count("+") == 2
    assert "block, 3 times" in words


def test_only_a_tied_head_is_said_to_be_tied():
    tied, apart = (" ".join(words_of(gpt_blueprint(1, tied=tied))) for tied in (True, False))
    assert "one matrix" in tied
    assert "one matrix" not in apart
