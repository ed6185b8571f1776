import pytest
import sentencepiece

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.sentencepiece import SentencePieceTokenizer

TEXT = (
    "She sells sea shells by the sea shore, and the shells that she sells are sea shells.\n"
    "A quick brown fox sees her there, and jumps over seven lazy dogs to buy a shell or two.\n"
) * 3


@pytest.fixture(scope="module")
def tokenizer():
    return SentencePieceTokenizer.train([TEXT], 300)


def test_the_librarys_own_decoding_agrees(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.model")
    library = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    for text in (TEXT, "  Two  blanks, 嗨 and \0.\n\n", f"{END_OF_TEXT}<unk>"):
        assert tokenizer.encode(text) == library.encode(text)
        assert library.decode(tokenizer.encode(text)) == text


def test_the_librarys_mark_for_a_blank_is_not_a_blank(tokenizer):
    assert tokenizer.encode("▁") != tokenizer.encode(" ")
    assert tokenizer.decode(tokenizer.encode("a▁b c")) == "a▁b c"


def test_words_seen_often_become_pieces(tokenizer):
    assert len(tokenizer.encode(" shells")) < 4


def test_indentation_is_a_piece():
    code = "".join(f"    def {word}(self):\n        return self\n" for word in TEXT.split())
    tokenizer = SentencePieceTokenizer.train([code], 310)
    assert len(tokenizer.encode("        ")) <= 2


def test_the_librarys_bpe_can_be_asked_for():
    tokenizer = SentencePieceTokenizer.train([TEXT], 300, model_type="bpe")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_training_is_silent(capfd):
    SentencePieceTokenizer.train([TEXT, "\0 ▅ " + "long " * 2000], 300)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_a_line_beyond_the_librarys_limit_is_learned_from():
    line = (TEXT * 30).replace("\n", " ")
    assert len(line) > 4192
    tokenizer = SentencePieceTokenizer.train([line], 300)
    assert len(tokenizer.encode(" shells")) < 4


def test_a_vocabulary_that_is_too_large_names_the_largest():
    with pytest.raises(UserError, match=r"vocab_size=5000 is more than .* at most \d+") as caught:
        SentencePieceTokenizer.train([TEXT], 5000)
    largest = int(str(caught.value).split()[-1])
    assert SentencePieceTokenizer.train([TEXT], largest).vocab_size == largest


def test_a_vocabulary_that_is_too_small_names_the_smallest():
    with pytest.raises(UserError, match=r"vocab_size=200 is too small .* at least \d+") as caught:
        SentencePieceTokenizer.train([TEXT], 200)
    smallest = int(str(caught.value).split()[-1])
    with pytest.raises(UserError, match="too small"):
        SentencePieceTokenizer.train([TEXT], smallest - 1)
    assert SentencePieceTokenizer.train([TEXT], smallest).vocab_size == smallest


@pytest.mark.parametrize("texts", [[], [""], ["\n\n"]])
def test_nothing_to_train_on_is_said(texts):
    with pytest.raises(UserError, match="there is no text to train a tokenizer on"):
        SentencePieceTokenizer.train(texts, 300)


def test_an_error_in_the_texts_passes_through():
    def texts():
        yield TEXT
        raise UserError("the third file is damaged")

    with pytest.raises(UserError, match=r"^the third file is damaged$"):
        SentencePieceTokenizer.train(texts(), 300)


@pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 100])
def test_a_damaged_model_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.model: this is .* SentencePiece model"):
        SentencePieceTokenizer.load(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"byte_fallback": True},  # no END_OF_TEXT
        {"byte_fallback": True, "control_symbols": [END_OF_TEXT]},  # normalises, adds a blank
        {"control_symbols": [END_OF_TEXT], "vocab_size": 40},  # no bytes
    ],
)
def test_a_model_that_would_change_text_is_refused(tmp_path, settings):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT]),
        model_prefix=str(tmp_path / "foreign"),
        **{"vocab_size": 300, "minloglevel": 2, **settings},
    )
    with pytest.raises(UserError, match="train one with"):
        SentencePieceTokenizer.load(tmp_path / "foreign.model")
