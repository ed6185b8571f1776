import numpy as np
import pytest
import torch
from numerics import close, in_double

from llmcourse.data.documents import Document
from llmcourse.data.packing import best_fit, one_each, pack, pack_rows, restart_positions
from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn import masks
from llmcourse.objectives.base import token_loss
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer


def test_each_document_is_followed_by_the_end_token():
    tokenizer = ByteTokenizer()
    arrays = list(pack([Document("ab", "1"), Document("", "2"), Document("é", "3")], tokenizer))
    assert [array.tolist() for array in arrays] == [
        [97, 98, 256],
        [256],
        [0xC3, 0xA9, 256],
    ]
    assert {array.dtype for array in arrays} == {np.dtype(np.uint32)}


def test_documents_are_read_one_at_a_time():
    read = []

    def documents():
        for name in "abc":
            read.append(name)
            yield Document(name, name)

    arrays = pack(documents(), ByteTokenizer())
    assert read == []
    next(arrays)
    assert read == ["a"]


# Rows of whole documents


def fewest_rows(lengths: tuple[int, ...], room: int) -> int:
    """By trying every way to share the pieces out."""
    rooms: list[int] = []

    def place(index: int) -> int:
        if index == len(lengths):
            return len(rooms)
        found = []
        for row in range(len(rooms)):
            if rooms[row] >= lengths[index]:
                rooms[row] -= lengths[index]
                found.append(place(index + 1))
                rooms[row] += lengths[index]
        rooms.append(room - lengths[index])
        found.append(place(index + 1))
        rooms.pop()
        return min(found)

    return place(0)


def draw_lengths(seed: int, n: int, longest: int) -> list[int]:
    return np.random.default_rng(seed).integers(1, longest + 1, n).tolist()


def test_best_fit_by_hand():
    assert best_fit([3, 5, 2, 4], 7) == [[1, 2], [3, 0]]  # 5 + 2 and 4 + 3
    assert best_fit([], 7) == []
    assert best_fit([7, 7], 7) == [[0], [1]]


@pytest.mark.parametrize("seed", range(20))
def test_best_fit_needs_hardly_more_rows_than_there_must_be(seed):
    lengths = draw_lengths(seed, n=8, longest=9)
    rows = best_fit(lengths, 10)
    assert sorted(index for row in rows for index in row) == list(range(8))
    assert all(sum(lengths[index] for index in row) <= 10 for row in rows)
    assert len(rows) <= 11 / 9 * fewest_rows(tuple(lengths), 10) + 1


def test_each_piece_goes_where_it_leaves_least_room():
    """Against the same rule by plain search."""
    lengths = draw_lengths(1, n=200, longest=64)
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [row for row, room in enumerate(rooms) if room >= length]
        row = min(fits, key=lambda row: rooms[row], default=None)
        if row is None:
            rooms.append(64 - length)
        else:
            rooms[row] -= length
    ours = best_fit(lengths, 64)
    assert sorted(64 - sum(lengths[i] for i in row) for row in ours) == sorted(rooms)


def test_rows_by_hand():
    rows = pack_rows([np.array([5, 6, 7]), np.array([8, 9])], 6, pad_id=1)
    assert rows.ids.tolist() == [[5, 6, 7, 8, 9, 1]]
    assert rows.documents.tolist() == [[1, 1, 1, 2, 2, 0]]
    assert rows.positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    assert rows.targets().tolist() == [[6, 7, -100, 9, -100, -100]]
    assert rows.padding == 1 / 6
    alone = pack_rows([np.array([5, 6, 7]), np.array([8, 9])], 6, fit=one_each)
    assert alone.ids.tolist() == [[5, 6, 7, 0, 0, 0], [8, 9, 0, 0, 0, 0]]
    assert alone.padding == 7 / 12


def test_no_token_is_lost_and_long_documents_are_cut():
    documents = [np.arange(n) + 100 * n for n in (3, 25, 1, 8, 0, 10)]
    rows = pack_rows(documents, 10)
    kept = sorted(rows.ids[rows.documents > 0].tolist())
    assert kept == sorted(np.concatenate(documents).tolist())
    assert rows.positions.max() == 9


def test_positions_restart_with_each_document():
    rows = pack_rows([np.arange(n) for n in draw_lengths(2, n=40, longest=16)], 32)
    ours = restart_positions(rows.documents)
    real = rows.documents > 0
    assert np.array_equal(ours[real], rows.positions[real])
    assert restart_positions(np.array([[1, 1, 2, 2, 2]])).tolist() == [[0, 1, 0, 1, 2]]


@pytest.mark.parametrize("recipe", [gpt2_recipe, modern_recipe])
def test_packed_is_separate(recipe):
    """Logits and gradients of documents that share rows are those of documents alone."""
    model = in_double(
        lambda: GPT(recipe(vocab_size=50, context_length=16, d_model=16, n_layers=2, n_heads=2))
    )
    rng = np.random.default_rng(0)
    documents = [rng.integers(50, size=n) for n in (7, 5, 9, 2, 4, 12)]
    sums, gradients = [], []
    for fit in (one_each, best_fit):
        rows = pack_rows(documents, 16, fit=fit)
        ids, numbers, positions, targets = map(
            torch.from_numpy, (rows.ids, rows.documents, rows.positions, rows.targets())
        )
        model.zero_grad()
        logits = model(ids, mask=masks.document(numbers), positions=positions).logits
        loss = token_loss(logits, targets)
        loss.total.backward()
        sums.append(torch.stack([loss.total.detach(), loss.count.double()]))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        if fit is best_fit:
            assert len(ids) < len(documents)
            leaky = model(ids, positions=positions).logits
            assert not torch.allclose(leaky, logits)
    close(sums[0], sums[1], largest=10)
    close(gradients[0], gradients[1], largest=0.1)


def test_what_cannot_be_packed():
    with pytest.raises(UserError, match="does not fit into 4"):
        best_fit([5], 4)
    with pytest.raises(UserError, match="nothing to pack"):
        pack_rows([np.array([], dtype=np.int64)], 4)
    with pytest.raises(UserError, match="length=0"):
        pack_rows([np.array([1])], 0)
