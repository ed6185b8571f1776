"""The base of a fine-tuning run: a model, and how it reads a text.

A base is a run of `llmcourse.train` (or of this command), or a directory in Hugging Face's format
with a tokenizer beside it: GPT-2, Llama and its siblings, BERT. Not here: what is put on top
(`heads.py`). Chapter 11 teaches this.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from llmcourse.checksums import check_listed
from llmcourse.errors import UserError
from llmcourse.export.huggingface import from_huggingface
from llmcourse.files import atomic_copy
from llmcourse.models.adapters import Adapter, load_adapted_model
from llmcourse.models.base import Model
from llmcourse.models.files import load_model, read_json
from llmcourse.models.registry import FAMILIES, family_of
from llmcourse.randomness import seed_all, stream_seed
from llmcourse.runs.directory import read_object
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.registry import load_tokenizer, tokenizer_files


@dataclass(frozen=True)
class Base:
    """A model and how it reads a text.

    Attributes:
        model: the model, in evaluation mode.
        encode: from a text to tokens.
        before: the tokens in front of a text, as the model was trained to read one.
        behind: those behind it.
        blank: a token that means nothing: the one for what is hidden, or the end of a text.
        added_tokens: how many tokens of the model's the tokenizer does not know.
        folder: where the tokenizer's files lie.
        tokenizer: what `encode` is of; None where another library cuts the words.
        adapter: what was put beside the model, if anything; then `model` is both.
    """

    model: Model
    encode: Callable[[str], list[int]]
    before: tuple[int, ...]
    behind: tuple[int, ...]
    blank: int
    added_tokens: int
    folder: Path
    tokenizer: Tokenizer | None = None
    adapter: Adapter | None = None

    @property
    def name(self) -> str:
        """What kind of model it is, in a word."""
        return type(self.model).__name__


def load_base(name: str, *, with_adapter: bool = True) -> Base:
    """The base in a directory; that of a run with an adapter is both together.

    Raises:
        UserError: there is none, it is damaged, or its tokenizer is another model's.
    """
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise UserError(
            f"there is no base {name!r}: name a run of llmcourse.train, or a directory in Hugging "
            "Face's format (--base)"
        )
    own = (folder / "model").is_dir()
    if not own and not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds neither a run with a model/ nor a config.json")
    load = load_adapted_model if with_adapter else load_model
    model = load(folder / "model") if own else from_huggingface(folder)
    check_listed(folder / "tokenizer.json")
    content = read_object(folder / "tokenizer.json")
    if isinstance(content.get("model"), dict) and content["model"].get("type") == "WordPiece":
        return _with_word_pieces(model, folder)
    tokenizer = load_tokenizer(folder)
    size, extra = model.config.vocab_size, _added_tokens(folder) if own else 0
    # A library's model may have rows to spare, a run's has exactly those of its objective.
    if tokenizer.vocab_size + extra > size or (own and tokenizer.vocab_size + extra != size):
        more = f" and its objective {extra} more" if extra else ""
        raise UserError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} tokens{more}, and the model "
            f"{size}: they are not of the same run"
        )
    ids = tokenizer.special_ids
    frame = [(ids[name],) if name in ids else () for name in ("[CLS]", "[SEP]")]
    blank = size - extra if extra else ids.get("[MASK]", tokenizer.eot_id)
    return Base(model, tokenizer.encode, frame[0], frame[1], blank, extra, folder, tokenizer)


def fresh(base: Base, seed: int) -> Base:
    """The same model with weights as before any training, drawn by the seed."""
    seed_all(stream_seed(seed, "untrained"))
    model = FAMILIES[family_of(base.model)].model(base.model.config)
    return replace(base, model=model.eval())


def copy_tokenizer(base: Base, folder: Path) -> None:
    """Copy the tokenizer's files, so that the finished run needs its base no more."""
    for path in tokenizer_files(base.folder):
        if base.folder.resolve() != folder.resolve():
            atomic_copy(path, folder / path.name)


def _added_tokens(folder: Path) -> int:
    """How many tokens a run's objective has added to its tokenizer's."""
    from llmcourse.objectives.registry import OBJECTIVES
    from llmcourse.train.assemble import build_objective
    from llmcourse.train.saved_settings import from_dict

    values = read_json(folder / "config.json")
    if "base" in values:  # a run of this command: it says what it began with
        return int(values.get("added_tokens", 0))
    settings = from_dict(values)
    if settings.objective.name not in OBJECTIVES:
        return 0
    return len(build_objective(settings, load_tokenizer(folder)).special_tokens)


def _with_word_pieces(model: Model, folder: Path) -> Base:
    """A BERT's base, whose words are cut by the library that made its tokenizer."""
    try:
        import tokenizers
    except ImportError:
        raise UserError(
            f"{folder} cuts words by WordPiece: install what reads that (pip install tokenizers)"
        ) from None

    reader = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    if reader.get_vocab_size() > model.config.vocab_size:
        raise UserError(
            f"the tokenizer in {folder} has {reader.get_vocab_size()} tokens, and the model "
            f"{model.config.vocab_size}: they do not belong together"
        )

    def special(name: str) -> tuple[int, ...]:
        found = reader.token_to_id(name)
        return () if found is None else (found,)

    blank = (*special("[MASK]"), *special("[UNK]"), 0)[0]
    return Base(
        model,
        lambda text: reader.encode(text, add_special_tokens=False).ids,
        special("[CLS]"),
        special("[SEP]"),
        blank,
        0,
        folder,
    )
