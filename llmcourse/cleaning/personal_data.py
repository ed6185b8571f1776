"""Personal data: e-mail addresses, IP addresses and phone numbers, found by pattern and masked.

Not here: names of people and places, which no pattern tells from other words. Chapter 01 teaches
this.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable

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
    r"|(?:1[- .]?)?\(\d{3}\)[- .]?\d{3}[- .]\d{4}"  # (415) 555-2671, 1-(415)-555-2671
    r"|(?:1-)?[2-9]\d\d-\d{3}[- .]\d{4}"  # 415-555-2671
    r"|[2-9]\d\d\.[2-9]\d\d\.\d{4}"  # 415.555.2671
    r"|1[3-9]\d(?:\d{8}|-\d{4}-\d{4}| \d{4} \d{4})"  # 13912345678, a mobile phone in China
    r"|\(?0[1-9]\d{1,2}(?:\)[- ]?|- ?)\d{4}-?\d{3,4}"  # 010-62345678, a city in China
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
        # One dot is a decimal point, unless brackets say that this is no measurement.
        return 8 <= len(digits) <= 15 and (number.count(".") != 1 or "(" in number)
    return not digits.endswith("000000")  # fifteen billion is no mobile phone
