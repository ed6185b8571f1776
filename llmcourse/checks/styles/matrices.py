"""Right answers in another style: attention, positions and blocks. No chapter teaches this."""

import math

import torch
from torch import Tensor

CHAPTERS = ("03", "04", "05")


def attention_scores(q: Tensor, k: Tensor) -> Tensor:
    width = q.size(-1)
    products = torch.einsum("btk,bsk->bts", q, k)
    return products / math.sqrt(width)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> Tensor:
    scores = torch.einsum("btk,bsk->bts", q, k) / math.sqrt(q.size(-1))
    if mask is None:
        return scores.softmax(dim=-1) @ v
    seen = mask.expand_as(scores)
    weights = scores.masked_fill(~seen, -1e30).softmax(dim=-1) * seen
    return torch.einsum("bts,bsk->btk", weights, v)


def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    mask = torch.zeros(n_queries, n_keys, dtype=torch.bool)
    for query in range(n_queries):
        place = n_keys - n_queries + query
        for key in range(n_keys):
            mask[query, key] = key <= place
    return mask


def merge_heads(x: Tensor) -> Tensor:
    heads = [x[:, head] for head in range(x.size(1))]
    return torch.cat(heads, dim=-1)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    width = x.size(-1) // n_heads
    heads = [x[..., head * width : (head + 1) * width] for head in range(n_heads)]
    return torch.stack(heads, dim=1)


def repeat_kv(x: Tensor, n_heads: int) -> Tensor:
    groups = x.size(1)
    rows = [x[:, head // (n_heads // groups)] for head in range(n_heads)]
    return torch.stack(rows, dim=1)


def alibi_bias(n_heads: int, n_queries: int, n_keys: int) -> Tensor:
    bias = torch.zeros(n_heads, n_queries, n_keys)
    for head in range(n_heads):
        slope = 2 ** (-8 * (head + 1) / n_heads)
        for query in range(n_queries):
            for key in range(n_keys):
                place = n_keys - n_queries + query
                bias[head, query, key] = -slope * abs(place - key)
    return bias


def sinusoids(n_positions: int, d_model: int) -> Tensor:
    table = torch.zeros(n_positions, d_model)
    for position in range(n_positions):
        for column in range(0, d_model, 2):
            angle = position / 10000 ** (column / d_model)
            table[position, column] = math.sin(angle)
            table[position, column + 1] = math.cos(angle)
    return table


def rope(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    half = x.size(-1) // 2
    speeds = torch.exp(-math.log(theta) * torch.arange(half) / half)
    angles = positions[:, None] * speeds
    cosine, sine = torch.cos(angles), torch.sin(angles)
    left, right = x[:, :half], x[:, half:]
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)


def interpolated_angles(n_positions: int, head_dim: int, theta: float, factor: float) -> Tensor:
    angles = torch.zeros(n_positions, head_dim // 2)
    for position in range(n_positions):
        for pair in range(head_dim // 2):
            angles[position, pair] = position / factor / theta ** (2 * pair / head_dim)
    return angles


def layer_norm(hidden: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    width = hidden.size(-1)
    mean = hidden.sum(dim=-1, keepdim=True) / width
    variance = ((hidden - mean) ** 2).sum(dim=-1, keepdim=True) / width
    normal = (hidden - mean) / torch.sqrt(variance + eps)
    return weight * normal + bias


def rms_norm(hidden: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    width = hidden.size(-1)
    squares = (hidden**2).sum(dim=-1, keepdim=True)
    return weight * hidden / torch.sqrt(squares / width + eps)


def swiglu(hidden: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    opened = torch.einsum("btd,fd->btf", hidden, gate)
    passed = torch.einsum("btd,fd->btf", hidden, up)
    opened = opened * torch.sigmoid(opened)
    return torch.einsum("btf,df->btd", opened * passed, down)


def initial_std(shape: tuple[int, int], rule: str) -> float:
    if rule == "kaiming":
        return math.sqrt(2 / shape[1])
    if rule == "kaiming_out":
        return math.sqrt(2 / shape[0])
    return math.sqrt(1 / ((shape[0] + shape[1]) / 2))


def block_parameters(d_model: int, n_heads: int, n_kv_heads: int, head_dim: int, d_ff: int) -> int:
    q_proj = d_model * n_heads * head_dim
    k_proj = d_model * n_kv_heads * head_dim
    v_proj = d_model * n_kv_heads * head_dim
    o_proj = n_heads * head_dim * d_model
    gate, up, down = d_model * d_ff, d_model * d_ff, d_ff * d_model
    norm1, norm2 = d_model, d_model
    return q_proj + k_proj + v_proj + o_proj + gate + up + down + norm1 + norm2


def positions_of_new(n_cached: int, n_new: int) -> Tensor:
    return torch.tensor([n_cached + new for new in range(n_new)], dtype=torch.long)
