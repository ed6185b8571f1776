"""Right and wrong answers to chapter 13's exercises on LoRA, in the styles people write them."""

import torch
import torch.nn.functional as F
from others_answers import right_answers, wrong_answers
from torch import nn

from llmcourse.checks.bank import adapted_models, adapters


def forward_by_einsum(x, W, A, B, alpha):
    W = W.clone().detach()
    delta = torch.einsum("or,ri->oi", B, A) * (alpha / A.shape[0])
    return torch.einsum("...i,oi->...o", x, W + delta)


def forward_by_linear(x, W, A, B, alpha):
    return F.linear(x, W.detach() + alpha * (B @ A) / B.shape[1])


def forward_in_two_steps(x, W, A, B, alpha):
    base = torch.matmul(x, W.data.transpose(0, 1))
    return base.add(x.matmul(A.t()).mul(alpha / A.size(0)).matmul(B.t()))


def merged_by_einsum(W, updates, strengths):
    parts = [
        s * a / A.size(0) * torch.einsum("or,ri->oi", B, A)
        for (A, B, a), s in zip(updates, strengths, strict=True)
    ]
    return sum(parts, W.clone())


def merged_by_concatenation(W, updates, strengths):
    if not updates:
        return W.clone()
    A = torch.cat([A for A, _, _ in updates])
    scaled = [s * alpha / len(A) * B for (A, B, alpha), s in zip(updates, strengths, strict=True)]
    return W + torch.cat(scaled, dim=1) @ A


def merged_one_by_one(W, updates, strengths):
    found = W + 0
    for n in range(len(updates)):
        A, B, alpha = updates[n]
        for r in range(A.shape[0]):
            found = found + strengths[n] * alpha / A.shape[0] * torch.outer(B[:, r], A[r])
    return found


class Beside(nn.Module):
    """An adapter of two linear layers."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.base, self.scale = base, alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * self.up(self.down(x))


def lora_by_two_layers(model, targets, rank, alpha):
    for parameter in model.parameters():
        parameter.requires_grad = False
    names = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.split(".")[-1] in targets:
            *path, leaf = name.split(".")
            parent = model
            for step in path:
                parent = getattr(parent, step) if not step.isdigit() else parent[int(step)]
            parent.add_module(leaf, Beside(module, rank, alpha))
            names.append(name)
    return names


def lora_by_recursion(model, targets, rank, alpha):
    model.requires_grad_(False)

    def visit(module, before):
        found = []
        for leaf, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and leaf in targets:
                module._modules[leaf] = Beside(child, rank, alpha)
                found.append(before + leaf)
            else:
                found += visit(child, f"{before}{leaf}.")
        return found

    return tuple(visit(model, ""))


class Parametrized(nn.Module):
    """An adapter as a parametrization of the weight."""

    def __init__(self, weight, rank, alpha):
        super().__init__()
        self.A = nn.Parameter(torch.randn(rank, weight.size(1)) / weight.size(1) ** 0.5)
        self.B = nn.Parameter(torch.zeros(weight.size(0), rank))
        self.scale = alpha / rank

    def forward(self, weight):
        return weight + self.scale * self.B @ self.A


def lora_by_parametrization(model, targets, rank, alpha):
    model.requires_grad_(False)
    named = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    chosen = [(n, m) for n, m in named if n.rpartition(".")[2] in targets]
    for _, layer in chosen:
        nn.utils.parametrize.register_parametrization(
            layer, "weight", Parametrized(layer.weight, rank, alpha)
        )
    return [name for name, _ in chosen]


def state_by_the_state_dict(model):
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    return {name: t.clone() for name, t in model.state_dict().items() if name in learns}


def state_in_a_loop(model):
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found[name] = parameter.data.clone()
    return found


def state_without_a_graph(model):
    with torch.no_grad():
        return {n: p.clone() for n, p in model.named_parameters() if p.requires_grad}


def forward_rank_by_rank(x, W, A, B, alpha):
    flat = x.reshape(-1, x.shape[-1])
    y = flat @ W.detach().T
    for r in range(len(A)):
        y = y + alpha / len(A) * torch.outer(flat @ A[r], B[:, r])
    return y.reshape(*x.shape[:-1], -1)


def forward_with_a_switch(x, W, A, B, alpha):
    W.requires_grad_(False)
    return x @ W.T + x @ A.T @ B.T * (alpha / len(A))


def merged_by_addmm(W, updates, strengths):
    found = W.clone()
    for (A, B, alpha), strength in zip(updates, strengths, strict=True):
        found = torch.addmm(found, B, A, alpha=strength * alpha / len(A))
    return found


class AsALinear(nn.Linear):
    """An adapted layer that is a linear layer itself, with the base's own parameters."""

    def __init__(self, base, rank, alpha):
        super().__init__(base.in_features, base.out_features, base.bias is not None)
        self.weight, self.bias = base.weight, base.bias
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.factor = alpha / rank

    def forward(self, x):
        return super().forward(x) + self.factor * (x @ self.A.T @ self.B.T)


def lora_while_walking(model, targets, rank, alpha, make=AsALinear, frozen=True):
    model.requires_grad_(not frozen)
    names = []
    for name, layer in list(model.named_modules()):
        before, _, leaf = name.rpartition(".")
        if isinstance(layer, nn.Linear) and leaf in targets:
            setattr(model.get_submodule(before), leaf, make(layer, rank, alpha))
            names.append(name)
    return names


def base_without_a_graph(x, W, A, B, alpha):
    with torch.no_grad():
        base = x @ W.T
    return base + alpha / len(A) * (x @ A.T @ B.T)


def the_base_comes_back(W, updates, strengths):
    for (A, B, alpha), strength in zip(updates, strengths, strict=True):
        W = W + strength * alpha / len(A) * B @ A
    return W


def a_view_comes_back(W, updates, strengths):
    return the_base_comes_back(W.view_as(W), updates, strengths)


def a_mixture(W, updates, strengths):
    return (1 - sum(strengths)) * W + merged_by_einsum(torch.zeros_like(W), updates, strengths)


class Wide(AsALinear):
    """A begins too large."""

    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.normal_(self.A)


class CutOff(Beside):
    """Nothing flows back through the base."""

    def forward(self, x):
        with torch.no_grad():
            base = self.base(x)
        return base + self.scale * self.up(self.down(x))


def too_large(model, targets, rank, alpha):
    return lora_while_walking(model, targets, rank, alpha, make=Wide)


def cut_off(model, targets, rank, alpha):
    return lora_while_walking(model, targets, rank, alpha, make=CutOff)


def anywhere(model, targets, rank, alpha):
    found = {leaf for name, _ in model.named_modules() for leaf in name.split(".")[-1:]}
    return lora_while_walking(
        model, [leaf for leaf in found if any(t in leaf for t in targets)], rank, alpha
    )


def nothing_comes_back(model, targets, rank, alpha):
    lora_by_recursion(model, targets, rank, alpha)


def those_called_lora(model):
    return {n: t for n, t in state_in_a_loop(model).items() if "lora" in n}


def halved(model):
    return {n: t.to(torch.float16) for n, t in state_in_a_loop(model).items()}


def switched_off(model):
    learns = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return {n: p.requires_grad_(False).clone() for n, p in learns}


STYLES = {
    adapters.lora_forward: (
        forward_by_einsum,
        forward_by_linear,
        forward_in_two_steps,
        forward_rank_by_rank,
        forward_with_a_switch,
    ),
    adapters.merged_weight: (
        merged_by_einsum,
        merged_by_concatenation,
        merged_one_by_one,
        merged_by_addmm,
    ),
    adapted_models.add_lora: (
        lora_by_two_layers,
        lora_by_recursion,
        lora_by_parametrization,
        lora_while_walking,
    ),
    adapted_models.adapter_state: (state_by_the_state_dict, state_in_a_loop, state_without_a_graph),
}
RIGHT = [(check, answer) for check, answers in STYLES.items() for answer in answers]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


WRONG = [
    (adapters.lora_forward, base_without_a_graph, "x gets no gradient through W"),
    (adapters.merged_weight, the_base_comes_back, "W itself without adapters"),
    (adapters.merged_weight, a_view_comes_back, "W itself without adapters"),
    (adapters.merged_weight, a_mixture, "the strength takes from W, too"),
    (adapted_models.add_lora, too_large, "A is too large at first"),
    (adapted_models.add_lora, cut_off, "no gradient flows back through the base"),
    (adapted_models.add_lora, anywhere, None),
    (adapted_models.add_lora, nothing_comes_back, "nothing is returned"),
    (adapted_models.adapter_state, those_called_lora, "found by its name"),
    (adapted_models.adapter_state, halved, "in half precision"),
    (adapted_models.adapter_state, switched_off, "the model does not learn any more"),
]


test_a_wrong_answer_hears_its_cause = wrong_answers(WRONG)


def test_the_update_keeps_most_in_few_directions():
    sizes = torch.linalg.svdvals(adapters.full_update()).square()
    share = [(sizes[:rank].sum() / sizes.sum()).item() for rank in (1, 2, 4, 8, 16)]
    assert share == sorted(share)
    assert share[2] > 0.85
    assert share[3] - share[2] < 0.08
    assert adapters.kept_at_four.verdict(share[2]).status == "passed"
    assert adapters.kept_at_four.verdict(share[3]).status == "wrong"
