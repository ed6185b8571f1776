"""SentencePiece models that change text: the library's ids and text, and nothing saved."""

import io

import pytest
import sentencepiece

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT, StreamDecoder
from llmcourse.tokenizers.read_only import ReadOnlySentencePiece
from llmcourse.tokenizers.sentencepiece import SentencePieceTokenizer

TEXTS = ["The cat sat on the mat. The dog sat, too.", "Two  blanks and a ﬁgure.", "no more"] * 9
LIKE_T5 = {"vocab_size": 30, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
LIKE_LLAMA = {"vocab_size": 310, "model_type": "bpe", "byte_fallback": True}


def library_model(**options) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, minloglevel=2, **options
    )
    return model.getvalue()


@pytest.fixture(params=[LIKE_T5, LIKE_LLAMA], ids=["t5", "llama"])
def model(request):
    return library_model(**request.param)


def test_it_is_the_library(model):
    ours = ReadOnlySentencePiece(model)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert ours.vocab_size == theirs.get_piece_size()
    assert ours.eot_id == theirs.eos_id() == ours.special_ids["</s>"]
    for text in (*TEXTS[:3], "  a  b ", "", "</s>"):
        ids = ours.encode(text)
        assert ids == theirs.encode(text)
        known = [index for index in ids if index != theirs.unk_id()]
        assert ours.decode(ids) == ours.decode([*ids, ours.eot_id]) == theirs.decode(known)
    assert ours.decode(ours.encode("  a  b ")) != "  a  b "


def test_its_pieces_are_the_texts_bytes_but_for_the_blank_before_it(model):
    ours = ReadOnlySentencePiece(model)
    ids = ours.encode("The cat sat.")
    assert b"".join(map(ours.token_bytes, ids)) == b" The cat sat."
    stream = StreamDecoder(ours)
    assert "".join(map(stream.push, ids)) + stream.flush() == " The cat sat."
    assert {ours.token_bytes(index) for index in ours.special_ids.values()} == {b""}


def test_special_tokens_are_meant_where_they_are_allowed(model):
    ours = ReadOnlySentencePiece(model)
    assert ours.eot_id not in ours.encode("The cat</s>")
    assert ours.encode("The cat</s>", allowed_special={"</s>"}) == [
        *ours.encode("The cat"),
        ours.eot_id,
    ]


def test_what_ends_a_document_can_be_said(model):
    ours = ReadOnlySentencePiece(model, end="<unk>")
    assert ours.eot_id == ours.special_ids["<unk>"]
    with pytest.raises(UserError, match="no special token '</t>'; did you mean '</s>'"):
        ReadOnlySentencePiece(model, end="</t>")


def test_it_is_read_and_never_written(model, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model)
    with pytest.raises(UserError, match="or only read with it: ReadOnlySentencePiece"):
        SentencePieceTokenizer.load(path)
    ours = ReadOnlySentencePiece.load(path)
    other = tmp_path / "other.model"
    with pytest.raises(UserError, match=r"read only, for it changes text: .*other\.model is not"):
        ours.save(other)
    assert not other.exists()
    with pytest.raises(UserError, match=r"read only: .* cannot be added"):
        ours.with_special_tokens(["<|user|>"])


def test_one_that_is_exact_can_be_read_too():
    exact = SentencePieceTokenizer.train(TEXTS, 285)
    ours = ReadOnlySentencePiece(exact.serialized)
    assert ours.eot_id == exact.eot_id == ours.special_ids[END_OF_TEXT]
    assert ours.encode(TEXTS[0]) == exact.encode(TEXTS[0])


@pytest.mark.parametrize(("data", "message"), [(b"", "an empty"), (b"junk", "no SentencePiece")])
def test_what_is_no_model_is_refused(data, message, tmp_path):
    path = tmp_path / "t.model"
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"t\.model: this is {message}"):
        ReadOnlySentencePiece.load(path)
    path.unlink()
    with pytest.raises(UserError, match="there is no tokenizer at"):
        ReadOnlySentencePiece.load(path)


@pytest.mark.parametrize("index", [-1, 10_000])
def test_an_id_that_is_not_there_is_refused(model, index):
    ours = ReadOnlySentencePiece(model)
    for use in (ours.token_bytes, lambda index: ours.decode([index])):
        with pytest.raises(UserError, match=f"id {index} is not in a vocabulary of"):
            use(index)
