"""The exercise on LoRA for a whole model: put adapters in, and take out what has learned.

Not here: one layer, merging and the rank (`adapters.py`), the exercises' texts (`solutions/`), and
how checking works (`harness.py`). Chapter 13 teaches this.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmcourse.checks.bank.adapters import CHAPTER, LORA
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn import lora

# 6. A whole model


class Stack(nn.Module):
    """A small model with linear layers of different names, to put adapters into."""

    def __init__(self, seed: int = 0, width: int = 4, inner: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.token_embedding = nn.Embedding(7, width)
            self.blocks = nn.ModuleList(
                nn.ModuleDict(
                    {
                        "q_proj": nn.Linear(width, width, bias=False),
                        "kq_proj": nn.Linear(width, width),
                        "v_proj": nn.Linear(width, inner),
                        "o_proj": nn.Linear(inner, width),
                    }
                )
                for _ in range(2)
            )
            self.norms = nn.ModuleDict({"o_proj": nn.LayerNorm(width)})
            # a target's name within a path, and at a longer name's beginning
            mixer = nn.ModuleDict({"q_proj_mix": nn.Linear(width, width)})
            self.mixers = nn.ModuleDict({"v_proj": mixer})
            self.lm_head = nn.Linear(width, 7)
            self.register_buffer("shift", torch.zeros(width))

    def forward(self, ids: Tensor) -> Tensor:
        """Scores of something; every layer takes part."""
        h = self.token_embedding(ids)
        for block in self.blocks:
            layers: Any = block
            h = layers["kq_proj"](h) + layers["q_proj"](h)
            h = h + layers["o_proj"](layers["v_proj"](h).tanh())
        mixer: Any = self.mixers["v_proj"]
        return self.lm_head(self.norms["o_proj"](h + mixer["q_proj_mix"](h)) + self.shift)


IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


FULL = "the scores with A and B full of 0.1"
SLOPE = "the sum of their gradients, A and B full of 0.1"
LATER = (
    "at first it is the base",
    "numbers that begin at random",
    FULL,
    SLOPE,
    "it learns",
    "the base stays",
)
"""What is looked at where the right numbers learn."""


def _tried(
    answer: Any, seed: int, targets: list[str], rank: int, alpha: float, width: int = 4
) -> dict[str, Any]:
    """What an answer makes of a model, and of some steps of training."""
    model = Stack(seed, width, 6 if width == 4 else 16 * width)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        base = model(IDS)
    asked = [m for n, m in model.named_modules() if n.rpartition(".")[2] in targets]
    wanted = sum(rank * sum(m.weight.shape) for m in asked if isinstance(m, nn.Linear))
    torch.manual_seed(seed)
    names = answer(model, targets, rank, alpha)
    if isinstance(names, nn.Module):
        names = "a model"  # in words: two models cannot be compared
    unordered = isinstance(names, str | dict | set) or not isinstance(names, Iterable)
    learned = [p for p in model.parameters() if p.requires_grad]
    random = [p.detach() for p in learned if p.any()]
    found = {
        "the names": names if unordered else list(names),
        "numbers that learn": sum(p.numel() for p in learned),
        "the base is in it": _are_in(before, model),
    }
    if found["numbers that learn"] != wanted or not found["the base is in it"]:
        return found | dict.fromkeys(LATER)  # what else there is to see would hang on chance
    with torch.no_grad():
        found["at first it is the base"] = torch.allclose(model(IDS), base, atol=1e-6)
    found["numbers that begin at random"] = sum(p.numel() for p in random)
    if width > 4 and 0 < len(random) < len(learned):
        found["these beside 1 / √in"] = _size(random, rank)
    found |= _full_of_tenths(model, learned)
    after = _after_a_step(model, learned, before)
    return found | (after if found["at first it is the base"] else {"it learns": None})


def _are_in(before: dict[str, Tensor], model: nn.Module) -> bool:
    """Whether each of the parameters that there were stands somewhere in a model, unchanged."""
    now = [p.detach() for p in model.parameters()]
    return all(any(p.shape == q.shape and p.equal(q) for q in now) for p in before.values())


def _size(random: Sequence[Tensor], rank: int) -> str:
    """How large random numbers are beside 1 / √in, in matrices with `rank` on an axis."""
    whole = [float(p.square().sum()) * p.numel() / rank for p in random]
    size = (sum(whole) / sum(p.numel() for p in random)) ** 0.5
    return "much smaller" if size < 0.4 else "much larger" if size > 1.6 else "about as large"


def _full_of_tenths(model: nn.Module, learned: Sequence[Tensor]) -> dict[str, Any]:
    """The scores, and how they slope, when all that learns is 0.1.

    However A and B are kept, their product is then the same.
    """
    with torch.no_grad():
        began = [p.clone() for p in learned]
        for parameter in learned:
            parameter.fill_(0.1)
    with torch.enable_grad():
        scores = model(IDS)
        found = [None] * len(learned)
        if learned and scores.requires_grad:
            found = torch.autograd.grad(scores.square().sum(), learned, allow_unused=True)
    with torch.no_grad():
        for parameter, value_ in zip(learned, began, strict=True):
            parameter.copy_(value_)
    slope = sum((float(g.sum()) for g in found if g is not None), 0.0)
    return {
        FULL: scores.detach(),
        SLOPE: torch.tensor(slope),
    }


def _after_a_step(
    model: nn.Module, learned: Sequence[Tensor], before: dict[str, Tensor]
) -> dict[str, Any]:
    """Whether what learned moved the output, and what was held still did not move."""
    if not learned or not model(IDS).requires_grad:
        return {"it learns": False, "the base stays": True}
    target = torch.ones(2, 3, 7)
    optimizer = torch.optim.SGD(learned, lr=0.1)
    losses = []
    for _ in range(3):
        loss = F.mse_loss(model(IDS), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"it learns": losses[-1] < losses[0], "the base stays": _are_in(before, model)}


@exercise(CHAPTER, call=_tried, variants=(), seconds=10.0, read=LORA)
def add_lora(model: nn.Module, targets: Sequence[str], rank: int, alpha: float) -> list[str]:
    """LoRA beside each linear layer whose name ends in a target; all else is held still."""
    return lora.add_lora(model, targets, rank, alpha)


@add_lora.cases
def _() -> Iterator[Case]:
    yield case("queries and values", 0, ["q_proj", "v_proj"], 2, 4.0)
    yield case("one kind of layer", 1, ["o_proj"], 1, 1.0)
    yield case("all of a block", 2, ["o_proj", "q_proj", "v_proj"], 3, 6.0)
    yield case("the head, too", 3, ["q_proj", "lm_head"], 2, 2.0)
    yield case("a wide model", 4, ["v_proj", "o_proj"], 2, 8.0, width=40)
    yield case("a wide model's queries", 5, ["q_proj"], 2, 4.0, width=40)
    yield case("a name within the target", 6, ["kq_proj"], 2, 4.0)


class _Layer(nn.Module):
    """LoRA beside a layer, with something wrong in it where asked for.

    Args:
        base: the layer.
        rank: R.
        alpha: as it is divided by R.
        frozen: whether the layer is held still.
        zero: which of A and B begin at zero.
        size: of A's random numbers, from the layer's inputs.
        output: from the layer and x to what the base gives.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float,
        *,
        frozen: bool = True,
        zero: str = "B",
        size: Callable[[int], float] = lambda into: into**-0.5,
        output: Callable[[nn.Linear, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        out, into = base.weight.shape
        self.A = nn.Parameter(torch.randn(rank, into) * size(into))
        self.B = nn.Parameter(torch.randn(out, rank) * into**-0.5)
        if "A" in zero:
            nn.init.zeros_(self.A)
        if "B" in zero:
            nn.init.zeros_(self.B)
        self.scale = alpha / rank
        self.output = output
        if frozen:
            base.requires_grad_(False)

    def forward(self, x):
        base = self.output(self.base, x) if self.output else self.base(x)
        return base + self.scale * F.linear(F.linear(x, self.A), self.B)


class _Deaf(_Layer):
    """LoRA whose adapter reads an x without a graph."""

    def forward(self, x):
        return self.base(x) + self.scale * F.linear(F.linear(x.detach(), self.A), self.B)


class _HalfBiased(_Layer):
    """LoRA whose factor is on the bias as well."""

    def forward(self, x):
        bias = 0 if self.base.bias is None else self.base.bias
        added = F.linear(F.linear(x, self.A), self.B) + bias
        return F.linear(x, self.base.weight) + self.scale * added


def _put(
    model, targets, rank, alpha, *, most=None, all_still=True, chosen=None, make=_Layer, **wrong
):
    if all_still:
        model.requires_grad_(False)
    ends = chosen or (lambda name: name.rpartition(".")[2] in targets)
    found = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and ends(n)][:most]
    for name in found:
        parent, _, leaf = name.rpartition(".")
        layer = make(model.get_submodule(name), rank, alpha, **wrong)
        place: Any = model.get_submodule(parent)
        if isinstance(place, nn.ModuleDict):
            place[leaf] = layer
        else:
            setattr(place, leaf, layer)
    return found


def _variant(name: str, hint: str, **wrong: Any) -> None:
    """Catalogue a mistake that is one setting of `_put`."""

    @add_lora.mistake(name, hint=hint)
    def _(model, targets, rank, alpha):
        return _put(model, targets, rank, alpha, **wrong)


@add_lora.mistake(
    "only the adapted layers are held still",
    hint="Embeddings and the other layers learn as well. Hold the *whole* model still first, "
    "then add what learns.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, all_still=False)


@add_lora.mistake(
    "nothing is held still",
    hint="The base learns along. Call `requires_grad_(False)` on the model before you add A and B.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, all_still=False, frozen=False)


@add_lora.mistake(
    "everything is held still",
    hint="Nothing learns: A and B were frozen, too. Hold the model still *before* you add them.",
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    model.requires_grad_(False)
    return found


@add_lora.mistake(
    "B does not begin at zero",
    hint="At first the model has to be the base: B begins at zero, and A at random.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, zero="")


@add_lora.mistake(
    "both begin at zero",
    hint="With A and B both at zero each one's gradient is zero, and nothing is ever learned.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, zero="AB")


@add_lora.mistake(
    "alpha is not divided by the rank",
    hint="The factor of the product is α / R: your `lora_forward` divides, if it is handed alpha.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha * rank)


@add_lora.mistake(
    "alpha is divided by the rank twice",
    hint="`lora_forward` divides by R already: hand it alpha as it is.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha / rank)


@add_lora.mistake(
    "the first layer alone",
    hint="Each layer whose name ends in a target gets an adapter, in every block.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, most=1)


@add_lora.mistake(
    "every linear layer",
    hint="Only layers whose name ends in one of the targets get an adapter.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, chosen=lambda name: True)


@add_lora.mistake(
    "the end of the name, not its last part",
    hint="`kq_proj` ends in the letters `q_proj`, too. Compare the whole last part of the name.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, chosen=lambda name: name.endswith(tuple(targets)))


@add_lora.mistake(
    "the beginning of the name",
    hint="`q_proj_mix` begins with the letters `q_proj`. Compare the whole last part of the name.",
)
def _(model, targets, rank, alpha):
    def chosen(name):
        return name.rpartition(".")[2].startswith(tuple(targets))

    return _put(model, targets, rank, alpha, chosen=chosen)


@add_lora.mistake(
    "any part of the name",
    hint="`mixers.v_proj.q_proj_mix` has `v_proj` in the middle. Only the last part counts.",
)
def _(model, targets, rank, alpha):
    def chosen(name):
        return bool({*name.split(".")} & {*targets})

    return _put(model, targets, rank, alpha, chosen=chosen)


@add_lora.mistake(
    "the target somewhere in the name",
    hint="`in` finds a target in `kq_proj` and in `q_proj_mix`. Compare the whole last part.",
)
def _(model, targets, rank, alpha):
    def chosen(name):
        return any(target in name for target in targets)

    return _put(model, targets, rank, alpha, chosen=chosen)


@add_lora.mistake(
    "the whole name is compared",
    hint="Full names have dots in them, `blocks.0.q_proj`: compare the part behind the last dot.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha, chosen=lambda name: name in targets)


@add_lora.mistake(
    "names in a set", hint="Return a list: the names have an order, that of the model."
)
def _(model, targets, rank, alpha):
    return set(_put(model, targets, rank, alpha))


@add_lora.mistake(
    "layers at the top are left out",
    hint="A name without a dot is a layer of the model itself, as `lm_head`: it counts, too.",
)
def _(model, targets, rank, alpha):
    def chosen(name):
        parent, _, leaf = name.rpartition(".")
        return bool(parent) and leaf in targets

    return _put(model, targets, rank, alpha, chosen=chosen)


@add_lora.mistake(
    "the first target alone", hint="There may be several targets, and each one counts."
)
def _(model, targets, rank, alpha):
    return _put(model, targets[:1], rank, alpha)


@add_lora.mistake(
    "the last parts of the names",
    hint="Return the full names, as `model.named_modules()` has them.",
)
def _(model, targets, rank, alpha):
    return [name.rpartition(".")[2] for name in _put(model, targets, rank, alpha)]


@add_lora.mistake(
    "the names of the layers within",
    hint="Return the names as they were before: the place, not the layer inside of your own.",
)
def _(model, targets, rank, alpha):
    return [f"{name}.base" for name in _put(model, targets, rank, alpha)]


@add_lora.mistake(
    "the names sorted", hint="Keep the order of `model.named_modules()`, in which you meet them."
)
def _(model, targets, rank, alpha):
    return sorted(_put(model, targets, rank, alpha))


@add_lora.mistake(
    "the names target by target",
    hint="Walk through the model once, and ask of each layer whether it is a target.",
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    return sorted(found, key=lambda name: targets.index(name.rpartition(".")[2]))


@add_lora.mistake("the names backwards", hint="Keep the order of `model.named_modules()`.")
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha)[::-1]


@add_lora.mistake(
    "nothing is returned", hint="Return the names of the layers, as a list. All else is right."
)
def _(model, targets, rank, alpha):
    _put(model, targets, rank, alpha)


@add_lora.mistake(
    "how many, not which", hint="Return the names of the layers, as a list, not their number."
)
def _(model, targets, rank, alpha):
    return len(_put(model, targets, rank, alpha))


@add_lora.mistake(
    "the model is returned", hint="The model is changed in place. Return the names, as a list."
)
def _(model, targets, rank, alpha):
    _put(model, targets, rank, alpha)
    return model


@add_lora.mistake(
    "a copy of the model gets the adapters",
    hint="Put them into the model that you were handed: it is this one that is trained.",
)
def _(model, targets, rank, alpha):
    return _put(copy.deepcopy(model), targets, rank, alpha)


@add_lora.mistake(
    "biases learn", hint="You hold the matrices still. The base's biases belong to it, too."
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.removesuffix(".base") in found:
            module.requires_grad_(True)
            module.weight.requires_grad_(False)
    return found


@add_lora.mistake(
    "only linear layers are held still",
    hint="Embeddings and norms learn along. Hold the *whole* model still, whatever its parts are.",
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.LayerNorm):
            module.requires_grad_(True)
    return found


@add_lora.mistake(
    "a new layer in place of the base",
    hint="The layer that was trained stays inside of yours: `MyLoRA(layer, rank, alpha)`.",
)
def _(model, targets, rank, alpha):
    def make(base, rank, alpha):
        new = nn.Linear(base.in_features, base.out_features, base.bias is not None)
        return _Layer(new, rank, alpha)

    return _put(model, targets, rank, alpha, make=make)


@add_lora.mistake(
    "one adapter for all layers of a size",
    hint="Each layer has an A and a B of its own: make them anew for each.",
)
def _(model, targets, rank, alpha):
    made = {}

    def make(base, rank, alpha):
        layer = _Layer(base, rank, alpha)
        first = made.setdefault(tuple(base.weight.shape), layer)
        layer.A, layer.B = first.A, first.B
        return layer

    return _put(model, targets, rank, alpha, make=make)


@add_lora.mistake("A does not learn", hint="A is no parameter: wrap it as `nn.Parameter`, as B.")
def _(model, targets, rank, alpha):
    def make(base, rank, alpha):
        layer = _Layer(base, rank, alpha)
        layer.A.requires_grad_(False)
        return layer

    return _put(model, targets, rank, alpha, make=make)


@add_lora.mistake(
    "the adapter takes no part",
    hint="`forward` gives the base's output alone: add what A and B make of x.",
)
def _(model, targets, rank, alpha):
    def make(base, rank, alpha):
        layer = _Layer(base, rank, alpha)
        layer.scale = 0.0
        return layer

    return _put(model, targets, rank, alpha, make=make)


@add_lora.mistake(
    "a rank that is always 4", hint="The rank is handed over: `rank` numbers between A and B."
)
def _(model, targets, rank, alpha):
    return _put(model, targets, 4, alpha)


@add_lora.mistake(
    "a factor that is always 1", hint="The product is multiplied by α / R, with the α handed over."
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, float(rank))


@add_lora.mistake(
    "a factor that is always 2",
    hint="α = 2 R is a habit, not a rule: the factor is α / R, with the α handed over.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, 2.0 * rank)


@add_lora.mistake(
    "alpha divided by the root of the rank",
    hint="Some do so (rsLoRA, 2023). Here the factor is α / R.",
)
def _(model, targets, rank, alpha):
    return _put(model, targets, rank, alpha * rank**0.5)


def _by_weight(base: nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x, base.weight)


def _bias_twice(base: nn.Linear, x: Tensor) -> Tensor:
    return base(x) + (0 if base.bias is None else base.bias)


def _cut_off(base: nn.Linear, x: Tensor) -> Tensor:
    return base(x).detach()


_variant(
    "the base's bias is lost",
    "Keep the layer itself and call it: it may have a bias, which belongs to its output.",
    output=_by_weight,
)
_variant(
    "the bias is added twice",
    "Calling the layer adds its bias already. Add the adapter alone.",
    output=_bias_twice,
)
_variant(
    "the factor is on the bias, too",
    "α / R multiplies the product alone. The bias belongs to the base's output.",
    make=_HalfBiased,
)
_variant(
    "no gradient flows back through the adapter",
    "x is detached in front of A: adapters further down learn through this one, too.",
    make=_Deaf,
)
_variant(
    "no gradient flows back through the base",
    "The base is held still, and yet the gradient flows *through* it, to the adapters further "
    "down: no `no_grad` and no `detach` around it.",
    output=_cut_off,
)
_variant(
    "A is zero, and B random",
    "It is the other way round: A begins at random, B at zero.",
    zero="A",
)
_variant(
    "A is too large at first",
    "A's random numbers are divided by √in, so that A x is as large as x.",
    size=lambda into: 1.0,
)
_variant(
    "A is too small at first",
    "A's random numbers are divided by the *root* of in: with much smaller ones B hardly learns.",
    size=lambda into: 1 / into,
)


def _copied(answer: Any, model: nn.Module) -> dict[str, Any]:
    """What an answer takes out of a model, and whether it has come loose from it."""
    learned = [name for name, p in model.named_parameters() if p.requires_grad]
    own = {p.data_ptr() for p in model.parameters()}
    found = answer(model)
    kept = found if isinstance(found, dict) else {}
    tensors = [tensor for tensor in kept.values() if isinstance(tensor, Tensor)]
    return {
        "the tensors": _loose(found),
        "without a graph": not any(tensor.requires_grad for tensor in tensors),
        "copies": not any(tensor.data_ptr() in own for tensor in tensors),
        "what learns in the model": [n for n, p in model.named_parameters() if p.requires_grad]
        == learned,
    }


def _loose(found: Any) -> Any:
    """A result with its tensors as plain tensors, in whatever they stand."""
    if isinstance(found, Tensor):
        return found.detach()
    if isinstance(found, dict):
        return {name: _loose(one) for name, one in found.items()}
    return [_loose(one) for one in found] if isinstance(found, list | tuple) else found


@exercise(CHAPTER, call=_copied, variants=(), strict=True, read=LORA)
def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that learn, by name, as copies that need no gradient."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


@adapter_state.cases
def _() -> Iterator[Case]:
    yield case("two layers learn", _model(["q_proj"]))
    yield case("all of a block", _model(["q_proj", "v_proj", "o_proj"]))
    yield case("nothing learns", Stack(3).requires_grad_(False))
    other = Stack(6)
    _put(other, ["v_proj"], 2, 4.0)
    other.lm_head.bias.requires_grad_(True)
    yield case("other names, and a bias that learns", other)
    yield case("numbers of half precision", _model(["q_proj"]).to(torch.bfloat16))


def _model(targets: list[str]) -> nn.Module:
    model = Stack(5)
    lora.add_lora(model, targets, 2, 4.0)
    return model


def _learning(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


@adapter_state.mistake(
    "the whole model",
    hint="An adapter's file holds what learns, not the base: leave out what has no gradient.",
)
def _(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


@adapter_state.mistake(
    "what is held still",
    hint="That is the base. Wanted are the parameters with `requires_grad`.",
)
def _(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}


@adapter_state.mistake(
    "no copies",
    hint="Your tensors *are* the model's: after the next step the saved adapter has changed, too. "
    "Clone them.",
)
def _(model):
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


@adapter_state.mistake(
    "still in the graph",
    hint="A clone alone is part of the graph and keeps it alive. Detach first.",
)
def _(model):
    return {n: p.clone() for n, p in model.named_parameters() if p.requires_grad}


@adapter_state.mistake(
    "the last parts of the names",
    hint="Layers of two blocks have the same last name, and one would overwrite the other. Keep "
    "the full names.",
)
def _(model):
    found = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    return {n.rpartition(".")[2]: p for n, p in found.items()}


@adapter_state.mistake(
    "the parameters themselves",
    hint="Your tensors *are* the model's, and learn with it. Detach and clone each one.",
)
def _(model):
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


@adapter_state.mistake(
    "the whole state",
    hint="`state_dict()` has the base's parameters and buffers in it. Take what learns alone.",
)
def _(model):
    return model.state_dict()


@adapter_state.mistake(
    "buffers are in it", hint="A buffer is no parameter, and does not learn: leave it out."
)
def _(model):
    return _learning(model) | {n: b.clone() for n, b in model.named_buffers()}


@adapter_state.mistake(
    "found by its name",
    hint="How the matrices are called is each layer's own affair: ask `requires_grad`.",
)
def _(model):
    return {n: p for n, p in _learning(model).items() if "lora" in n}


@adapter_state.mistake(
    "found by the names A and B",
    hint="Other layers call their matrices otherwise, and a bias may learn: ask `requires_grad`.",
)
def _(model):
    return {n: p for n, p in _learning(model).items() if n.endswith((".A", ".B"))}


@adapter_state.mistake(
    "matrices alone", hint="All that learns belongs to the file, a bias as well."
)
def _(model):
    return {n: p for n, p in _learning(model).items() if p.ndim == 2}


@adapter_state.mistake(
    "what is not zero", hint="B is zero at first, and belongs to the adapter: ask `requires_grad`."
)
def _(model):
    return {n: p for n, p in _learning(model).items() if p.any()}


@adapter_state.mistake(
    "in half precision", hint="Copies have the format of the parameters: what is rounded is lost."
)
def _(model):
    return {n: p.half() for n, p in _learning(model).items()}


@adapter_state.mistake(
    "the model does not learn any more",
    hint="`requires_grad_(False)` changes the model's own parameter. `detach()` does not.",
)
def _(model):
    found = _learning(model)
    model.requires_grad_(False)
    return found


@adapter_state.mistake(
    "pairs in a list", hint="Wanted is a dictionary: from each name to its tensor."
)
def _(model):
    return list(_learning(model).items())


@adapter_state.mistake(
    "tensors without names", hint="The names say where each tensor belongs: return a dictionary."
)
def _(model):
    return list(_learning(model).values())


@adapter_state.mistake(
    "arrays in place of tensors", hint="Keep them as tensors: `detach().clone()`."
)
def _(model):
    return {n: p.numpy() for n, p in _learning(model).items()}


@adapter_state.mistake(
    "how many numbers", hint="Wanted are the tensors, not how many numbers they have."
)
def _(model):
    return {n: p.numel() for n, p in _learning(model).items()}


@adapter_state.mistake(
    "the gradients", hint="`p.grad` is how it is to change. Wanted is the parameter, `p`."
)
def _(model):
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


@adapter_state.mistake(
    "in double precision", hint="Copies have the format of the parameters: no larger file either."
)
def _(model):
    return {n: p.double() for n, p in _learning(model).items()}


@adapter_state.mistake(
    "flattened", hint="Keep the shape: who loads the file puts the tensors back as they are."
)
def _(model):
    return {n: p.flatten() for n, p in _learning(model).items()}
