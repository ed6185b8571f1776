"""Rarer mistakes of the exercises on LoRA for a whole model. Chapter 13 teaches this."""

import torch
import torch.nn.functional as F
from torch import nn

from llmcourse.checks.bank.adapted_models import adapter_state, add_lora


class _Beside(nn.Module):
    """LoRA beside a layer; `out(base, x, added)` puts both together, `size(into)` is A's."""

    def __init__(self, base, rank, scale, *, out=None, size=None, learn="AB"):
        super().__init__()
        self.base = base
        n_out, into = base.weight.shape
        size = size or (lambda into: into**-0.5)
        self.A = nn.Parameter(torch.randn(rank, into) * size(into), "A" in learn)
        self.B = nn.Parameter(torch.zeros(n_out, rank), "B" in learn)
        self.scale = scale
        self.out = out or (lambda base, x, added: base(x) + added)
        self.between = lambda read: read

    def forward(self, x):
        return self.out(self.base, x, self.scale * (self.between(x @ self.A.mT) @ self.B.mT))


def _put(model, targets, rank, alpha, *, chosen=None, make=None, still=True, kind=nn.Linear):
    """Adapters around the layers that `chosen(name)` names, made by `make(layer)`."""
    if still:
        model.requires_grad_(False)
    chosen = chosen or (lambda name: name.rpartition(".")[2] in targets)
    make = make or (lambda layer: _Beside(layer, rank, alpha / rank))
    found = [n for n, m in model.named_modules() if isinstance(m, kind) and chosen(n)]
    for name in found:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, make(model.get_submodule(name)))
    return found


def _made(name, hint, make):
    """LoRA whose layers `make(layer, rank, alpha)` makes."""

    @add_lora.mistake(name, hint=hint)
    def _(model, targets, rank, alpha):
        return _put(model, targets, rank, alpha, make=lambda layer: make(layer, rank, alpha))


_made(
    "A alone learns",
    "Your B does not learn. A and B both do.",
    lambda layer, rank, alpha: _Beside(layer, rank, alpha / rank, learn="A"),
)
_made(
    "A of about 0.02",
    "Your A begins with numbers of about 0.02, whatever the layer. Their size is one over the root "
    "of the inputs.",
    lambda layer, rank, alpha: _Beside(layer, rank, alpha / rank, size=lambda into: 0.02),
)
_made(
    "the adapter taken off",
    "You subtract the adapter. It is added.",
    lambda layer, rank, alpha: _Beside(layer, rank, -alpha / rank),
)
_made(
    "the rank over alpha",
    "Your factor is upside down: it is alpha over R.",
    lambda layer, rank, alpha: _Beside(layer, rank, rank / alpha),
)
_made(
    "one over the rank",
    "You leave out alpha: the factor is alpha over R.",
    lambda layer, rank, alpha: _Beside(layer, rank, 1 / rank),
)
_made(
    "twice the rank",
    "Your adapters have twice the rank.",
    lambda layer, rank, alpha: _Beside(layer, 2 * rank, alpha / rank),
)
_made(
    "a rank of 8 at least",
    "Your adapters have a rank of their own. It is handed over.",
    lambda layer, rank, alpha: _Beside(layer, max(8, rank), alpha / max(8, rank)),
)


def _between(name, hint, function):
    def make(layer, rank, alpha):
        made = _Beside(layer, rank, alpha / rank)
        made.between = function
        return made

    _made(name, hint, make)


_between(
    "a ReLU between A and B", "You put a ReLU between A and B. In LoRA nothing is between.", F.relu
)
_between(
    "a GELU between A and B", "You put a GELU between A and B. In LoRA nothing is between.", F.gelu
)
_between(
    "a tanh between A and B",
    "You put a tanh between A and B. In LoRA nothing is between.",
    torch.tanh,
)
_between(
    "dropout before B",
    "You drop some of what A says. No dropout is asked for.",
    lambda read: F.dropout(read, 0.1),
)


def _chosen(name, hint, chosen, kind=nn.Linear):
    @add_lora.mistake(name, hint=hint)
    def _(model, targets, rank, alpha):
        return _put(
            model, targets, rank, alpha, chosen=lambda name: chosen(name, targets), kind=kind
        )


_chosen(
    "the last target alone",
    "You look for the last target alone. There may be several.",
    lambda name, targets: name.rpartition(".")[2] == targets[-1],
)
_chosen(
    "all but the targets",
    "You put adapters around all layers but the targets.",
    lambda name, targets: name.rpartition(".")[2] not in targets,
)
_chosen(
    "all but the head",
    "You put adapters around all layers but the head. The targets say which.",
    lambda name, targets: name != "lm_head",
)
_chosen(
    "the last block alone",
    "You put adapters into the last block alone. Every block has targets.",
    lambda name, targets: name.rpartition(".")[2] in targets and "0" not in name.split("."),
)
_chosen(
    "the first block alone",
    "You put adapters into the first block alone. Every block has targets.",
    lambda name, targets: name.rpartition(".")[2] in targets and "1" not in name.split("."),
)
_chosen(
    "letters of a name in a text of targets",
    "You look for the name in a text of all targets, so parts of them count. The last part has to "
    "be one of them.",
    lambda name, targets: name.rpartition(".")[2] in " ".join(targets),
)


@add_lora.mistake(
    "the norms learn",
    hint="The norms learn. As and Bs alone do.",
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.requires_grad_(True)
    return found


@add_lora.mistake(
    "the head learns",
    hint="The head learns, as for a new task. As and Bs alone do.",
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    head = getattr(model.lm_head, "base", model.lm_head)
    head.requires_grad_(True)
    return found


@add_lora.mistake(
    "the embeddings learn",
    hint="The embeddings learn. As and Bs alone do.",
)
def _(model, targets, rank, alpha):
    found = _put(model, targets, rank, alpha)
    model.token_embedding.requires_grad_(True)
    return found


@add_lora.mistake(
    "names of parameters",
    hint="You return the names of the As and Bs. Asked for are those of the layers.",
)
def _(model, targets, rank, alpha):
    _put(model, targets, rank, alpha)
    return [name for name, p in model.named_parameters() if p.requires_grad]


@add_lora.mistake(
    "the names of all linear layers",
    hint="You return the names of all linear layers. Asked for are those with an adapter.",
)
def _(model, targets, rank, alpha):
    names = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    _put(model, targets, rank, alpha)
    return names


@add_lora.mistake(
    "the targets that were found",
    hint="You return the targets. Asked for are the full names of the layers.",
)
def _(model, targets, rank, alpha):
    found = {name.rpartition(".")[2] for name in _put(model, targets, rank, alpha)}
    return [target for target in targets if target in found]


@add_lora.mistake(
    "the names sorted from the end",
    hint="You sort the names, the last of the alphabet first. Keep the order of the model.",
)
def _(model, targets, rank, alpha):
    return sorted(_put(model, targets, rank, alpha), reverse=True)


@add_lora.mistake(
    "each name in one text",
    hint="You join the names to a text. Return them as a list.",
)
def _(model, targets, rank, alpha):
    return ", ".join(_put(model, targets, rank, alpha))


def _copied(p):
    return p.detach().clone()


def _kept(
    name, hint, chosen=lambda name, p: p.requires_grad, tensor=_copied, key=lambda name: name
):
    @adapter_state.mistake(name, hint=hint)
    def _(model):
        pairs = list(model.named_parameters())
        return {key(name): tensor(p) for name, p in pairs if chosen(name, p)}


_kept(
    "the names from the last dot but one on",
    "You shorten the names. They are the full ones, of `named_parameters()`.",
    key=lambda name: ".".join(name.split(".")[-2:]),
)
_kept(
    "the names without their last part",
    "You leave out the last part of the names, so A and B of a layer share one.",
    key=lambda name: name.rpartition(".")[0],
)
_kept(
    "the names without their first part",
    "You cut the first part off the names. They are the full ones.",
    key=lambda name: name.partition(".")[2],
)
_kept(
    "names as other libraries write them",
    "You put a prefix in front of names, as `peft` does. They are those of `named_parameters()`.",
    key=lambda name: "base_model.model." + name,
)
_kept(
    "names with underscores for dots",
    "You write underscores for dots. The names are those of `named_parameters()`.",
    key=lambda name: name.replace(".", "_"),
)
_kept(
    "in bfloat16",
    "You round to bfloat16. Copies have the format of the parameters.",
    tensor=lambda p: p.detach().bfloat16(),
)
_kept(
    "in single precision",
    "You turn all into single precision. Copies have the format of the parameters.",
    tensor=lambda p: p.detach().clone().float(),
)
_kept(
    "as lists",
    "You turn tensors into lists. Keep tensors.",
    tensor=lambda p: p.detach().tolist(),
)
_kept(
    "transposed",
    "You transpose the matrices. Keep them as they are.",
    tensor=lambda p: p.detach().clone().t() if p.ndim == 2 else p.detach().clone(),
)
_kept(
    "shapes",
    "You keep the shapes. Wanted are the tensors.",
    tensor=lambda p: tuple(p.shape),
)
_kept(
    "zeros of their shape",
    "You keep zeros of the right shape. Wanted are the numbers.",
    tensor=lambda p: torch.zeros_like(p, requires_grad=False),
)
_kept(
    "only what has had a gradient",
    "You keep what has a gradient by now. What learns says `requires_grad`.",
    chosen=lambda name, p: p.requires_grad and p.grad is not None,
)
_kept(
    "names that end in a capital A",
    "You keep the As alone. Bs belong to the file, too.",
    chosen=lambda name, p: p.requires_grad and name.endswith("A"),
)
_kept(
    "names that end in a capital B",
    "You keep the Bs alone. As belong to the file, too.",
    chosen=lambda name, p: p.requires_grad and name.endswith("B"),
)


@adapter_state.mistake(
    "the names alone",
    hint="You return the names. Wanted are the tensors, by name.",
)
def _(model):
    return [name for name, p in model.named_parameters() if p.requires_grad]


@adapter_state.mistake(
    "all in one row",
    hint="You put all numbers into one row. Wanted is a dictionary, a tensor for each name.",
)
def _(model):
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


@adapter_state.mistake(
    "the products of B and A",
    hint="You keep the products. Wanted is each parameter that learns, by its name.",
)
def _(model):
    kept = {}
    for name, p in model.named_parameters():
        if name.endswith(".A") and p.requires_grad:
            layer = model.get_submodule(name.removesuffix(".A"))
            kept[name.removesuffix(".A")] = (layer.B @ layer.A).detach()
    return kept


@adapter_state.mistake(
    "a dictionary for each layer",
    hint="You make a dictionary of dictionaries, one for each layer. Wanted is a flat one.",
)
def _(model):
    kept = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            layer, _, leaf = name.rpartition(".")
            kept.setdefault(layer, {})[leaf] = p.detach().clone()
    return kept


@adapter_state.mistake(
    "copies of the whole state",
    hint="You copy all of `state_dict()`, which has the base in it. Take what learns alone.",
)
def _(model):
    return {name: _copied(tensor) for name, tensor in model.state_dict().items()}
