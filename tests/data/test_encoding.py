"""Which encoding a file is in: what is proven, what is guessed, and that a wrong guess is seen."""

from pathlib import Path

import pytest

from llmcourse.data import encoding
from llmcourse.data.encoding import bad_byte, find_encoding, open_text
from llmcourse.data.reading import Reading
from llmcourse.errors import UserError

SENTENCES = {
    "cp1252": [
        "Où êtes-vous allés après la fête à Nîmes ? « L’été », dit-il – déjà là.",
        "Über die Straße gehen müde Männer; „schön“ ist er nicht.",
        "¿Qué pasó mañana? El niño comió piña y corrió por España. “Adiós”, dijo.",
        "Não há solução: a criança não está em São João. Você também não dormiu.",
        "Perché è così? La città è più bella di ciò che si può dire, però no.",
        "Det är så att vi åker över ån på våren. Människor får frågor.",
        "Rødgrød med fløde på øen; æbler og sprøde kager går hånd i hånd.",
        "It’s a “test” — nothing more — of the dog’s dinner.",
    ],
    "cp1250": [
        "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes je hezký den, svítí slunce.",
        "Zażółć gęślą jaźń. W Szczebrzeszynie chrząszcz brzmi w trzcinie.",
        "Árvíztűrő tükörfúrógép. A nő megkérdezte, hogy mikor jön az őszi eső.",
        "Češće se sjećam da ćemo žuriti. Šest šarenih čaša stoji u sobi, a đak čita.",
    ],
    "cp1254": ["Türkiye'nin başkenti Ankara'dır. Çocuklar okula gitmediler, çünkü hava soğuk."],
    "cp1251": ["Все счастливые семьи похожи друг на друга, каждая несчастливая по-своему."],
    "koi8_r": ["Все счастливые семьи похожи друг на друга, каждая несчастливая по-своему."],
    "cp1253": ["Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια."],
    "cp1256": ["يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميراً."],
    "gb18030": ["床前明月光，疑是地上霜。举头望明月，低头思故乡。", '"一个关于小镇的故事"'],
    "big5": ["床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。"],
    "cp932": ["吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"],
    "euc_jp": ["吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"],
    "cp949": ["모든 국민은 법 앞에 평등하다. 누구든지 차별을 받지 아니한다."],
    "tis_620": ["มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"],
}


@pytest.mark.parametrize(
    ("name", "sentence"), [(name, each) for name, group in SENTENCES.items() for each in group]
)
def test_old_encodings_of_many_languages_are_guessed(tmp_path, name, sentence):
    text = "".join(f"{n}. {sentence}\n" for n in range(30))
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode(name))
    heard = []
    with open_text(path, Reading(say=lambda *line: heard.append(line))) as file:
        assert file.read() == text
    ((about, line),) = heard
    assert about == "encoding"
    assert "guessed from its letters; --data.encoding overrules" in line


def test_pairs_of_bytes_are_no_thai(tmp_path):
    """The library alone takes these rows of Chinese for Thai, whose encoding fits any bytes."""
    rows = (f'"{n}. 床前明月光，疑是地上霜。举头望明月，低头思故乡。"\n' for n in range(80))
    (tmp_path / "t.csv").write_bytes("".join(rows).encode("gb18030"))
    assert find_encoding(tmp_path / "t.csv", Reading())[0] == "gb18030"


@pytest.mark.parametrize("text", ["", "plain", "café", "嗨" * 900_000])
@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig"])
def test_utf8_is_not_guessed_and_nothing_is_said(tmp_path, monkeypatch, text, name):
    monkeypatch.setattr(encoding, "_guess", None)  # a call would fail
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode(name))
    assert find_encoding(path, Reading()) == ("utf-8-sig", "")
    with open_text(path, Reading()) as file:
        assert file.read() == text


def test_a_sample_that_ends_within_a_character_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "SAMPLE", 1001)
    path = tmp_path / "t.txt"
    path.write_bytes("嗨".encode() * 1000)
    assert find_encoding(path, Reading()) == ("utf-8-sig", "")


def test_a_large_file_is_not_read_whole_to_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "SAMPLE", 1000)
    monkeypatch.setattr(encoding, "SEARCHED", 10_000)
    path = tmp_path / "t.txt"
    path.write_bytes(b"plain " * 1_000_000)
    read = []

    class Counting:
        def __init__(self, path: Path):
            self.file = open(path, "rb")  # noqa: SIM115

        def read(self, size: int) -> bytes:
            read.append(size)
            return self.file.read(size)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(encoding, "open_bytes", Counting)
    find_encoding(path, Reading())
    assert sum(read) < 12_000


@pytest.mark.parametrize("name", ["utf-8", "utf-16", "gb18030", "cp1252"])
def test_the_place_that_does_not_fit_is_found(tmp_path, monkeypatch, name):
    monkeypatch.setattr(encoding, "SAMPLE", 7)
    before = ("été, " * 9).encode(name)
    bad = {"utf-8": b"\xff", "utf-16": b"\x00\xdc", "gb18030": b"\xff", "cp1252": b"\x81"}[name]
    path = tmp_path / "t.txt"
    path.write_bytes(before + bad + "after".encode("utf-16-le" if name == "utf-16" else "ascii"))
    assert bad_byte(path, name) == len(before)


def test_a_guess_that_fails_further_on_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "SAMPLE", 5_000)
    path = tmp_path / "t.txt"
    data = ("Všichni jsou šťastní, že svítí slunce. " * 200).encode("cp1250")
    path.write_bytes(data + b"\x81")
    from llmcourse.data import local

    message = rf"is not cp1250 text \(guessed from its letters\): byte {len(data)} does not fit"
    with pytest.raises(UserError, match=message):
        list(local.read(path))


@pytest.mark.parametrize("name", ["utf-9", "hex", "rot13", ""])
def test_an_encoding_that_there_is_not(name):
    with pytest.raises(UserError, match="is no encoding that Python knows"):
        Reading(encoding=name)
