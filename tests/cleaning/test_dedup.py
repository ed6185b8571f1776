import errno
import itertools

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.cleaning.dedup import (
    LARGEST,
    Deduplicator,
    MemoryIndex,
    MinHasher,
    band_keys,
    collision_probability,
    estimate,
    fingerprint,
    jaccard,
    shingles,
)
from llmcourse.cleaning.dedup_index import disk_index
from llmcourse.errors import UserError

WORDS = [f"word{n}" for n in range(18)]


def twin(elements, n_hashes=128, seed=1) -> MinHash:
    """The library's signature."""
    made = MinHash(num_perm=n_hashes, seed=seed, scheme="affine32")
    made.update_batch([text.encode("utf-8", "surrogatepass") for text in elements])
    return made


def pair_of(similarity: float, size: int, tag: str) -> tuple[set[str], set[str]]:
    """Two sets of equal size and about this Jaccard similarity."""
    common = round(2 * size * similarity / (1 + similarity))
    shared = {f"{tag}/{n}" for n in range(common)}
    left = {f"{tag}/left/{n}" for n in range(size - common)}
    right = {f"{tag}/right/{n}" for n in range(size - common)}
    return shared | left, shared | right


def story(n: int, length: int = 60) -> str:
    rng = np.random.default_rng(n)
    return " ".join(rng.choice(WORDS, length))


@pytest.fixture(params=["memory", "disk"])
def index(request, tmp_path):
    if request.param == "memory":
        yield MemoryIndex()
    else:
        with disk_index(tmp_path / "index.sqlite") as index:
            yield index


# --- exact copies ---------------------------------------------------------------------------------


def test_a_fingerprint_sees_words_and_not_the_blanks_between_them():
    assert fingerprint("one two\n three ") == fingerprint("one  two three")
    assert (
        len({fingerprint(text) for text in ("one two", "onetwo", "One two", "one\0two", "")}) == 5
    )
    assert len(fingerprint("\ud800")) == 16


# --- shingles -------------------------------------------------------------------------------------


def test_shingles_are_stretches_of_words():
    assert shingles("The cat, the cat sat!", 2) == {"the cat", "cat the", "cat sat"}
    assert shingles("Too short") == {"too short"}
    assert shingles("...") == set()


def test_shingles_of_chinese_are_stretches_of_characters():
    assert shingles("床前明月光，疑是", 5) == {"床前明月光", "前明月光疑", "明月光疑是"}


def test_a_shingle_needs_a_word():
    with pytest.raises(UserError, match="n=0 words make no shingle"):
        shingles("text", 0)


def test_jaccard_counts_what_is_common():
    assert jaccard({"a", "b", "c"}, {"b", "c", "d"}) == 0.5
    assert jaccard(set(), {"a"}) == 0
    assert jaccard(set(), set()) == 1


# --- signatures -----------------------------------------------------------------------------------


@given(
    st.sets(st.text(max_size=8), max_size=30),
    st.sampled_from([1, 16, 128]),
    st.integers(0, 2**32 - 1),
)
def test_signatures_are_those_of_the_library(elements, n_hashes, seed):
    ours = MinHasher(n_hashes, seed).signature(elements)
    assert ours.tolist() == twin(elements, n_hashes, seed).hashvalues.tolist()


def test_a_set_larger_than_a_block_has_the_librarys_signature():
    elements = {f"element {n}" for n in range(5000)}
    assert MinHasher().signature(elements).tolist() == twin(elements).hashvalues.tolist()


def test_the_empty_set_has_a_signature():
    assert (MinHasher(8).signature(set()) == LARGEST).all()


@pytest.mark.parametrize("similarity", [0.1, 0.5, 0.8, 0.95])
def test_the_estimate_is_unbiased_and_as_precise_as_it_says(similarity):
    """400 pairs: the mean within four standard errors, the spread within a quarter."""
    hasher, errors = MinHasher(64), []
    for n in range(400):
        a, b = pair_of(similarity, 120, str(n))
        errors.append(estimate(hasher.signature(a), hasher.signature(b)) - jaccard(a, b))
    deviation = (similarity * (1 - similarity) / 64) ** 0.5
    assert abs(np.mean(errors)) < 4 * deviation / 400**0.5
    assert np.std(errors) == pytest.approx(deviation, rel=0.25)


def test_a_signature_has_a_length():
    with pytest.raises(UserError, match="n_hashes=0"):
        MinHasher(0)


# --- bands ----------------------------------------------------------------------------------------


def test_bands_cut_a_signature_and_leave_the_rest():
    signature = np.arange(7, dtype=np.uint32)
    keys = band_keys(signature, 3)
    assert [np.frombuffer(key, np.uint32).tolist() for key in keys] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("n_bands", [0, -1, 9])
def test_there_are_no_more_bands_than_places(n_bands):
    with pytest.raises(UserError, match="8 places make no"):
        band_keys(np.zeros(8, dtype=np.uint32), n_bands)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7])
def test_candidates_are_as_frequent_as_the_formula_says(similarity):
    """1000 pairs, 8 bands of 4 rows, within four standard errors."""
    hasher, hits, probability = MinHasher(32), 0, 0.0
    for n in range(1000):
        a, b = pair_of(similarity, 100, str(n))
        keys = zip(*(band_keys(hasher.signature(one), 8) for one in (a, b)), strict=True)
        hits += any(left == right for left, right in keys)
        probability += collision_probability(jaccard(a, b), 8, 4) / 1000
    error = (probability * (1 - probability) / 1000) ** 0.5
    assert abs(hits / 1000 - probability) < 4 * error


def test_the_formula_at_its_ends():
    assert collision_probability(0, 16, 8) == 0
    assert collision_probability(1, 16, 8) == 1
    assert collision_probability(0.5, 2, 1) == 0.75


@pytest.mark.parametrize("n_bands", [8, 20, 42])
def test_candidates_are_those_of_the_library(index, n_bands):
    """Texts of few words share much: every pair that agrees in a band is found, and no other."""
    hasher = MinHasher()
    library = MinHashLSH(num_perm=128, params=(n_bands, 128 // n_bands))
    found = 0
    for n in range(150):
        elements = shingles(story(n, 40), 1) | {str(n % 7), str(n % 5)}
        keys = band_keys(hasher.signature(elements), n_bands)
        ours = [name for name, _ in index.candidates(keys)]
        sketch = twin(elements)
        assert set(ours) == set(library.query(sketch))
        assert len(ours) == len(set(ours))
        found += len(ours)
        index.insert(str(n), hasher.signature(elements), keys)
        library.insert(str(n), sketch)
    assert found > 10


def test_an_index_gives_back_names_and_signatures_in_order(index):
    signature = MinHasher(16).signature({"a"})
    for name in ("b", "a", "\ud800 嗨"):
        index.insert(name, signature, band_keys(signature, 4))
    found = index.candidates(band_keys(signature, 4))
    assert [name for name, _ in found] == ["b", "a", "\ud800 嗨"]
    assert all((known == signature).all() for _, known in found)


# --- who stays ------------------------------------------------------------------------------------


def test_the_first_of_each_group_of_near_copies_stays(index):
    texts = {f"story {n}": story(n) for n in range(40)}
    texts |= {f"again {n}": story(n) + " again" for n in range(0, 40, 4)}
    dedup = Deduplicator(0.8, index=index)
    dropped = {name: dedup.add(name, text) for name, text in texts.items()}
    assert dropped == {n: n.replace("again", "story") if "again" in n else None for n in texts}


def test_against_all_pairs(index):
    """Whatever is dropped is similar; hardly anything similar is kept."""
    texts = [story(n % 50) + " " + story(1000 + n, 2 + n % 9) for n in range(150)]
    dedup = Deduplicator(0.7, index=index)
    kept: list[str] = []
    for n, text in enumerate(texts):
        original = dedup.add(str(n), text)
        if original is None:
            kept.append(text)
        else:
            assert jaccard(shingles(text), shingles(texts[int(original)])) > 0.55
    pairs = list(itertools.combinations([shingles(text) for text in kept], 2))
    assert 50 <= len(kept) < 100
    assert sum(jaccard(a, b) > 0.85 for a, b in pairs) == 0


def test_texts_without_words_are_not_copies_of_each_other():
    dedup = Deduplicator()
    assert dedup.add("a", "...") is None
    assert dedup.add("b", "!!!") is None


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
def test_a_threshold_is_a_similarity(threshold):
    with pytest.raises(UserError, match="similarity threshold"):
        Deduplicator(threshold)


# --- on disk --------------------------------------------------------------------------------------


def test_the_disk_knows_exact_copies(tmp_path):
    with disk_index(tmp_path / "index.sqlite") as index:
        assert index.copy_of("a", fingerprint("one two")) is None
        assert index.copy_of("b", fingerprint("one three")) is None
        assert index.copy_of("c", fingerprint("one\ntwo")) == "a"
        assert index.copy_of("d", fingerprint("one two")) == "a"


def test_the_file_goes_whatever_happens(tmp_path):
    with disk_index(tmp_path / "index.sqlite"):
        assert list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), disk_index(tmp_path / "index.sqlite"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_as_one(tmp_path):
    def fill():
        with disk_index(tmp_path / "i.sqlite") as index:
            index._tables.execute("PRAGMA max_page_count = 20")
            for n in range(10_000):
                index.copy_of(str(n), fingerprint(str(n)))

    with pytest.raises(OSError, match="full") as caught:
        fill()
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_the_signature_of_a_text_is_not_that_of_its_characters():
    with pytest.raises(UserError, match="a single one"):
        MinHasher().signature("a text where its shingles are wanted")


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_documents_are_compared_by_shingles_of_the_length_asked_for(length):
    """One word of twelve changed: it spoils as many shingles as it stands in."""
    one, other = " ".join(WORDS[:12]), " ".join([*WORDS[:5], "changed", *WORDS[6:12]])
    similarity = jaccard(shingles(one, length), shingles(other, length))
    assert similarity == max(13 - 2 * length, 0) / 13
    hasher = MinHasher(n_hashes=2048)  # so that chance moves the estimate by 0.01
    for margin, expected in ((0.06, None), (-0.06, "one" if similarity else None)):
        threshold = max(similarity + margin, 0.01)
        seen = Deduplicator(threshold, shingle_length=length, hasher=hasher, n_bands=1024)
        assert seen.add("one", one) is None
        assert seen.add("other", other) == expected


@pytest.mark.parametrize("length", [0, -1])
def test_a_shingle_has_words(length):
    with pytest.raises(UserError, match=f"n={length} words make no shingle: try 5"):
        Deduplicator(shingle_length=length)
