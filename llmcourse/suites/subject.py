"""Who is examined: a run, or a folder in Hugging Face's format, ready to be asked.

Beside the model stand its baselines: models of counts, made of the run's own training tokens. Not
here: what is asked (`text.py` and its siblings). Chapter 16 teaches this.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from llmcourse.data.prepared import tokens_path
from llmcourse.data.windows import Windows, check_tokens
from llmcourse.device import choose_device
from llmcourse.errors import UserError, require
from llmcourse.evaluate.scoring import ModelScorer, NGramScorer, Scorer
from llmcourse.finetune.base import load_base
from llmcourse.models.base import Model
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.tokenizers.base import Tokenizer

MOST_COUNTED = 2_000_000
"""How many training tokens the baselines count at the most."""
STRETCHES = 200
"""In how many stretches they are taken, evenly spread: the first ones would be a single book."""


class Subject:
    """A model that is examined.

    Attributes:
        folder: where it lies.
        model: it, in evaluation mode, on its device.
        tokenizer: its own.
        scorer: says how likely it finds tokens.
    """

    def __init__(self, folder: Path, model: Model, tokenizer: Tokenizer) -> None:
        self.folder, self.model, self.tokenizer = folder, model, tokenizer
        self.scorer: Scorer = ModelScorer(model)

    @property
    def encode(self) -> Callable[[str], list[int]]:
        """From text to tokens."""
        return self.tokenizer.encode

    @property
    def begin(self) -> int:
        """The token that stands before every text."""
        return self.tokenizer.eot_id

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def tokens(self, split: str) -> np.ndarray | None:
        """The ids of the run's own training or validation text; None where it kept none.

        Raises:
            Damaged: they are not those that were written.
        """
        path = tokens_path(self.folder / "data", split)
        if not path.is_file():
            return None
        check_tokens(path)
        return Windows(path, 1).tokens

    @functools.cached_property
    def counters(self) -> dict[str, Scorer]:
        """Those who counted the training tokens, by name: unigram, trigram; none without them."""
        tokens = self.tokens("train")
        if tokens is None:
            return {}
        ids = torch.from_numpy(_evenly(tokens, MOST_COUNTED))
        # A document is counted from the token before it to the one behind it.
        ends = (ids == self.begin).nonzero()[:, 0].tolist()
        starts = [-1, *ends]
        documents = [
            [self.begin, *ids[start + 1 : end + 1].tolist()]
            for start, end in zip(starts, [*ends, len(ids) - 1], strict=True)
            if end > start
        ]
        order = min(3, max(map(len, documents)))
        counts = count_ngrams(documents, order, self.model.config.vocab_size)
        return {
            name: NGramScorer(NGram(counts, order=n))
            for n, name in ((1, "unigram"), (3, "trigram"))
            if n <= order
        }


def _evenly(tokens: np.ndarray, most: int) -> np.ndarray:
    """So many tokens of a stream, in stretches that are evenly spread over it."""
    if len(tokens) <= most:
        return np.asarray(tokens, dtype=np.int64)
    length = most // STRETCHES
    starts = np.linspace(0, len(tokens) - length, STRETCHES).astype(int)
    return np.concatenate([tokens[start : start + length] for start in starts]).astype(np.int64)


def load_subject(folder: Path, device: str = "auto") -> Subject:
    """The model in a run of `train` or `finetune`, or in a folder of Hugging Face's format.

    Raises:
        UserError: there is none, or one that gives texts no probability.
    """
    base = load_base(str(folder))
    require(
        base.model.generates and base.tokenizer is not None,
        f"{folder} holds a {base.name}, which gives texts no probability: only the suite `labels` "
        "can examine it",
    )
    if base.tokenizer is None:  # for the type checker: said above
        raise UserError(f"{folder} has no tokenizer of ours")
    return Subject(Path(folder), base.model.to(choose_device(device)), base.tokenizer)
