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


def test_ids_in_another_order_are_refused(spoilt):
    with pytest.raises(UserError, match=r"numbers its pieces otherwise than GPT-2: .(he|at). is"):
        read_gpt2(spoilt("vocab.json", lambda text: swap(text, "he", "at")))


def test_a_vocabulary_that_does_not_begin_with_bytes_is_refused(spoilt):
    with pytest.raises(UserError, match="does not begin with the 256 bytes"):
        read_gpt2(spoilt("vocab.json", lambda text: swap(text, "he", "a")))


def test_another_end_of_text_is_refused(spoilt):
    with pytest.raises(UserError, match="numbers its pieces otherwise than GPT-2: '</s>'"):
        read_gpt2(spoilt("vocab.json", lambda text: text.replace(END_OF_TEXT, "</s>")))


def test_more_pieces_than_merges_are_refused(spoilt):
    with pytest.raises(UserError, match="expected the 256 bytes, one piece a merge"):
        read_gpt2(spoilt("merges.txt", lambda text: text.rsplit("\n", 2)[0] + "\n"))


def test_a_merge_of_unknown_pieces_is_refused(spoilt):
    with pytest.raises(UserError, match="merges what the vocabulary has not: 'xyz abc'"):
        read_gpt2(spoilt("merges.txt", lambda text: text + "xyz abc\n"))


def test_merges_out_of_order_are_refused(spoilt):
    def backwards(text):
        first, *lines = text.strip().split("\n")
        return "\n".join([first, *lines[::-1]])

    with pytest.raises(UserError, match="joins pieces before it has made them"):
        read_gpt2(spoilt("merges.txt", backwards))
