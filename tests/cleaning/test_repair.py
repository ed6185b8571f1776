import gzip
import json

import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.cleaning.repair import repair

SENTENCES = {
    "French": "« Où est passée l'âme du Noël ? » dit-elle. Voilà ! L'été, déjà… ça coûte 5 €.",
    "French, blanks that do not break": "Il est arrivé\xa0» dit-elle\xa0; «\xa0voilà\xa0»… à\xa0»",
    "German": "„Spaß“ und Größe: Übermäßig schöne Füße, „Ö“, sagt Ä… „Maß“ – 5 ¼ Straß“",
    "Spanish": "¿Qué mañana? ¡Año nuevo, niño! «Sí» El 1º, 2ª: corazón.",
    "Portuguese": "“IRMÔ não é “maçã”… À noite, “AMANHÔ, coração.",
    "Polish": "Zażółć gęślą jaźń. „Łódź” i „Źdźbło”",
    "Vietnamese": "Âm nhạc “HẠ LONG” đẹp… Được “CÂ” ăn phở Ã",
    "Turkish": "İstanbul’da ğüşıöç “İYİ” Ç",
    "Icelandic": "Það er ÍSLENSKA “Ð” þú",
    "Greek": "Ω φως: «Ελλάδα» ά…",
    "Russian": "«Привет, мир!» — сказал он…",
    "Chinese": "他说：“你好……”——《红楼梦》第１２回，￥５·Ｂ。",
    "Japanese": "「こんにちは」、カタカナ・ー。",
    "Hebrew": "שלום עולם",
    "signs": "5 × ¼ = 1×½, 3×¾ ±2 Å±0.1, 10 µm² © 2024 ®™ °C £5 §3 ¶ † ‡ 1½ naïve café 2³",
    "emoji": "😀 👩‍👩‍👧 ✓ ❤️ e\u0301",
}


def misread(text: str, encoding: str) -> str:
    """UTF-8 read in another encoding; as browsers do, Windows' five holes are read as controls."""
    return "".join(
        bytes([value]).decode(encoding, "replace").replace("\ufffd", chr(value))
        for value in text.encode()
    )


@pytest.mark.parametrize("name", SENTENCES)
def test_correct_text_is_not_touched(name):
    text = SENTENCES[name]
    assert repair(text) == text
    for word in text.split():
        assert repair(word) == word
        assert repair(word.upper()) == word.upper()


@given(st.lists(st.sampled_from(" ".join(SENTENCES.values()).split()), max_size=12))
def test_no_mixture_of_correct_words_is_touched(parts):
    text = " ".join(parts)
    assert repair(text) == text


@given(st.text(st.characters(codec="ascii")) | st.text("你好，。“”…—《》café naïve é"))
def test_plain_and_chinese_text_is_not_touched(text):
    assert repair(text) == text


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("name", SENTENCES)
def test_what_was_misread_is_read_again(name, times, encoding):
    misreadings = text = SENTENCES[name]
    for _ in range(times):
        misreadings = misread(misreadings, encoding)
    assert misreadings != text
    assert repair(misreadings) == text


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("name", ["French", "German", "Spanish", "Polish", "Russian", "emoji"])
def test_another_library_reads_it_the_same(name, encoding):
    """`ftfy` guesses by quite other rules; where both repair a word, they agree."""
    words = [misread(word, encoding) for word in SENTENCES[name].split()]
    ours = {word: repair(word) for word in words if repair(word) != word}
    theirs = {word: ftfy.fix_encoding(word) for word in ours}
    both = {word for word in ours if theirs[word] != word}
    assert {word: ours[word] for word in both} == {word: theirs[word] for word in both}
    assert len(both) >= 3


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("cafÃ©", "café"),
        ("Ã‰cole, dÃ©jÃ\xa0 vu", "École, déjà vu"),
        ("It’s fine, but â€œthisâ€\x9d isnâ€™t â€¦", "It’s fine, but “this” isn’t …"),
        ("Müller said itâ€™s", "Müller said it’s"),  # half of the text is correct
        ("„Spaß“ said itâ€™s", "„Spaß“ said it’s"),
        ("Le blé\xa0» itâ€™s «", "Le blé\xa0» it’s «"),
        ("ä½ å¥½ä¸–ç•Œ".replace(" ", "\xa0"), "你好世界"),
        ("\x93quoted\x94, it\x92s", "“quoted”, it’s"),  # Windows-1252 read as Latin-1
        ("ðŸ˜€", "😀"),
        ("end.Â\xa0Next", "end.\xa0Next"),
        ("\ud83d\ude00 and \ud83d alone", "😀 and \ufffd alone"),
    ],
)
def test_examples_of_repair(text, meant):
    assert repair(text) == meant


@pytest.mark.parametrize("folder", ["pretrain_en", "pretrain_zh", "tatoeba"])
def test_real_text_is_not_touched(data_dir, folder):
    """Every held-out document, and French sentences; what changes was wrong before."""
    for path in sorted((data_dir / folder).glob("*.valid.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                for value in json.loads(line).values():
                    if isinstance(value, str):
                        assert repair(value) == value


def test_real_text_that_was_misread_comes_back(data_dir):
    with gzip.open(data_dir / "tatoeba" / "eng_fra.valid.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:3000]
    accented = [text for row in rows for text in row.values() if isinstance(text, str)]
    accented = [text for text in accented if not text.isascii()]
    assert len(accented) > 500
    assert [repair(misread(text, "cp1252")) for text in accented] == accented
