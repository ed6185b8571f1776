"""What the processes of `tests/train/test_sharding.py` do."""

import copy
from pathlib import Path

import numpy as np
import torch
from small_runs import small

from llmcourse.device import whole
from llmcourse.generate.seq2seq import generate_from_source
from llmcourse.models.registry import FAMILIES, family_of
from llmcourse.optim.muon import BatchedMuon
from llmcourse.parallel.world import Channel
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.train.assemble import build_model, build_objective
from llmcourse.train.checkpoint import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from llmcourse.train.distributed import Ranks, is_sharded
from llmcourse.train.sharding import shard

CPU = torch.device("cpu")


def gradients(model, task, batch) -> dict[str, torch.Tensor]:
    output = model(ids=batch.ids, **batch.extras)
    task.loss(output, batch).total.backward()
    return {name: whole(p.grad) for name, p in model.named_parameters() if p.grad is not None}


def families(channel: Channel) -> dict[str, tuple[float, float]]:
    """Of every family the largest gradient, and how far a model in slices is off from any."""
    found = {}
    for name in FAMILIES:
        options = {"objective__name": next(iter(FAMILIES[name].learns)), "model__family": name}
        settings = small("unused", **options, model__dropout=0.0, model__context_length=12)
        task = build_objective(settings, ByteTokenizer())
        torch.manual_seed(0)
        model = build_model(settings, 256 + 1 + len(task.special_tokens)).double()
        rng = np.random.default_rng(0)
        tokens = torch.from_numpy(rng.integers(97, 123, size=(4, task.window(12))))
        batch = task.prepare(tokens, rng)
        # Every process reads the same rows: the mean over processes is what one would compute.
        sliced = shard(copy.deepcopy(model), CPU)
        assert (is_sharded(sliced), is_sharded(model)) == (True, False)
        assert family_of(sliced) == name
        one, other = gradients(model, task, batch), gradients(sliced, task, batch)
        assert one.keys() == other.keys()
        largest = max(gradient.abs().max().item() for gradient in one.values())
        off = max((one[key] - other[key]).abs().max().item() for key in one)
        found[name] = largest, off
        if model.reads_source:
            asked = {"start_id": 1, "stop_id": 0, "max_new_tokens": 4}
            said = [generate_from_source(m, tokens[:1, :9], **asked) for m in (model, sliced)]
            assert said[0] == said[1]
    return found


def go_on(channel: Channel, folder: str, steps: int) -> dict[str, torch.Tensor]:
    """Take steps from the last checkpoint in a folder, write another, and return the weights."""
    ranks = Ranks(channel.rank, channel.size, CPU)
    torch.manual_seed(0)
    model = ranks.place(build_model(small("unused", model__dropout=0.0), 257), "fsdp")
    matrices = [p for name, p in model.named_parameters() if "_proj" in name]
    rest = [p for name, p in model.named_parameters() if "_proj" not in name]
    optimizers = [BatchedMuon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=0.01)]
    saved = list_checkpoints(Path(folder))
    state = load_checkpoint(saved[-1], model, optimizers) if saved else TrainState()
    while state.step < steps:
        generator = torch.Generator().manual_seed(state.step)
        ids = torch.randint(257, (4, 16), generator=generator)
        model(ids=ids).logits.logsumexp(-1).pow(2).mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        state.step += 1
    save_checkpoint(Path(folder), model, optimizers, state, 5, ranks)
    return {name: whole(tensor.detach()) for name, tensor in model.state_dict().items()}
