import gzip
import json
import shutil

import pytest
import tokenizers

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.gpt2 import load_gpt2, read_gpt2
from llmcourse.tokenizers.registry import load_tokenizer, save_tokenizer

AWKWARD = (
    "naïve façade, 语言模型 🙂 3.14159\t\n  x_1 <|endoftext|> ½ don't  \r\n\x00 ﬁ",
    "def f(x):\n    return {'a': x ** 2}\n",
    "".join(map(chr, range(0x250))),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A vocabulary of GPT-2's form that the library trained and wrote; its folder, and itself."""
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=299,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(["the cat sat on the mat, and the cat was fat\n" * 5], trainer)
    folder = tmp_path_factory.mktemp("gpt2")
    library.model.save(str(folder))
    ids = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps(ids | {END_OF_TEXT: len(ids)}))
    return folder, library


def test_what_the_library_wrote_is_read_with_its_ids(small):
    folder, library = small
    tokenizer = read_gpt2(folder)
    for text in ("the fat cat sat", *AWKWARD):
        assert tokenizer.encode(text) == library.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.eot_id == library.get_vocab_size()


def test_a_folder_with_the_two_files_is_a_tokenizers_folder(small, tmp_path):
    folder, _ = small
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    assert load_tokenizer(tmp_path).encode(AWKWARD[0]) == read_gpt2(folder).encode(AWKWARD[0])


def test_saving_and_loading_keeps_the_ids(small, tmp_path):
    tokenizer = read_gpt2(small[0])
    loaded = load_tokenizer(save_tokenizer(tokenizer, tmp_path))
    assert isinstance(loaded, BPETokenizer)
    for text in AWKWARD:
        assert loaded.encode(text) == tokenizer.encode(text)


def test_gpt2s_own_files_give_gpt2s_ids(data_dir, tmp_path):
    folder = data_dir / "gpt2_bpe"
    files = [folder / "gpt2_vocab.json.gz", folder / "gpt2_merges.txt.gz"]
    tokenizer = load_gpt2(*files)
    assert tokenizer.vocab_size == 50257
    assert tokenizer.eot_id == 50256
    vocab, merges = (gzip.decompress(path.read_bytes()).decode() for path in files)
    lines = [line for line in merges.splitlines() if line and not line.startswith("#version")]
    pairs = [tuple(line.split()) for line in lines]
    library = tokenizers.Tokenizer(tokenizers.models.BPE(json.loads(vocab), pairs))
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    shakespeare = (data_dir / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    for text in (shakespeare[:200_000], *AWKWARD):
        assert tokenizer.encode(text) == library.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("Hello world") == [15496, 995]  # as in every GPT-2 tutorial
    loaded = load_tokenizer(save_tokenizer(tokenizer, tmp_path))
    assert loaded.encode(shakespeare[:9000]) == tokenizer.encode(shakespeare[:9000])


# --- files that are not GPT-2's ------------------------------------------------------------------


@pytest.fixture
def spoilt(small, tmp_path):
    """A copy to spoil: a function that replaces a file's text by what a function makes of it."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(small[0] / name, tmp_path / name)

    def spoil(name, change):
        path = tmp_path / name
        path.write_bytes(change(path.read_text("utf-8")).encode())
        return tmp_path

    return spoil


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_named(spoilt, name):
    folder = spoilt(name, str)
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"there is no file .*{name}"):
        read_gpt2(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x1f\x8bjunk"])
def test_a_file_that_is_no_text_is_refused(spoilt, content):
    folder = spoilt("vocab.json", str)
    (folder / "vocab.json").write_bytes(content)
    with pytest.raises(UserError, match=r"vocab\.json cannot be read"):
        read_gpt2(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"a": "b"}', '{"a": true}', "7"])
def test_a_vocabulary_that_is_none_is_refused(spoilt, content):
    with pytest.raises(UserError, match="is no vocabulary of GPT-2's kind"):
        read_gpt2(spoilt("vocab.json", lambda _: content))


def swap(text, one, other):
    ids = json.loads(text)
    ids[one], ids[other] = ids[other], ids[one]
    return json.dumps(ids)


@pytest.mark.parametrize("pair", [("he", "at"), ("he", "a"), ("a", "b"), (END_OF_TEXT, "!")])
def test_ids_in_another_order_are_kept(small, spoilt, pair):
    folder = spoilt("vocab.json", lambda text: swap(text, *pair))
    tokenizer = read_gpt2(folder)
    ids = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert tokenizer.eot_id == ids[END_OF_TEXT]
    pieces = {index: spelled for spelled, index in ids.items()}
    for text in ("the fat cat sat", *AWKWARD):
        found = tokenizer.encode(text)
        assert [pieces[index] for index in found] == small[1].encode(text).tokens
        assert tokenizer.decode(found) == text
    loaded = load_tokenizer(save_tokenizer(tokenizer, folder / "ours"))
    assert loaded.special_ids == tokenizer.special_ids
    assert loaded.eot_id == tokenizer.eot_id
    assert loaded.encode(AWKWARD[0]) == tokenizer.encode(AWKWARD[0])


@pytest.mark.parametrize("change", [{"a": 1}, {"a": 999}, {"a": -1}])
def test_ids_that_are_not_each_given_once_are_refused(spoilt, change):
    folder = spoilt("vocab.json", lambda text: json.dumps(json.loads(text) | change))
    with pytest.raises(UserError, match=r"does not number its ... pieces from 0 on, each once"):
        read_gpt2(folder)


def test_another_end_of_text_is_known_by_its_name(spoilt):
    tokenizer = read_gpt2(spoilt("vocab.json", lambda text: text.replace(END_OF_TEXT, "</s>")))
    assert tokenizer.special_ids == {"</s>": tokenizer.eot_id}
    assert tokenizer.encode("</s>", allowed_special="all") == [tokenizer.eot_id]


def test_without_any_end_of_text_there_is_one_more_id(spoilt):
    def without(text):
        ids = json.loads(text)
        del ids[END_OF_TEXT]
        return json.dumps(ids)

    tokenizer = read_gpt2(spoilt("vocab.json", without))
    assert tokenizer.special_ids == {END_OF_TEXT: tokenizer.vocab_size - 1}
    assert tokenizer.token_bytes(tokenizer.eot_id - 1) != b""


def test_which_token_ends_a_document_can_be_said(spoilt):
    def named(text):
        return text.replace(END_OF_TEXT, "<|im_start|>")

    folder = spoilt("vocab.json", named)
    tokenizer = read_gpt2(folder, end="<|im_start|>")
    assert tokenizer.special_ids == {"<|im_start|>": tokenizer.eot_id}
    with pytest.raises(UserError, match=r"no special token '<\|im_end\|>'; did you mean"):
        read_gpt2(folder, end="<|im_end|>")


def test_a_piece_that_no_merge_makes_is_refused(spoilt):
    with pytest.raises(UserError, match=r"has the piece '.+', which no merge makes"):
        read_gpt2(spoilt("merges.txt", lambda text: text.rsplit("\n", 2)[0] + "\n"))


def test_a_vocabulary_without_all_bytes_is_refused(spoilt):
    def fewer(text):
        kept = [spelled for spelled in json.loads(text) if spelled != "!"]
        return json.dumps({spelled: index for index, spelled in enumerate(kept)})

    with pytest.raises(UserError, match=r"no piece for 1 of the 256 bytes: .*ByteLevel\.alphabet"):
        read_gpt2(spoilt("vocab.json", fewer))


def test_a_merge_of_unknown_pieces_is_refused(spoilt):
    with pytest.raises(UserError, match="merges what the vocabulary has not: 'xyz abc'"):
        read_gpt2(spoilt("merges.txt", lambda text: text + "xyz abc\n"))


def test_merges_out_of_order_are_refused(spoilt):
    def backwards(text):
        first, *lines = text.strip().split("\n")
        return "\n".join([first, *lines[::-1]])

    with pytest.raises(UserError, match="join pieces before they have made them"):
        read_gpt2(spoilt("merges.txt", backwards))
