"""Each row of a ragged batch is what it is alone; caches are equal, and as large as counted."""

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.decode import generate
from llmcourse.generate.ragged import generate_ragged, left_padded
from llmcourse.generate.sampling import greedy
from llmcourse.nn.cache import KVCache, StaticKVCache, cache_bytes

PROMPTS = [[1, 2, 3, 4, 5], [6], [2, 2, 0]]


@pytest.mark.parametrize("recipe", ["modern", "gpt2"])
@pytest.mark.parametrize("positions", ["rope", "learned", "alibi"])
def test_each_row_is_its_own_decoding(make_wild, recipe, positions):
    model = make_wild(recipe, positions=positions)
    together = generate_ragged(model, PROMPTS, max_new_tokens=9)
    for prompt, row in zip(PROMPTS, together, strict=True):
        alone = generate(model, torch.tensor([prompt]), max_new_tokens=9, sampler=greedy)
        assert row == [int(t) for t in alone]


def test_left_padding_by_hand():
    padded = left_padded([[7, 8, 9], [5]])
    assert padded.ids.tolist() == [[7, 8, 9], [0, 0, 5]]
    assert padded.is_text.tolist() == [[True] * 3, [False, False, True]]
    assert padded.positions.tolist() == [[0, 1, 2], [0, 0, 0]]
    with pytest.raises(UserError, match="a prompt is empty"):
        left_padded([[1], []])


def test_a_static_cache_is_a_growing_one_written_in_place(make_wild):
    model = make_wild(n_kv_heads=2)
    grown, static = KVCache(2), StaticKVCache(2, 10)
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    for piece in (ids[:, :3], ids[:, 3:4], ids[:, 4:]):
        a, b = (model(piece, cache=cache).logits for cache in (grown, static))
        assert torch.equal(a, b)
    for cache in (grown, static):
        cache.truncate(4)
        cache.reorder(torch.tensor([0, 0]))
        assert cache.length == 4
        again = model(ids[:, 4:].expand(2, -1), cache=cache).logits
        torch.testing.assert_close(again, model(ids).logits[:, 4:].expand(2, -1, -1))
    held = sum(t.numel() for layer in range(2) for t in grown.get(layer)) * 8
    assert held == cache_bytes(model.config, 2, 6, bytes_each=8)
    with pytest.raises(UserError, match="do not fit into a cache made for 10"):
        model(ids.expand(2, -1), cache=static)
