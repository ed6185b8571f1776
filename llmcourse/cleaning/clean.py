"""From what was collected to what was meant: wrong decodings, page furniture, language, people.

Each function does one thing to one text, and does nothing to a text that has nothing wrong with it:
a rule that harms good text is worse than none. Not here: spelling (`normalize`), whether a text is
worth keeping (`quality`), copies (`dedup`). Chapter 01 teaches this.
"""

import ipaddress
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

from llmcourse.cleaning.words import HAN, KANA

# --- text that was decoded wrongly ----------------------------------------------------------------

_CP1252 = {
    bytes([value]).decode("cp1252"): value
    for value in range(0x80, 0xA0)
    if value not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
"""The characters by which Windows fills the range that Latin-1 leaves to controls."""

_TO_BYTE = {**{chr(value): value for value in range(0x80, 0x100)}, **_CP1252}
_CONTINUATION = "\x80-\xbf" + "".join(_CP1252)
_SEQUENCE = re.compile(
    f"[\xc2-\xdf][{_CONTINUATION}]|[\xe0-\xef][{_CONTINUATION}]{{2}}"
    f"|[\xf0-\xf4][{_CONTINUATION}]{{3}}"
)
"""A character in UTF-8, two to four bytes, each read as a character of Latin-1 or Windows-1252."""

_RUN = re.compile(f"(?:{_SEQUENCE.pattern})+")
_HARMLESS = set("\xa0\xad«»‘’“”‹›…–—°·•™±§¶¡¿†‡‚„")
"""Signs that may follow a letter with an accent in correct text: `voilà »`, `„Spaß“`, `1 Å±2`."""

_C1 = re.compile("[\x80-\x84\x86-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]+")
_MOST_LAYERS = 4


def repair(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 or Windows-1252, even several times over.

    `cafÃ© â€œauÂ laitâ€\x9d` becomes `café “au lait”`. Characters that spell a character in UTF-8
    are put back where they cannot be meant: where no writer puts the second after the first, or in
    company of such. Correct text comes back as it is. Two halves of a character outside the basic
    plane (surrogates) are joined, and a half without its other becomes U+FFFD.
    """
    if text.isascii():
        return text
    text = _SURROGATES.sub(_join_surrogates, text)
    for _ in range(_MOST_LAYERS):
        once = _peel(text)
        if once == text:
            break
        text = once
    return _C1.sub(lambda found: _read_as_windows(found[0]), text)


def _peel(text: str) -> str:
    """Take off one layer of wrong decoding."""
    if not _SEQUENCE.search(text):
        return text
    strong = any(_cannot_be_meant(run) for run in _RUN.finditer(text))
    if not strong:
        return text
    # A sign that spells nothing shows that not all of the text was misread.
    mixed = not _RUN.sub("", text).isascii()

    def put_back(run: re.Match[str]) -> str:
        return _decode(run[0]) if not mixed or _cannot_be_meant(run) else run[0]

    return _RUN.sub(put_back, text)


def _cannot_be_meant(run: re.Match[str]) -> bool:
    """Whether a run of sequences makes no sense as the characters that it consists of."""
    before = run.string[run.start() - 1 : run.start()]
    sequences = _SEQUENCE.findall(run[0])
    if len(sequences) > 2:
        return True
    if run[0][0].isupper() and before.islower():  # a capital inside a word
        return True
    if run[0][0] in "ÂÃ" and not before.isupper() and before not in {*"“‘„‚«‹(["}:
        return True
    if run[0][0] in "×ß" and len(sequences) == 1:  # a product of fractions; a word in capitals
        return False
    return any(sign not in _HARMLESS for sequence in sequences for sign in sequence[1:])


def _decode(run: str) -> str:
    """The characters that a run spells; one that UTF-8 does not allow stays."""
    return _SEQUENCE.sub(lambda found: _decode_one(found[0]), run)


def _decode_one(sequence: str) -> str:
    try:
        character = bytes(_TO_BYTE[sign] for sign in sequence).decode("utf-8")
    except UnicodeDecodeError:
        return sequence
    return sequence if unicodedata.category(character) in ("Cn", "Co") else character


def _read_as_windows(control: str) -> str:
    """What Windows means by a byte that Latin-1 reads as a control character, if anything."""
    return control.encode("latin-1").decode("cp1252", "replace").replace("\ufffd", control)


def _join_surrogates(found: re.Match[str]) -> str:
    return found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# --- page furniture -------------------------------------------------------------------------------

LONGEST_BOILERPLATE = 240
"""Characters. A longer line is prose, whatever words it holds."""

_PHRASES = re.compile(
    r"all rights reserved|©|\(c\) ?\d{4}|copyright \d{4}"
    r"|(?:we|this (?:web)?site) uses? cookies|cookie (?:policy|settings|preferences)"
    r"|accept (?:all )?cookies|privacy policy|terms (?:of use|of service|and conditions)"
    r"|skip to (?:main )?content|enable javascript|javascript (?:is|must be) (?:disabled|enabled)"
    r"|(?:subscribe|sign up) (?:to|for) (?:our|the) newsletter|follow us on|share (?:this )?on"
    r"|share this (?:article|post|page)|click here (?:to|for)|powered by wordpress|lorem ipsum"
    r"|back to top|leave a (?:comment|reply)|you may also like|related (?:articles|posts)$"
    r"|版权所有|保留所有权利|未经(?:授权|许可|允许).{0,12}(?:转载|复制)|转载请注明|[京沪粤浙苏]ICP[备证]"
    r"|责任编辑[:：]|上一篇[:：]|下一篇[:：]|返回(?:顶部|首页)|点击(?:这里|此处|查看|进入)"
    r"|扫(?:描|一扫).{0,8}二维码|关注.{0,10}公众号|隐私(?:政策|声明)|本站使用.{0,6}Cookie",
    re.IGNORECASE,
)
_SURE = 0.5
"""The share of a line's characters from which on a phrase makes it boilerplate without more."""

_SENTENCE = re.compile(r"[.!?。！？]['\"”’)]?(?:\s|$)")
_SEPARATOR = re.compile(r"\s*[|·•»›]\s*|\s+[>/]\s+")
_MENU = re.compile(
    r"(?:home|about(?: us)?|contact(?: us)?|blog|news|shop|help|faq|log ?in|sign (?:in|up)|register"
    r"|search|menu|cart|sitemap|careers|support|products?|services?|privacy|terms|archives?"
    r"|首页|关于我们|联系我们|登录|注册|新闻|产品|帮助|搜索|网站地图|更多)",
    re.IGNORECASE,
)


def drop_boilerplate(text: str) -> str:
    """The text without the lines that belong to a page and not to what it says.

    Gone are cookie notices, copyright lines, invitations to share or subscribe, links back to the
    top, and navigation bars; of the rest no character changes. See `is_boilerplate`.
    """
    lines = text.split("\n")
    kept = [line for line in lines if not is_boilerplate(line)]
    return text if len(kept) == len(lines) else "\n".join(kept)


def is_boilerplate(line: str) -> bool:
    """Whether a line is page furniture, judged by itself.

    It is if it is short and a row of at least three menu items, or holds a stock phrase and either
    consists of it for the most part, or holds a second one, or is no sentence.
    """
    line = line.strip()
    if not 2 < len(line) <= LONGEST_BOILERPLATE:
        return False
    found = [match[0] for match in _PHRASES.finditer(line)]
    if found:
        covered = sum(map(len, found))
        return len(found) > 1 or covered >= _SURE * len(line) or not _SENTENCE.search(line)
    return _is_menu(line)


def _is_menu(line: str) -> bool:
    items = [item for item in _SEPARATOR.split(line) if item]
    if len(items) < 3 or max(map(len, items)) > 30:
        return False
    return sum(_MENU.fullmatch(item) is not None for item in items) * 3 >= len(items)


# --- language -------------------------------------------------------------------------------------

_SAMPLE = 8000  # characters: enough to tell a language, and no more for a long text
_CJK_LETTER = re.compile(f"[{HAN}{KANA}\uac00-\ud7a3]")
_HAN_LETTER = re.compile(f"[{HAN}]")
_KANA_LETTER = re.compile(f"[{KANA}]")
_LATIN_WORD = re.compile(r"[^\W\d_]+")

_COMMON: dict[str, frozenset[str]] = {
    name: frozenset(listed.split())
    for name, listed in {
        "en": "the be to of and a in that have i it for not on with he as you do at this but his "
        "by from they we say her she or an will my one all would there their what is was are were "
        "had has your him them its who which been if so no when can me don did how where why isn",
        "fr": "le la les de des du et un une est que qui dans il elle je ne pas sur se ce pour au "
        "aux avec son sa ses nous vous ils elles mais ou par plus cette tout on sont tu me mon ma",
        "de": "der die das und ist nicht ein eine zu den dem des mit sich auf für von im ich er "
        "sie es wir ihr als auch an war hat wie aus bei nach noch nur einen einer wird sind du mir",
        "es": "el la los las de que y en un una es por con no se su para al lo como más pero sus "
        "le ya o este sí porque esta entre cuando muy sin sobre también me yo te ha mi tu está del",
        "it": "il lo la gli le di che e un una è in per non con si da del della sono mi ma ha come "
        "io al ci anche più questo nel alla lei lui se dei ho tu suo sua",
        "pt": "o a os as de que e em um uma é do da para com não se por mais no na eu ele ela "
        "mas foi ao das dos você seu sua como está isso muito são nos já",
        "nl": "de het een en van ik te dat die in je niet is zijn op aan met voor er maar om hem "
        "dan zou of wat mijn men dit zo door ze hij naar heb ook",
    }.items()
}


def language(text: str) -> str:
    """`en`, `zh` or `other`, from the beginning of a text.

    Chinese is mostly Chinese characters with hardly any kana. English is Latin letters, and at
    least as many of the commonest English words as of any of six neighbouring languages'. A text of
    a few words without any of those passes for English if it has no accents; a longer one does not.
    """
    sample = text[:_SAMPLE]
    words = _LATIN_WORD.findall(_CJK_LETTER.sub(" ", sample).lower())
    han, kana = len(_HAN_LETTER.findall(sample)), len(_KANA_LETTER.findall(sample))
    if han > len(words) and han + kana > 0:
        return "zh" if kana <= 0.05 * han else "other"
    counts = {name: sum(word in common for word in words) for name, common in _COMMON.items()}
    best = max(counts.values())
    if not words or counts["en"] < best:
        return "other"
    if best == 0:
        return "en" if len(words) < 12 and "".join(words).isascii() else "other"
    return "en" if counts["en"] >= 0.08 * len(words) else "other"


# --- personal data --------------------------------------------------------------------------------

_EMAIL = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@"
    r"(?:[A-Za-z0-9-]{1,63}\.){1,8}(?!(?:png|jpe?g|gif|svg|webp)\b)[A-Za-z]{2,24}(?![A-Za-z0-9@])",
    re.ASCII,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.:-])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w-]|\.\w)", re.ASCII)
_IPV6 = re.compile(
    r"(?<![\w:.])[23fF][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII
)
_NUMBERED = re.compile(
    r"(?<![a-z])(?:version|ver|v|release|build|section|sec|chapter|figure|fig|table|§|版本|图|表|第)"
    r"[.:： ]{0,2}$",
    re.IGNORECASE,
)
"""What before four numbers with dots between says that they count versions or sections."""

_PHONE = re.compile(
    r"(?<![\w.,+/:-])(?:"
    r"\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}"  # +44 20 7946 0958, +1 (415) 555-2671
    r"|(?:\(\d{3}\) ?|(?:1-)?[2-9]\d\d-)\d{3}[- .]\d{4}"  # (415) 555-2671, 415-555-2671
    r"|[2-9]\d\d\.[2-9]\d\d\.\d{4}"  # 415.555.2671
    r"|1[3-9]\d(?:\d{8}|-\d{4}-\d{4}| \d{4} \d{4})"  # 13912345678, a mobile phone in China
    r"|\(?0[1-9]\d{1,2}(?:\)|[)-]) ?\d{4}-?\d{3,4}"  # 010-62345678, a city in China
    r")(?![\w-]|[.,:]\d)",
    re.ASCII,
)
_ANNOUNCED = re.compile(
    r"((?:\b(?:tel|telephone|phone|mobile|cell|fax|whatsapp)\b(?: ?(?:no|number)\b)?"
    r"|电话|手机|传真|热线)(?:号码?)?(?: is|是|为)?[.:： ]{0,3})"
    r"([(+]?\d(?:[ ().-]{0,2}\d){6,14})(?![\w-]|[.,]\d)",
    re.IGNORECASE | re.ASCII,
)
_DATE = re.compile(r"\d{4}([-. ])\d\d?\1\d\d?$|\d\d?([-. ])\d\d?\2\d{4}$|\d{4} ?- ?\d{4}$")


_DIGITS = re.compile(r"\d(?:\D{0,3}\d){6}", re.ASCII)
"""Without so many digits close together there is no phone's number."""


def mask_personal_data(text: str) -> tuple[str, Counter[str]]:
    """The text with `<email>`, `<ip>` and `<phone>` for people's addresses, and how many of each.

    A number counts as a phone's if it begins with + and a country's code, is grouped as in North
    America or China, or follows a word such as "phone". Dates, years, versions, ISBNs, prices and
    plain numbers stay, and so does a machine's address of itself (127.0.0.1). Rules of this kind
    miss some and hit others: they make a corpus better, never safe.
    """
    counts: Counter[str] = Counter()

    def mask(name: str, is_one: Callable[[re.Match[str]], bool]) -> Callable[[re.Match[str]], str]:
        def replacement(found: re.Match[str]) -> str:
            if not is_one(found):
                return found[0]
            counts[name] += 1
            return f"{found[1]}<{name}>" if found.re is _ANNOUNCED else f"<{name}>"

        return replacement

    if "@" in text:
        text = _EMAIL.sub(mask("email", lambda found: ".." not in found[0]), text)
    if ":" in text:
        text = _IPV6.sub(mask("ip", _is_address), text)
    text = _IPV4.sub(mask("ip", _is_address), text)
    if _DIGITS.search(text):
        text = _PHONE.sub(mask("phone", _is_phone), text)
        text = _ANNOUNCED.sub(mask("phone", lambda found: not _DATE.match(found[2])), text)
    return text, counts


def _is_address(found: re.Match[str]) -> bool:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return False
    if re.fullmatch(r"\d(?:\.\d){3}", found[0]):
        return False  # 2.1.2.3 counts sections, or teeth; 8.8.8.8 is nobody's own
    numbered = _NUMBERED.search(found.string[max(0, found.start() - 12) : found.start()])
    return not (address.is_loopback or address.is_unspecified or numbered)


def _is_phone(found: re.Match[str]) -> bool:
    number = found[0]
    digits = re.sub(r"\D", "", number)
    if number.startswith("+"):
        return 8 <= len(digits) <= 15 and number.count(".") != 1
    return not digits.endswith("000000")  # fifteen billion is no mobile phone
