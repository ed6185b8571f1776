"""Answers to the exercises of chapter 17 in people's own styles: right ones, and wrong ones."""

import functools
import itertools
import json
import re
import struct

import numpy as np
import torch
from others_answers import catalogued_answers, right_answers

from llmcourse.checks.bank import quantising, serving, shipping

CHECKS = {**vars(shipping), **vars(quantising), **vars(serving)}


def header_by_struct(data):
    (length,) = struct.unpack("<Q", data[:8])
    found = json.loads(data[8 : length + 8].decode("utf-8"))
    found.pop("__metadata__", None)
    return {name: list(entry["shape"]) for name, entry in found.items()}


def header_in_a_loop(data):
    length, shapes = sum(byte << (8 * place) for place, byte in enumerate(data[:8])), {}
    for name, entry in json.loads(str(data[8 : 8 + length], "utf-8")).items():
        if "shape" in entry:
            shapes[name] = entry["shape"]
    return shapes


def header_by_stream(data):
    import io

    file = io.BytesIO(data)
    size = int(np.frombuffer(file.read(8), "<u8")[0])
    header = json.loads(file.read(size))
    return {key: header[key]["shape"] for key in header if key != "__metadata__"}


def header_without_underscores(data):
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    return {key: header[key]["shape"] for key in header if not key.startswith("__")}


def int8_row_by_row(weight):
    values, scales = torch.zeros(weight.shape, dtype=torch.int8), weight.new_ones(len(weight), 1)
    for at, row in enumerate(weight):
        if row.abs().max() > 0:
            scales[at] = row.abs().max() / 127
        values[at] = torch.round(row / scales[at]).to(torch.int8)
    return values, scales


def int8_by_norm(weight):
    scales = torch.linalg.vector_norm(weight, float("inf"), dim=1, keepdim=True) / 127
    scales[scales == 0] = 1
    return (weight / scales).round_().clamp(-128, 127).char(), scales


def int8_by_masked_fill(weight):
    largest = torch.maximum(weight.amax(1), -weight.amin(1)).unsqueeze(1)
    scales = (largest / 127).masked_fill(largest == 0, 1.0)
    return torch.div(weight, scales).round().type(torch.int8), scales


def bytes_in_one_line(shapes):
    return sum(
        shape[0] * (shape[1] + 4) if len(shape) == 2 else 4 * int(np.prod(shape))
        for shape in shapes
    )


def bytes_from_float32(shapes):
    total = 0
    for shape in shapes:
        n = 1
        for size in shape:
            n *= size
        total += n * 4
        if len(shape) == 2:
            total -= 3 * n - 4 * shape[0]
    return total


def bytes_of_real_tensors(shapes):
    total = 0
    for shape in shapes:
        kind = torch.int8 if len(shape) == 2 else torch.float32
        total += torch.zeros(shape, dtype=kind).nbytes + (4 * shape[0] if len(shape) == 2 else 0)
    return total


def stream_line_by_line(wire):
    said = []
    for line in wire.splitlines():
        if line == "data: [DONE]":
            break
        if line.startswith("data: "):
            said.append(json.loads(line[len("data: ") :])["choices"][0]["delta"].get("content"))
    return "".join(piece for piece in said if piece is not None)


def stream_cut_first(wire):
    before, _, _ = (
        wire.partition("data: [DONE]\n\n")
        if wire.startswith("data: [DONE]")
        else (
            wire.split("\n\ndata: [DONE]\n\n")[0],
            "",
            "",
        )
    )
    events = [event for event in before.split("\n\n") if event[:6] == "data: "]
    deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in events]
    return "".join(delta["content"] for delta in deltas if "content" in delta)


def stream_by_while(wire):
    text = ""
    while wire:
        event, _, wire = wire.partition("\n\n")
        if event == "data: [DONE]":
            return text
        if event.startswith("data:"):
            text += json.loads(event[5:])["choices"][0]["delta"].get("content", "")
    return text


def batch_by_popping(running, waiting, room):
    queue, batch = list(waiting), []
    for name, left in running:
        if left - 1 > 0:
            batch.append((name, left - 1))
    while queue and len(batch) < room:
        batch.append(queue.pop(0))
    return batch, queue


def batch_by_deque(running, waiting, room):
    from collections import deque

    queue = deque(waiting)
    batch = [(n, k) for n, k in ((n, k - 1) for n, k in running) if k]
    batch += [queue.popleft() for _ in range(min(len(queue), max(0, room - len(batch))))]
    return batch, list(queue)


def batch_by_index(running, waiting, room):
    kept = [(name, left - 1) for name, left in running if left != 1]
    joined = [pair for at, pair in enumerate(waiting) if at < room - len(kept)]
    return kept + joined, waiting[len(joined) :]


def parity_by_cumprod(ours, theirs):
    same = ours.argmax(-1).eq(theirs.argmax(-1))
    return float(torch.dist(ours, theirs, p=float("inf"))), int(same.int().cumprod(0).sum())


def parity_by_numpy(ours, theirs):
    a, b = ours.numpy(), theirs.numpy()
    other = np.flatnonzero(a.argmax(1) != b.argmax(1))
    return np.abs(a - b).max(), other[0] if len(other) else len(a)


def parity_by_while(ours, theirs):
    at = 0
    while at < len(ours) and ours[at].argmax() == theirs[at].argmax():
        at += 1
    return (ours - theirs).abs().amax().item(), at


def header_by_hook(data):
    (length,) = struct.unpack_from("<q", data)
    pairs = json.loads(data[8 : 8 + length], object_pairs_hook=list)
    return {name: dict(entry)["shape"] for name, entry in pairs if name != "__metadata__"}


def header_by_safetensors(data):
    import safetensors.torch

    return {name: list(tensor.shape) for name, tensor in safetensors.torch.load(data).items()}


def int8_by_numpy(weight):
    a = weight.numpy()
    largest = np.abs(a).max(1, keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1).astype(a.dtype)
    return torch.from_numpy(np.rint(a / scales).astype(np.int8)), torch.from_numpy(scales)


def int8_in_plain_python(weight):
    values, scales = [], []
    for row in weight:
        largest = max(abs(x) for x in row)
        scale = largest / 127 if largest > 0 else torch.ones((), dtype=weight.dtype)
        scales.append([scale.item()])
        values.append([round((x / scale).item()) for x in row])
    return torch.tensor(values, dtype=torch.int8), torch.tensor(scales, dtype=weight.dtype)


def int8_on_a_copy(weight):
    x = weight.clone()
    scales = x.abs().amax(1).div_(127).unsqueeze_(1)
    scales[scales == 0] = 1
    x /= scales
    return x.round_().to(torch.int8), scales


def bytes_by_match(shapes):
    if not shapes:
        return 0
    match shapes[0]:
        case [out, width]:
            here = out * (width + 4)
        case other:
            here = 4 * functools.reduce(lambda a, b: a * b, other, 1)
    return here + bytes_by_match(shapes[1:])


def stream_by_pattern(wire):
    said = []
    for found in re.finditer(r"(?m)^data: (.*)$", wire):
        if found[1] == "[DONE]":
            break
        said.append(json.loads(found[1])["choices"][0]["delta"].get("content", ""))
    return "".join(said)


def stream_by_takewhile(wire):
    events = (event[6:] for event in wire.split("\n\n") if event.startswith("data: "))
    events = itertools.takewhile(lambda event: event != "[DONE]", events)
    return "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events)


def batch_by_recursion(running, waiting, room):
    def fill(batch, queue):
        full = not queue or len(batch) >= room
        return (batch, queue) if full else fill([*batch, queue[0]], queue[1:])

    return fill([(name, left - 1) for name, left in running if left >= 2], waiting)


def batch_by_dictionary(running, waiting, room):
    batch, queue = {name: left - 1 for name, left in running if left > 1}, dict(waiting)
    for name in list(queue):
        if len(batch) < room:
            batch[name] = queue.pop(name)
    return list(batch.items()), list(queue.items())


def parity_in_lists(ours, theirs):
    ours, theirs = ours.tolist(), theirs.tolist()
    rows = list(zip(ours, theirs, strict=True))
    largest = max(abs(x - y) for r, s in rows for x, y in zip(r, s, strict=True))
    for at, (r, s) in enumerate(rows):
        if r.index(max(r)) != s.index(max(s)):
            return largest, at
    return largest, len(rows)


def parity_by_recursion(ours, theirs):
    def count(at):
        over = at == len(ours) or ours[at].argmax() != theirs[at].argmax()
        return 0 if over else 1 + count(at + 1)

    return (ours - theirs).abs().flatten().sort().values[-1], count(0)


def header_of_all_the_rest(data):
    return {n: e["shape"] for n, e in json.loads(data[8:]).items() if n != "__metadata__"}


def header_up_to_the_last_brace(data):
    header = json.loads(data[8 : data.rindex(b"}") + 1])
    return {n: e["shape"] for n, e in header.items() if n != "__metadata__"}


def int8_in_int32(weight):
    values, scales = int8_by_norm(weight)
    return values.int(), scales


def int8_with_double_scales(weight):
    values, scales = int8_by_norm(weight)
    return values, scales.double()


def bytes_of_kernels_in_int8(shapes):
    return sum(
        int(np.prod(s)) + 4 * s[0] if len(s) > 1 else 4 * int(np.prod(s, dtype=int)) for s in shapes
    )


def stream_that_reads_comments(wire):
    said = ""
    for event in wire.split("\n\n"):
        if event == "data: [DONE]":
            break
        if "{" in event:
            delta = json.loads(event[event.index("{") :])["choices"][0]["delta"]
            said += delta.get("content", "")
    return said


def batch_sorted(running, waiting, room):
    batch, queue = batch_by_popping(running, waiting, room)
    return sorted(batch), queue


def batch_beside_the_running(running, waiting, room):
    return [(name, left - 1) for name, left in running if left > 1] + waiting[:room], waiting[room:]


def parity_at_the_likeliest(ours, theirs):
    chosen = ours.argmax(1, keepdim=True)
    _, count = parity_by_while(ours, theirs)
    return (ours - theirs).gather(1, chosen).abs().max().item(), count


def parity_of_the_unlikeliest(ours, theirs):
    largest, _ = parity_by_while(ours, theirs)
    return largest, parity_by_while(-ours, -theirs)[1]


WRONG = {
    "shapes_in": {
        header_of_all_the_rest: "reads more than the header",
        header_up_to_the_last_brace: "reads more than the header",
        header_without_underscores: "names that look like notes are left out",
    },
    "to_int8": {
        int8_in_int32: "whole numbers in int32",
        int8_with_double_scales: "float64 scales",
    },
    "int8_bytes": {bytes_of_kernels_in_int8: "more than two axes are taken for a matrix"},
    "text_of": {stream_that_reads_comments: "comments are read"},
    "next_batch": {
        batch_sorted: "sorted by name",
        batch_beside_the_running: "room for the new ones alone",
    },
    "parity": {
        parity_at_the_likeliest: "at the likeliest token alone",
        parity_of_the_unlikeliest: "the unlikeliest tokens",
    },
}

RIGHT = {
    "shapes_in": (
        header_by_struct,
        header_in_a_loop,
        header_by_stream,
        header_by_hook,
        header_by_safetensors,
    ),
    "to_int8": (
        int8_row_by_row,
        int8_by_norm,
        int8_by_masked_fill,
        int8_by_numpy,
        int8_in_plain_python,
        int8_on_a_copy,
    ),
    "int8_bytes": (bytes_in_one_line, bytes_from_float32, bytes_of_real_tensors, bytes_by_match),
    "text_of": (
        stream_line_by_line,
        stream_cut_first,
        stream_by_while,
        stream_by_pattern,
        stream_by_takewhile,
    ),
    "next_batch": (
        batch_by_popping,
        batch_by_deque,
        batch_by_index,
        batch_by_recursion,
        batch_by_dictionary,
    ),
    "parity": (
        parity_by_cumprod,
        parity_by_numpy,
        parity_by_while,
        parity_in_lists,
        parity_by_recursion,
    ),
}


test_a_right_answer_in_another_style_passes = right_answers(
    (CHECKS[name], one) for name, some in RIGHT.items() for one in some
)


test_a_wrong_answer_hears_its_cause = catalogued_answers(
    (CHECKS[name], one, cause) for name, some in WRONG.items() for one, cause in some.items()
)
