import errno
import json
import os
import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.data.windows import Windows, sidecar, write_tokens
from llmcourse.errors import UserError


def write(path, ids, vocab_size=1000):
    write_tokens(path, [np.array(ids, dtype=np.uint32)], vocab_size)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("windows") / "tokens.bin"


# --- writing -------------------------------------------------------------------------------------


@given(chunks=st.lists(st.lists(st.integers(0, 999))))
def test_what_was_written_is_read(scratch, chunks):
    flat = [token_id for chunk in chunks for token_id in chunk]
    arrays = (np.array(chunk, dtype=np.int64) for chunk in chunks)
    assert write_tokens(scratch, arrays, 1000) == len(flat)
    if flat:
        assert Windows(scratch, 1).tokens.tolist() == flat


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(257, "<u2"), (65536, "<u2"), (65537, "<u4"), (200_000, "<u4")]
)
def test_ids_take_two_bytes_where_the_vocabulary_allows(tmp_path, vocab_size, dtype):
    path = write(tmp_path / "t.bin", [0, vocab_size - 1], vocab_size)
    assert json.loads(sidecar(path).read_text()) == {
        "dtype": dtype,
        "count": 2,
        "vocab_size": vocab_size,
    }
    assert path.stat().st_size == 2 * np.dtype(dtype).itemsize
    assert Windows(path, 2).window(0).tolist() == [0, vocab_size - 1]


@pytest.mark.parametrize(
    ("ids", "vocab_size"), [([5, 10], 10), ([70_000], 65_536), ([-1, 3], 10), ([2**40], 70_000)]
)
def test_an_id_outside_the_vocabulary_is_refused_and_nothing_written(tmp_path, ids, vocab_size):
    wrong = ids[-1] if ids[-1] >= vocab_size else ids[0]
    with pytest.raises(UserError, match=f"token id {wrong} is not in a vocabulary of {vocab_size}"):
        write_tokens(tmp_path / "t.bin", [np.array(ids)], vocab_size)
    assert os.listdir(tmp_path) == []


def test_an_error_on_the_way_leaves_what_was_there(tmp_path):
    path = write(tmp_path / "t.bin", [1, 2, 3])

    def chunks():
        yield np.arange(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(path, chunks(), 10)
    assert sorted(os.listdir(tmp_path)) == ["t.bin", "t.bin.json"]
    assert Windows(path, 3).window(0).tolist() == [1, 2, 3]


@pytest.fixture
def files_of_at_most_64_kb():
    """The nearest to a full disk that a test may bring about: the system refuses to write on."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("files_of_at_most_64_kb")
def test_a_disk_without_room_is_an_oserror_and_leaves_nothing(tmp_path):
    chunks = (np.arange(1000) for _ in range(1000))
    with pytest.raises(OSError) as caught:
        write_tokens(tmp_path / "t.bin", chunks, 1000)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("before", ["t.bin", "t.bin.json"])
def test_ids_and_description_of_two_writes_never_meet(tmp_path, monkeypatch, before):
    """Killed before the one or the other, a run finds no description, and misreads nothing."""
    path = write(tmp_path / "t.bin", [1, 2, 3])
    replace = os.replace

    def killed(source, target):
        if os.path.basename(target) == before:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path, [7, 8, 9])
    with pytest.raises(UserError, match="is missing: prepare the data again"):
        Windows(path, 2)


# --- reading -------------------------------------------------------------------------------------


@given(
    count=st.integers(1, 40),
    length=st.integers(1, 12),
    overlap=st.integers(0, 3),
    offset=st.integers(0, 50),
)
def test_windows_are_slices_of_the_ring(scratch, count, length, overlap, offset):
    overlap = min(overlap, length - 1)
    write(scratch, range(count))
    if count < length:
        with pytest.raises(UserError, match=f"holds {count} tokens, a window takes {length}"):
            Windows(scratch, length, overlap)
        return
    windows = Windows(scratch, length, overlap)
    ring = list(range(count)) * 60
    for index in range(len(windows)):
        start = index * (length - overlap) + offset
        assert windows.window(index, offset).tolist() == ring[start : start + length]
    last = windows.window(len(windows) - 1)
    assert last.tolist() == sorted(last.tolist()), "without an offset nothing runs on"
    assert count - (last[-1] + 1) < windows.stride, "one more window would have fitted"


@given(count=st.integers(2, 60), length=st.integers(2, 9))
def test_an_overlap_of_one_makes_each_id_a_target_once(scratch, count, length):
    write(scratch, range(count))
    if count < length:
        return
    windows = Windows(scratch, length, overlap=1)
    targets = [token for index in range(len(windows)) for token in windows.window(index)[1:]]
    assert targets == list(range(1, len(targets) + 1))


def test_windows_are_wide_integers_and_a_copy(tmp_path):
    windows = Windows(write(tmp_path / "t.bin", range(10)), 4)
    window = windows.window(1)
    assert window.dtype == np.int64
    window[:] = 0
    assert windows.window(1).tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("index", [-1, 2])
def test_a_window_that_is_not_there_is_an_index_error(tmp_path, index):
    with pytest.raises(IndexError, match=f"window {index} of 2"):
        Windows(write(tmp_path / "t.bin", range(10)), 5).window(index)


def test_data_shorter_than_a_window_says_so(tmp_path):
    with pytest.raises(UserError, match=r"holds 3 tokens, a window takes 5: give more text or"):
        Windows(write(tmp_path / "t.bin", [1, 2, 3]), 5)


def test_no_data_at_all_says_so(tmp_path):
    with pytest.raises(UserError, match="holds 0 tokens, a window takes 5"):
        Windows(write(tmp_path / "t.bin", []), 5)


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_a_missing_file_is_said(tmp_path, suffix):
    path = write(tmp_path / "t.bin", range(9))
    os.remove(f"{path}{suffix}")
    with pytest.raises(UserError, match="is missing: prepare the data again"):
        Windows(path, 2)


def test_a_file_cut_short_is_said(tmp_path):
    path = write(tmp_path / "t.bin", range(9))
    os.truncate(path, 10)
    with pytest.raises(UserError, match="is damaged: 10 bytes where 9 ids take 18"):
        Windows(path, 2)


@pytest.mark.parametrize("content", ["", "[]", '{"dtype": "no"}', '{"dtype": "<u2"}', "null"])
def test_a_damaged_description_is_said(tmp_path, content):
    path = write(tmp_path / "t.bin", range(9))
    sidecar(path).write_text(content)
    with pytest.raises(UserError, match=r"t\.bin\.json is damaged"):
        Windows(path, 2)


# --- in memory -----------------------------------------------------------------------------------


@given(
    count=st.integers(1, 40),
    length=st.integers(1, 12),
    overlap=st.integers(0, 3),
    offset=st.integers(0, 50),
)
def test_windows_over_an_array_are_those_over_its_file(scratch, count, length, overlap, offset):
    if count < length or overlap >= length:
        return
    file = Windows(write(scratch, range(count)), length, overlap)
    for ids in (np.arange(count), np.arange(count, dtype=np.uint16), list(range(count))):
        array = Windows(ids, length, overlap)
        assert len(array) == len(file)
        for index in range(len(file)):
            found = array.window(index, offset)
            assert found.dtype == np.int64
            assert found.tolist() == file.window(index, offset).tolist()


def test_an_array_is_not_copied_and_a_window_is():
    ids = np.arange(9)
    windows = Windows(ids, 3)
    assert windows.tokens is ids
    windows.window(0)[:] = 7
    assert ids.tolist() == list(range(9))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            np.zeros((3, 4), dtype=int),
            r"one row of whole numbers, not from int64 of shape \[3, 4\]",
        ),
        (np.array([0.5, 1.0, 2.0]), "not from float64"),
        (np.array([True, False, True]), "not from bool"),
        (np.array([1, -2, 3]), "-2 is no token id"),
        (np.array([1, 2]), "the array holds 2 tokens, a window takes 3"),
        ([], "the array holds 0 tokens, a window takes 3"),
    ],
)
def test_an_array_that_holds_no_ids_is_refused(unchecked, ids, message):
    with pytest.raises(UserError, match=message) as caught:
        Windows(ids, 3)
    assert "\n" not in str(caught.value)
