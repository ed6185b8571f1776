"""A tokenizer beside an exported model: `transformers` cuts texts and stops where we do."""

import json

import pytest
import torch
import transformers
from numerics import randomise

from llmcourse.errors import UserError
from llmcourse.export.huggingface import to_huggingface
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.gpt import GPT, gpt2_recipe
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.registry import TOKENIZERS, load_tokenizer, train_tokenizer
from llmcourse.tokenizers.sentencepiece import SentencePieceTokenizer

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.\n" * 3,
    "    indented code:\n        return {'a': 1, 'b': 22}\n\n",
    "我们在学习语言模型。语言模型很有意思。Ünïcödé, too; and 🙂🙃.",
]
TEXTS = [
    *CORPUS,
    "",
    "<0x41> <unk> <s>",
    "ﬁ ½Ⅷ٣_ don't we'll I'D",
    "\t  \n \r\n",
    " " * 9,
    "never seen: Ω 嗨 👩‍👩‍👧‍👦 \u0000 \ufeff",
]
SIZES = {"context_length": 32, "d_model": 16, "n_layers": 1, "n_heads": 2}
EXPORTED = ["byte", "char", "bpe", "sentencepiece", "sentencepiece bpe"]


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.disable_progress_bar()


@pytest.fixture(params=EXPORTED)
def tokenizer(request):
    if request.param == "sentencepiece bpe":
        return SentencePieceTokenizer.train(CORPUS, 322, model_type="bpe")
    return train_tokenizer(request.param, CORPUS, 322)


def gpt(vocab_size):
    torch.manual_seed(0)
    return randomise(GPT(gpt2_recipe(vocab_size=vocab_size, **SIZES)))


def test_theirs_cuts_texts_as_ours_does(tokenizer, tmp_path):
    to_huggingface(gpt(tokenizer.vocab_size), tmp_path, tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.eos_token_id == tokenizer.eot_id
    assert theirs.eos_token == END_OF_TEXT
    assert theirs.model_max_length == 32
    for text in TEXTS:
        ids = tokenizer.encode(text, allowed_special="all")
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(tokenizer.encode(text)) == text
    text = f"The fox.{END_OF_TEXT}The dog."
    ids = tokenizer.encode(text, allowed_special={END_OF_TEXT})
    assert theirs(text)["input_ids"] == ids
    assert theirs.decode(ids, skip_special_tokens=True) == "The fox.The dog."


def test_more_special_tokens_are_theirs_too(tokenizer, tmp_path):
    chat = tokenizer.with_special_tokens(["<|user|>", "<|bot|>"])
    to_huggingface(gpt(chat.vocab_size), tmp_path, chat)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = f"<|user|>Hello fox<|bot|>Hello{END_OF_TEXT}"
    assert theirs(text)["input_ids"] == chat.encode(text, allowed_special="all")
    assert theirs.convert_tokens_to_ids("<|bot|>") == chat.special_ids["<|bot|>"]


def test_generate_stops_where_ours_stops(tmp_path):
    """The id that ends a document is one that this model comes to say."""
    tokenizer = train_tokenizer("bpe", CORPUS, 290)
    model = gpt(tokenizer.vocab_size)
    prompt = torch.tensor([tokenizer.encode("The fox")])
    end = next(iter(generate(model, prompt, max_new_tokens=1, sampler=greedy))).item()
    swapped = model.token_embedding.weight.data  # tied: what it says first is now the end
    swapped[[end, tokenizer.eot_id]] = swapped[[tokenizer.eot_id, end]].clone()
    prompt[prompt == end] = tokenizer.eot_id
    to_huggingface(model, tmp_path, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    mask = torch.ones_like(prompt)
    options = {"do_sample": False, "max_new_tokens": 9, "pad_token_id": 0, "attention_mask": mask}
    written = theirs.generate(prompt, **options)[0, prompt.size(1) :].tolist()
    assert tokenizer.eot_id in written
    assert written[-1] == tokenizer.eot_id
    assert len(written) < 9
    ours = generate(model, prompt, max_new_tokens=9, sampler=greedy, stop_ids=(tokenizer.eot_id,))
    assert [token.item() for token in ours] == written[:-1]


def test_it_can_be_loaded_again(tmp_path):
    for kind in ("byte", "bpe", "sentencepiece"):
        tokenizer = train_tokenizer(kind, CORPUS, 322, ["<|user|>"])
        to_huggingface(gpt(tokenizer.vocab_size), tmp_path / kind, tokenizer)
        again = load_tokenizer(tmp_path / kind)
        assert again.special_ids == tokenizer.special_ids
        assert again.eot_id == tokenizer.eot_id
        for text in TEXTS:
            assert again.encode(text) == tokenizer.encode(text)


def test_a_folder_holds_the_tokenizer_written_last(tmp_path):
    for kind in ("sentencepiece", "bpe", "sentencepiece"):
        tokenizer = train_tokenizer(kind, CORPUS, 322)
        to_huggingface(gpt(322), tmp_path, tokenizer)
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        assert theirs(CORPUS[0])["input_ids"] == tokenizer.encode(CORPUS[0])


def test_ids_that_another_program_gave_out(tmp_path):
    """Read from the library, special tokens first, and written back."""
    (tmp_path / "in").mkdir()
    library = transformers.AutoTokenizer
    first = train_tokenizer("bpe", CORPUS, 300)
    to_huggingface(gpt(300), tmp_path / "in", first)
    content = json.loads((tmp_path / "in" / "tokenizer.json").read_text("utf-8"))
    vocab = content["model"]["vocab"]
    ids = {END_OF_TEXT: 0} | {k: i + 1 for k, i in vocab.items() if k != END_OF_TEXT}
    content["model"]["vocab"] = ids
    content["added_tokens"][0]["id"] = 0
    (tmp_path / "in" / "tokenizer.json").write_text(json.dumps(content))
    ours = load_tokenizer(tmp_path / "in")
    assert ours.eot_id == 0
    to_huggingface(gpt(300), tmp_path / "out", ours)
    theirs = library.from_pretrained(tmp_path / "out")
    assert theirs.eos_token_id == 0
    for text in TEXTS:
        assert theirs(text)["input_ids"] == ours.encode(text)
        assert ours.encode(text) == [index + 1 for index in first.encode(text)]


def test_without_a_tokenizer_nothing_is_said_of_one(tmp_path):
    to_huggingface(gpt(300), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] is None


@pytest.mark.parametrize("kind", sorted({*TOKENIZERS} - {*EXPORTED}))
def test_what_the_library_cannot_cut_alike_is_refused(kind, tmp_path):
    tokenizer = train_tokenizer(kind, CORPUS, 300)
    with pytest.raises(
        UserError, match=f"as a {kind} one: train one of bpe, byte, char, sen"
    ) as caught:
        to_huggingface(gpt(300), tmp_path, tokenizer)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_two_ids_of_one_piece_are_refused(tmp_path):
    a, b, c = b"abc"
    double = BPETokenizer([(a, b), (b, c), (256, c), (a, 257)])
    assert double.token_bytes(258) == double.token_bytes(259) == b"abc"
    with pytest.raises(UserError, match="ids 258 and 259 both stand for 'abc'"):
        to_huggingface(gpt(double.vocab_size), tmp_path, double)
    assert list(tmp_path.iterdir()) == []


def test_another_models_tokenizer_is_refused(tmp_path):
    tokenizer = train_tokenizer("bpe", CORPUS, 300)
    with pytest.raises(UserError, match="the tokenizer has 300 ids, and the model 299"):
        to_huggingface(gpt(299), tmp_path, tokenizer)
    assert list(tmp_path.iterdir()) == []
