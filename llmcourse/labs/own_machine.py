"""A language model whose working parts are functions that are passed in: the learner's own.

Each part has the signature of its exercise, and `OwnGPT` is nothing but the order in which they are
called: the weights, and how they begin, are those of the package's `GPT`. So with right parts the
model learns exactly as the package's does, step for step, which `package_losses` shows. Not here:
where a learner's functions are kept, and which of them are right (`mine.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.nn.blocks import pre_norm
from llmcourse.objectives.base import IGNORE, Batch
from llmcourse.objectives.clm import CausalLM
from llmcourse.optim.adam import AdamW
from llmcourse.optim.clip import clip_by_global_norm
from llmcourse.optim.schedules import warmup_cosine
from llmcourse.randomness import seed_all
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.base import N_BYTES
from llmcourse.tokenizers.bpe import GPT2_BYTE_ORDER, BPETokenizer, Pair
from llmcourse.tokenizers.pretokenize import pre_tokens

VOCAB_SIZE, CONTEXT = 1024, 128
N_FOR_VOCABULARY, N_IN_BATCH = 2000, 8
"""Stories: how many the vocabulary is learned from, and how many a step reads."""

PEAK, WARMUP, FINAL, MAX_NORM = 0.01, 0.1, 0.1, 1.0
BETAS, EPS = (0.9, 0.95), 1e-8

Function = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class OwnParts:
    """The parts of the machine, each under the name and with the signature of its exercise."""

    merge: Function
    bpe_encode: Function
    next_token_pairs: Function
    split_heads: Function
    causal_mask: Function
    scaled_dot_product_attention: Function
    merge_heads: Function
    rope: Function
    rms_norm: Function
    swiglu: Function
    block: Function
    log_softmax: Function
    accumulated_loss: Function
    clip: Function
    warmup_cosine: Function
    adamw_step: Function
    write: Function


# --- text to tokens -------------------------------------------------------------------------------


def learn_merges(texts: Iterable[str], n_merges: int, merge: Function) -> list[Pair]:
    """BPE's merges, by counting everything anew for each: the plain twin of `BPETokenizer.train`.

    Ends early where no pair is left.
    """
    counts = Counter(word for text in texts for word in pre_tokens(text))
    words = {word: list(word.encode()) for word in counts}
    merges: list[Pair] = []
    for new_id in range(N_BYTES, N_BYTES + n_merges):
        pairs: Counter[Pair] = Counter()
        for word, ids in words.items():
            for pair in pairwise(ids):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], [_age(one) for one in pair]))
        merges.append(best)
        for word, ids in words.items():
            if best in pairwise(ids):
                words[word] = list(merge(ids, best, new_id))
    return merges


def _age(token_id: int) -> int:
    """Where a tie is broken: older pieces first, bytes in the order of GPT-2's table."""
    return _AGES[token_id] if token_id < N_BYTES else token_id


_AGES = {byte: age for age, byte in enumerate(GPT2_BYTE_ORDER)}


class OwnTokenizer:
    """A byte-level BPE that trains by `merge` and encodes by `bpe_encode`, word by word."""

    def __init__(self, texts: Iterable[str], vocab_size: int, parts: OwnParts) -> None:
        n_merges = vocab_size - N_BYTES - 1
        self.merges = learn_merges(texts, n_merges, parts.merge)
        self.end = vocab_size - 1
        self._encode, self._known = parts.bpe_encode, dict[str, list[int]]()
        self._decoder = BPETokenizer(self.merges)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a word that was met before is looked up."""
        for word in pre_tokens(text):
            if word not in self._known:
                self._known[word] = list(self._encode(list(word.encode()), self.merges))
        return [token_id for word in pre_tokens(text) for token_id in self._known[word]]

    def decode(self, ids: list[int]) -> str:
        """The text of some ids."""
        return self._decoder.decode(ids)


# --- the model ------------------------------------------------------------------------------------


class _Called(nn.Module):
    """A part of the package's whose weights are used by a function, as a part to be called."""

    def __init__(self, function: Function, weights: Any) -> None:
        super().__init__()
        self.function, self.weights = function, weights

    def forward(self, hidden: Tensor) -> Tensor:
        """Call the function with its weights."""
        return self.function(self.weights, hidden)


def pre_norm_block(hidden: Tensor, norm1: Any, attention: Any, norm2: Any, mlp: Any) -> Tensor:
    """The package's pre-norm block, of parts that are each called with a tensor alone."""
    return pre_norm(pre_norm(hidden, norm1, attention), norm2, mlp)


class OwnGPT(nn.Module):
    """The package's GPT with every step of its forward pass done by the parts."""

    def __init__(self, gpt: GPT, parts: OwnParts) -> None:
        super().__init__()
        self.gpt, self.parts = gpt, parts

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Score every token of the vocabulary as the successor of each position."""
        hidden = self.gpt.token_embedding(ids)  # B T -> B T D
        for block in self.gpt.blocks:
            hidden = self.parts.block(
                hidden,
                _Called(self._norm, block.norm1),
                _Called(self._attend, block.attention),
                _Called(self._norm, block.norm2),
                _Called(self._transform, block.mlp),
            )
        return self.gpt.lm_head(self._norm(self.gpt.norm, hidden))  # B T D -> B T V

    def _norm(self, norm: Any, hidden: Tensor) -> Tensor:
        return self.parts.rms_norm(hidden, norm.weight, norm.eps)

    def _transform(self, mlp: Any, hidden: Tensor) -> Tensor:
        matrices = (mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
        return self.parts.swiglu(hidden, *matrices)

    def _attend(self, attention: Any, hidden: Tensor) -> Tensor:
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        q, k, v = (
            self.parts.split_heads(project(hidden), attention.n_heads) for project in projections
        )
        shape = q.shape
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))  # B H T K -> (B H) T K
        q = self._rotate(self._norm(attention.q_norm, q))
        k = self._rotate(self._norm(attention.k_norm, k))
        mask = self.parts.causal_mask(q.size(1), k.size(1))
        mixed = self.parts.scaled_dot_product_attention(q, k, v, mask)
        return attention.o_proj(self.parts.merge_heads(mixed.reshape(shape)))

    def _rotate(self, x: Tensor) -> Tensor:
        """Turn each row by its position: the exercise's rows may stand anywhere."""
        positions = torch.arange(x.size(1)).repeat(x.size(0))
        rows = self.parts.rope(x.flatten(0, 1), positions, self.gpt.config.rope_theta)
        return rows.reshape(x.shape)  # N T K -> (N T) K -> N T K


# --- training -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """What came of a training: the losses in nats a token, step by step, and a story."""

    losses: list[float]
    story: str


def train(parts: OwnParts, steps: int = 100) -> Trained:
    """Train the tiny model of chapter 00, in Llama's recipe, on tinytown's stories."""
    texts = _texts()
    tokenizer = OwnTokenizer(texts[:N_FOR_VOCABULARY], VOCAB_SIZE, parts)
    model = OwnGPT(_fresh(), parts)
    memories = [(torch.zeros(p.numel()), torch.zeros(p.numel())) for p in model.parameters()]
    losses = []
    for step in range(steps):
        rows = _padded(tokenizer.encode, texts, step, tokenizer.end)
        pairs = [parts.next_token_pairs(row) for row in rows]
        ids, targets = (torch.stack(half) for half in zip(*pairs, strict=True))
        loss = mean_loss(parts, model(ids.clamp(min=0)), targets)
        model.zero_grad()
        loss.backward()
        rate = PEAK * parts.warmup_cosine(step / steps, WARMUP, FINAL)
        memories = _step(parts, model, memories, step + 1, rate)
        losses.append(loss.item())
    return Trained(losses, _story(parts, model, tokenizer, "Mia had a small dog named Biscuit."))


def mean_loss(
    parts: OwnParts, logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """The cross-entropy of the scored positions, in nats."""
    chances = parts.log_softmax(logits.flatten(0, 1))  # B T V -> (B T) V
    right = chances.gather(1, targets.flatten()[:, None].clamp(min=0))
    return parts.accumulated_loss([(-right.view(targets.shape), targets != IGNORE)]).squeeze()


Memories = list[tuple[Tensor, Tensor]]


@torch.no_grad()
def _step(parts: OwnParts, model: OwnGPT, memories: Memories, t: int, rate: float) -> Memories:
    """Clip the gradients, and move every parameter; the new memories of the optimizer."""
    parameters = list(model.parameters())
    gradients = parts.clip([p.grad for p in parameters if p.grad is not None], MAX_NORM)
    options = {"lr": rate, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS, "decay": 0.0}
    new: Memories = []
    for parameter, gradient, kept in zip(parameters, gradients, memories, strict=True):
        flat = parameter.flatten(), gradient.flatten()
        moved, mean, square = parts.adamw_step(*flat, *kept, t, **options)
        parameter.copy_(moved.reshape(parameter.shape))
        new.append((mean, square))
    return new


@torch.no_grad()
def _story(parts: OwnParts, model: OwnGPT, tokenizer: OwnTokenizer, beginning: str) -> str:
    ids = [tokenizer.end, *tokenizer.encode(beginning)]
    written = parts.write(lambda text: model(torch.tensor([text]))[0, -1], ids, 40)[1:]
    end = written.index(tokenizer.end) if tokenizer.end in written else len(written)
    return tokenizer.decode(written[:end])


def package_losses(steps: int, of: int) -> list[float]:
    """The losses of the first steps of a run of length `of`, by the package's own parts."""
    texts = _texts()
    tokenizer = BPETokenizer.train(texts[:N_FOR_VOCABULARY], VOCAB_SIZE)
    model, objective = _fresh(), CausalLM()
    optimizer = AdamW(model.parameters(), PEAK, BETAS, EPS, weight_decay=0.0)
    schedule = warmup_cosine(warmup=WARMUP, final=FINAL)
    losses = []
    for step in range(steps):
        rows = _padded(tokenizer.encode, texts, step, tokenizer.eot_id)
        batch = Batch(ids=rows[:, :-1].clamp(min=0), targets=rows[:, 1:])
        total, count = objective.loss(model(batch.ids), batch)
        optimizer.zero_grad()
        (total / count).backward()
        clip_by_global_norm(model.parameters(), MAX_NORM)
        optimizer.param_groups[0]["lr"] = PEAK * schedule(step / of)
        optimizer.step()
        losses.append((total / count).item())
    return losses


def _fresh() -> GPT:
    seed_all(0)
    sizes = {"vocab_size": VOCAB_SIZE, "context_length": CONTEXT, "d_model": 96}
    return GPT(modern_recipe(**sizes, n_layers=2, n_heads=2, mlp="swiglu"))


def _texts() -> list[str]:
    return [story.text for story in tinytown.stories(4000)]


def _padded(encode: Function, texts: list[str], step: int, end: int) -> Int[Tensor, "B N"]:
    """The stories of a step, each between two ends, filled up with what is not scored."""
    first = step * N_IN_BATCH % len(texts)
    rows = [[end, *encode(text), end][: CONTEXT + 1] for text in texts[first : first + N_IN_BATCH]]
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=IGNORE)
