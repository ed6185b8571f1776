"""Chinese words by tags of characters: a sample, the features of a character, and the old rival.

Chinese is written without spaces. Each character gets a tag: B for a word's first, M for an inner
and E for its last character, S for a word of one character. The sample was written for this course;
it is there to see the method at work, and too small to measure it. Not here: tags and spans
(`evaluate/spans.py`), the tagger (`tagging.py`). Chapter 12 teaches this.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

LABEL = "W"
"""The label of every span: a word."""

SAMPLE = tuple(
    line.split()
    for line in """
我 喜欢 读书
他 在 图书馆 读书
我们 去 学校
老师 在 学校 教 学生
研究生 在 大学 学习
大学生 喜欢 生活
他 研究 历史
她 研究 中文
科学 研究 生命
我们 热爱 生命
生命 的 历史 很 长
北京 是 中国 的 首都
南京 市 有 大桥
长江 在 中国
长江 的 水 很 长
北京 市 很 大
市长 在 南京
他 是 市长
今天 天气 很 好
今天 下雨
明天 我们 去 北京
小猫 喜欢 喝 牛奶
他 的 小狗 很 聪明
老师 的 书 很 有趣
学生 学习 中文
我 的 朋友 在 中国 学习 中文
他 把 手 洗 了
门 的 把手 坏 了
我们 学会 了 唱歌
高兴 的 学生 在 唱歌
""".strip().splitlines()
)
"""Sentences to learn from, in words."""

TEST = tuple(
    line.split()
    for line in """
他 研究 生命 的 历史
我们 研究 生命
南京 市 长江 大桥
老师 研究 中国 历史
研究生 喜欢 唱歌
今天 我们 在 图书馆 学习
门 的 把手 很 好
市长 的 朋友 喜欢 读书
""".strip().splitlines()
)
"""Other sentences, chosen because several can be cut in two ways."""


def longest_match(text: str, words: Sequence[str]) -> list[str]:
    """The words of a text by the oldest rule: from the left, always the longest known word."""
    known, found, at = set(words), [], 0
    longest = max(map(len, known), default=1)
    while at < len(text):
        sizes = range(min(longest, len(text) - at), 0, -1)
        size = next((size for size in sizes if text[at : at + size] in known), 1)
        found.append(text[at : at + size])
        at += size
    return found


class CharacterFeatures:
    """What a character looks like to a linear head: itself, its neighbours, and both pairs.

    Those that a sample never showed are zeros.

    Attributes:
        names: the features, in their order.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        found = {name for text in texts for names in self._all(text) for name in names}
        self.names = sorted(found)
        self._places = {name: place for place, name in enumerate(self.names)}

    def __call__(self, text: str) -> Float[Tensor, "T D"]:
        """A row for each character."""
        rows = torch.zeros(len(text), len(self.names))
        for at, names in enumerate(self._all(text)):
            rows[at, [self._places[name] for name in names if name in self._places]] = 1.0
        return rows

    def _all(self, text: str) -> Iterator[tuple[str, ...]]:
        """The names of each character's features; `^` and `$` stand around the text."""
        framed = f"^{text}$"
        for before, here, after in zip(framed, framed[1:], framed[2:], strict=False):
            yield (f"0{here}", f"-{before}", f"+{after}", f"<{before}{here}", f">{here}{after}")
