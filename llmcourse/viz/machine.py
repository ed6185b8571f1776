"""One token on its way through a transformer, and where a model's parameters sit.

A walk is taken from a real forward pass, by the tap of `nn/capture.py`: the vector after each part,
its size, and what the model would say if the rest of the stack were left out (the logit lens;
nostalgebraist, 2020). Not here: attention's own pictures (`attention.py`). Chapter 05 teaches what
these show.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.encoder_decoder import EncoderDecoder
from llmcourse.models.gpt import GPT
from llmcourse.nn.blocks import Block, DecoderBlock, pre_norm
from llmcourse.nn.capture import capture
from llmcourse.nn.propagation import rms
from llmcourse.viz import matrix, style
from llmcourse.viz.widgets import Explorer, choice, slider

SAYS = {
    "token": "a row of a table: what this token always is, wherever it stands",
    "position": "plus where it stands",
    "norm": "a copy of the stream, made even: this is what the next part reads",
    "attention": "what it found at the tokens before it, and at itself",
    "cross-attention": "what it found in the text that was read",
    "mlp": "what it made of that, alone: no other position takes part",
    "add": "the part's answer is added: the stream forgets nothing by itself",
    "final norm": "made even once more, for the table of tokens",
}
"""What each kind of step does, in a line."""

_REACH = 2.5
"""Entries beyond so many times the vector's size have the darkest colours."""
_MOST_TOKENS = 5


class Step(NamedTuple):
    """The state of one position after one part of the machine.

    Attributes:
        name: the part, after the number of its block: `0 attention`, and `0 + attention` where its
            answer joins the stream.
        says: what the part does.
        on_stream: whether the vector is the residual stream, not a branch of it.
        vector: what came out.
        lens: the probabilities of the next token, if the stream went to the output head as it is.
    """

    name: str
    says: str
    on_stream: bool
    vector: Float[Tensor, " D"]
    lens: Float[Tensor, " V"]


def walk(
    model: GPT | EncoderDecoder,
    ids: Int[Tensor, " T"],
    *,
    position: int = -1,
    source: Int[Tensor, " S"] | None = None,
    source_mask: Bool[Tensor, "1 1 1 S"] | None = None,
) -> list[Step]:
    """Follow one position through a pre-norm model, or through an encoder-decoder's writing side.

    Args:
        model: in evaluation mode, if it has dropout.
        ids: one text.
        position: which of its positions to follow.
        source: what an encoder-decoder reads.
        source_mask: True where the source is text.

    Raises:
        UserError: the model's blocks are post-norm, or an encoder-decoder has no source.
    """
    stack: nn.Module = model
    reading, prefix = {}, ""
    if model.reads_source:
        if source is None:
            raise UserError("an encoder-decoder reads before it writes: give a source")
        stack, prefix = model.get_submodule("decoder"), "decoder."
        reading = {"source": source[None], "source_mask": source_mask}
    blocks: list[Block | DecoderBlock] = list(stack.blocks)  # ty: ignore[invalid-argument-type]
    if any(block.residual is not pre_norm for block in blocks):
        raise UserError("a walk adds branches to a stream: give a model with pre-norm blocks")
    with capture(model, "*") as seen, torch.no_grad():
        model(ids=ids[None], **reading)
    here = {
        name.removeprefix(prefix): output[0, position]
        for name, output in seen.items()
        if output.ndim == 3 and not name.startswith("encoder.")
    }
    return _steps(model, stack, blocks, here)


def _steps(
    model: GPT | EncoderDecoder,
    stack: nn.Module,
    blocks: Sequence[Block | DecoderBlock],
    here: Mapping[str, Tensor],
) -> list[Step]:
    """The walk, from what each part gave at the position that is followed."""
    stream = here["token_embedding"] * getattr(model, "embedding_scale", 1.0)
    steps: list[Step] = []

    def add(name: str, kind: str, vector: Tensor, on_stream: bool = True) -> None:
        with torch.no_grad():
            lens = model.lm_head(stack.norm(stream)).softmax(-1)  # ty: ignore[not-callable]
        steps.append(Step(name, SAYS[kind], on_stream, vector, lens))

    add("token", "token", stream)
    if "position_embedding" in here:
        stream = here["position_embedding"]
        add("+ position", "position", stream)
    for number, block in enumerate(blocks):
        for norm, part in _branches(block):
            kind, answer = part.replace("_", "-"), here[f"blocks.{number}.{part}"]
            add(f"{number} {norm}", "norm", here[f"blocks.{number}.{norm}"], on_stream=False)
            add(f"{number} {kind}", kind, answer, on_stream=False)
            stream = stream + answer
            add(f"{number} + {kind}", "add", stream)
        tap = here[f"blocks.{number}.hidden"]
        assert torch.allclose(stream, tap, rtol=1e-3, atol=1e-4), "the walk has left the stream"
    add("final norm", "final norm", here["norm"], on_stream=False)
    return steps


def _branches(block: Block | DecoderBlock) -> list[tuple[str, str]]:
    """The names of a block's norms, and of the parts that they feed, in order."""
    if isinstance(block, DecoderBlock):
        return [("norm1", "attention"), ("norm2", "cross_attention"), ("norm3", "mlp")]
    return [("norm1", "attention"), ("norm2", "mlp")]


def draw_step(steps: Sequence[Step], at: int, labels: Sequence[str], *, title: str = "") -> Figure:
    """One step of a walk: its vector, the sizes of all steps, and what the lens says there.

    Args:
        steps: a walk.
        at: which step.
        labels: the vocabulary, in letters that a figure can show.
        title: stands above everything; the step's own line unless given.
    """
    step = steps[at]
    drawn, axes = style.figure(height=4.8, rows=2, columns=2, height_ratios=[1, 3.4])
    for ax in axes[0]:
        ax.remove()
    strip = drawn.add_subplot(axes[0, 0].get_gridspec()[0, :])
    _draw_vector(strip, step)
    _draw_sizes(axes[1, 0], steps, at)
    _draw_lens(axes[1, 1], step, labels)
    block, _, part = step.name.partition(" ")  # "0 + attention" is a part of block 0
    place = f"Step {at}, block {block}: {part}" if block.isdigit() else f"Step {at}: {step.name}"
    said = title or f"{place}\n{step.says}"
    drawn.suptitle(said, x=0.01, ha="left", fontsize=10)
    return drawn


def machine_explorer(walks: Mapping[str, Sequence[Step]], labels: Sequence[str]) -> Explorer:
    """`draw_step` with a choice of the walk and a slider for the step; all walks as long.

    Raises:
        UserError: there is no walk, or they differ in length.
    """
    lengths = {len(steps) for steps in walks.values()}
    if len(lengths) != 1:
        raise UserError(f"walks of {sorted(lengths)} steps: give one or more, all of one model")

    def draw(token: str, step: int) -> Figure:
        return draw_step(walks[token], step, labels)

    return Explorer(draw, token=choice(walks), step=slider(0, 0, lengths.pop() - 1))


def parameter_bars(
    counts: Mapping[str, Mapping[str, int]], *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """For each model a bar of length 1, cut by where its parameters sit.

    Args:
        counts: model to part to number of parameters; parts in the order of drawing.
        ax: where to draw.
        title: the message.
    """
    if ax is None:
        _, ax = style.figure(height=0.9 + 0.45 * len(counts))
    parts = list(dict.fromkeys(part for model in counts.values() for part in model))
    shades = style.SEQUENTIAL(np.linspace(0.95, 0.08, len(parts)))
    names = [f"{name}\n{_written(sum(model.values()))}" for name, model in counts.items()]
    left = np.zeros(len(counts))
    for part, shade in zip(parts, shades, strict=True):
        shares = np.array([m.get(part, 0) / sum(m.values()) for m in counts.values()])
        ax.barh(names, shares, left=left, color=shade, label=part, edgecolor="white", height=0.7)
        for row, share in enumerate(shares):
            if share > 0.04:
                color = style.text_on(shade)
                x = left[row] + share / 2
                ax.text(x, row, f"{share:.0%}", color=color, fontsize=8, **matrix.CENTRED)
        left += shares
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xticks=[], title=title)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(parts), handlelength=1)
    return ax


def _written(count: int) -> str:
    if count < 1e6:
        return f"{count:,}"
    return f"{count / 1e6:.3g} M" if count < 1e9 else f"{count / 1e9:.1f} B"


def _draw_vector(ax: Axes, step: Step) -> None:
    """The vector as a strip: blue is negative, orange positive; its size is written, not shaded."""
    values = step.vector.detach().float().numpy()[None]
    reach = _REACH * (rms(step.vector) or 1.0)
    limits = Normalize(-reach, reach)
    ax.pcolormesh(values, cmap=style.DIVERGING, norm=limits)
    ax.set(yticks=[], xlabel="D (model width)", xlim=(0, values.shape[1]))
    what = "the stream" if step.on_stream else "a copy" if "norm" in step.name else "a branch"
    ax.set_title(f"{what}, {values.shape[1]} numbers of size {rms(step.vector):.2f} (RMS)")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def _draw_sizes(ax: Axes, steps: Sequence[Step], at: int) -> None:
    """The size of every step's vector: the stream as a line, branches as points beside it."""
    sizes = [rms(step.vector) for step in steps]
    stream = [number for number, step in enumerate(steps) if step.on_stream]
    rest = [number for number, step in enumerate(steps) if not step.on_stream]
    ax.plot([sizes[n] for n in stream], stream, "o-", color=style.GREYS[1], label="stream")
    ax.plot([sizes[n] for n in rest], rest, "x", color=style.GREYS[2], label="copy, branch")
    ax.plot(sizes[at], at, "o", color=style.ACCENT, markersize=11)
    every = max(1, len(steps) // 16)
    shown = range(0, len(steps), every)
    ax.set_yticks(shown, [steps[n].name for n in shown], fontsize=8)
    widest = max(sizes) or 1.0
    ax.set(xlim=(-0.05 * widest, 1.15 * widest), xlabel="size (RMS)")
    ax.set_ylim(len(steps) - 0.5, -0.5)
    for number, label in zip(shown, ax.get_yticklabels(), strict=True):
        if number == at:
            label.set(color=style.ACCENT, fontweight="bold")
    ax.legend(loc="best")


def _draw_lens(ax: Axes, step: Step, labels: Sequence[str]) -> None:
    """The likeliest next tokens if the stream were read now."""
    shares, ids = step.lens.topk(min(_MOST_TOKENS, len(labels)))
    names = [matrix.token_label(labels[id]) for id in ids.tolist()]
    places = range(len(names))
    bars = ax.barh(places, shares.tolist(), color=style.ACCENT, height=0.65)
    ax.bar_label(bars, fmt="{:.0%}", padding=3, fontsize=9)
    ax.set_yticks(places, names)
    ax.set(xlim=(0, 1.15), xticks=[], ylim=(_MOST_TOKENS - 0.5, -0.5))
    ax.set_title("If the stream were read now")
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
