from llmcourse.labs.segmentation import SAMPLE, TEST, CharacterFeatures, longest_match


def test_the_longest_known_word_is_taken_from_the_left():
    words = ["研究", "研究生", "生命"]
    assert longest_match("研究生命", words) == ["研究生", "命"]
    assert longest_match("", words) == []
    assert longest_match("生命", []) == ["生", "命"]


def test_a_character_has_itself_its_neighbours_and_both_pairs():
    features = CharacterFeatures(["ab"])
    rows = features("ab")
    assert rows.shape == (2, len(features.names))
    assert {features.names[n] for n in rows[0].nonzero().flatten()} == {
        "0a",
        "-^",
        "+b",
        "<^a",
        ">ab",
    }
    assert features("xy")[1].sum() == 1  # nothing of it was seen but the end


def test_no_sentence_is_in_both_parts():
    assert not {"".join(words) for words in SAMPLE} & {"".join(words) for words in TEST}
