"""The sampling playground: what filters and the temperature leave, as bars, and texts drawn so.

Not here: the filters themselves (`generate/sampling.py`), how text is written
(`generate/decode.py`). Chapter 15 teaches what the pictures show.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.generate import sampling
from llmcourse.generate.decode import LanguageModel, generate
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.viz import style
from llmcourse.viz.tokens import visible
from llmcourse.viz.widgets import Explorer, slider, text


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """How a token is drawn; each default changes nothing.

    Attributes:
        temperature: divides the logits, first of all.
        top_k: so many tokens stay; 0 for all.
        top_p: the probability of the likeliest ones that stay.
        min_p: the least probability, as a fraction of the likeliest token's.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __call__(self, logits: Float[Tensor, "*B V"]) -> Float[Tensor, "*B V"]:
        """Logits with minus infinity where a token is ruled out.

        Raises:
            UserError: a knob out of its range.
        """
        logits = sampling.apply_temperature(logits, self.temperature)
        if self.top_k:
            logits = sampling.top_k(logits, self.top_k)
        return sampling.min_p(sampling.top_p(logits, self.top_p), self.min_p)


def next_token_bars(
    logits: Float[Tensor, " V"],
    names: Sequence[str],
    knobs: Knobs,
    *,
    n_tokens: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """The likeliest tokens: pale for the model's own probability, dark for what is drawn from.

    The title says how many tokens are possible.

    Raises:
        UserError: more or fewer names than logits, or a knob out of its range.
    """
    if len(names) != len(logits):
        raise UserError(f"{len(names)} names for {len(logits)} logits: give one for each")
    if ax is None:
        _, ax = style.figure(width=5, height=3.4)
    changed = knobs(logits)
    best = logits.sort(descending=True, stable=True).indices[:n_tokens].tolist()
    places = range(len(best))
    own, drawn = (z.float().softmax(-1)[best].tolist() for z in (logits, changed))
    ax.barh(places, own, color=style.GREYS[3], height=0.8, label="the model's")
    ax.barh(places, drawn, color=style.ACCENT, height=0.4, label="drawn from")
    ax.set_yticks(places, [style.printable(names[token]) for token in best])
    ax.set(xlim=(0, 1.02), ylim=(len(best) - 0.4, -0.6), xlabel="probability")
    ax.legend(loc="lower right")
    possible = int((changed > -torch.inf).sum())
    ax.set_title(f"{possible} of {len(logits)} tokens {'is' if possible == 1 else 'are'} possible")
    return ax


def sampling_playground(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, *, n_texts: int = 3, longest: int = 30
) -> Explorer:
    """What may follow a text that you type, and how it goes on, under knobs that you turn.

    The texts are drawn with the same chance each time: what changes is due to the knobs.

    Args:
        model: a small one, as it writes at each turn.
        tokenizer: the model's own.
        prompt: what stands there at first; nothing for a new document.
        n_texts: how many texts are drawn.
        longest: their tokens at the most.
    """
    names = [visible(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)]
    names[tokenizer.eot_id] = "end"

    def draw(prompt: str, temperature: float, top_k: int, top_p: float, min_p: float) -> Figure:
        knobs = Knobs(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        ids = torch.tensor([[tokenizer.eot_id, *tokenizer.encode(prompt)]])
        with torch.no_grad():
            logits = model(ids[:, -model.config.context_length :]).logits[0, -1]
        drawn, (left, right) = style.figure(width=9.5, height=3.4, columns=2)
        next_token_bars(logits, names, knobs, ax=left)
        right.set_title("Drawn with these knobs")
        right.axis("off")
        texts = _written(model, tokenizer, ids.repeat(n_texts, 1), knobs, longest)
        told = [style.printable(prompt + text, blank=" ") for text in texts]
        shown = "\n\n".join(textwrap.fill(text, 56) for text in told)
        right.text(0, 1, shown, va="top", fontsize=9, parse_math=False, transform=right.transAxes)
        return drawn

    return Explorer(
        draw,
        prompt=text(prompt),
        temperature=slider(1.0, 0.1, 3.0, 0.1),
        top_k=slider(0, 0, 40),
        top_p=slider(1.0, 0.05, 1.0, 0.05),
        min_p=slider(0.0, 0.0, 1.0, 0.05),
    )


def _written(
    model: LanguageModel, tokenizer: Tokenizer, ids: Tensor, knobs: Knobs, longest: int
) -> list[str]:
    """A continuation of each row, up to its end."""
    chance, stop = torch.Generator().manual_seed(0), tokenizer.eot_id
    tokens = generate(
        model,
        ids,
        max_new_tokens=longest,
        sampler=lambda logits: sampling.sample(knobs(logits), chance),
        stop_ids=(stop,),
    )
    written = list(tokens)
    rows = torch.stack(written, dim=1).tolist() if written else [[] for _ in ids]
    return [tokenizer.decode(row[: row.index(stop)] if stop in row else row) for row in rows]
