import gzip
import json
from collections import Counter

import pytest

from llmcourse.cleaning.language import language


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cat sat on the mat.", "en"),
        ("Hello, world!", "en"),
        ("床前明月光，疑是地上霜。", "zh"),
        ("我们用 Python 和 numpy 来训练一个小模型。", "zh"),
        ("これは日本語の文章です。漢字もある。", "other"),
        ("안녕하세요 세계", "other"),
        ("Le chat est sur la table et il dort.", "other"),
        ("Der Hund ist nicht in dem Haus.", "other"),
        ("Привет, мир! Как дела?", "other"),
        ("", "other"),
        ("12345 67890", "other"),
    ],
)
def test_examples_of_languages(text, found):
    assert language(text) == found


def test_languages_of_real_sentences(data_dir):
    """At least 99 in 100 news sentences right, and 95 in 100 of the very short ones of learners."""
    for name, column, wanted, least in [
        ("sib200/eng_Latn.test", "text", "en", 0.99),
        ("sib200/zho_Hans.test", "text", "zh", 0.99),
        ("tatoeba/eng_fra.valid", "fr", "other", 0.93),
        ("tatoeba/eng_fra.valid", "en", "en", 0.95),
        ("tatoeba/eng_cmn.valid", "zh", "zh", 0.99),
    ]:
        with gzip.open(data_dir / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        right = Counter(language(row[column]) == wanted for row in rows)
        assert right[True] >= least * len(rows), (name, column, right)
