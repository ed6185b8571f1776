import torch

from llmcourse.nn.cache import KVCache


def test_what_is_appended_comes_back_in_order():
    cache = KVCache(2)
    k, v = torch.randn(2, 1, 2, 5, 3)
    for start, stop in ((0, 2), (2, 3), (3, 5)):
        held = cache.update(1, k[:, :, start:stop], v[:, :, start:stop])
        assert torch.equal(held[0], k[:, :, :stop])
        assert torch.equal(held[1], v[:, :, :stop])


def test_lengths():
    """Within a forward pass the first layer is ahead of the whole model."""
    cache = KVCache(2)
    assert cache.length == 0
    new = torch.zeros(1, 2, 3, 4)
    cache.update(0, new, new)
    assert (cache.length_of(0), cache.length_of(1), cache.length) == (3, 0, 0)
    cache.update(1, new, new)
    assert cache.length == 3


def test_what_is_held_can_be_read_without_adding():
    cache = KVCache(2)
    k, v = torch.randn(2, 1, 2, 5, 3)
    cache.update(1, k, v)
    held = cache.get(1)
    assert torch.equal(held[0], k)
    assert torch.equal(held[1], v)
    assert cache.length == 5
