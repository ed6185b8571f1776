"""Boilerplate lines, which belong to a web page and not to its text: menus, cookie notices, links.

Each line is judged by itself. Not here: whether a text as a whole is worth keeping (`quality`).
Chapter 01 teaches this.
"""

import re

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
"""The fraction of a line's characters from which on a phrase makes it boilerplate without more."""

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
