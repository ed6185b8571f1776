import gzip
import json

import pytest

from llmcourse.cleaning.boilerplate import drop_boilerplate, is_boilerplate

FURNITURE = [
    "© 2024 Example Corp. All rights reserved.",
    "Copyright 2019 The Authors",
    "We use cookies to improve your experience. Read our cookie policy.",
    "Home | About Us | Blog | Contact",
    "Home > News > Archive",
    "首页 | 新闻 | 关于我们 | 联系我们",
    "Share this article",
    "Follow us on Twitter",
    "Subscribe to our newsletter",
    "Please enable JavaScript",
    "Skip to main content",
    "Back to top",
    "版权所有 © 2020 某某网",
    "京ICP备12345678号",
    "责任编辑：张三",
    "上一篇：春天来了",
    "点击这里查看更多",
    "本文为原创，未经授权不得转载，转载请注明出处",
]
PROSE = [
    "The king said that all rights reserved to the crown would pass to his daughter.",
    "She wondered why every website uses cookies, and what a cookie policy could possibly have to "
    "do with biscuits. Nobody knew. " * 3,
    "He followed us on his bicycle.",
    "I went home.",
    "Home",
    "News",
    "bread | milk | eggs",
    "1 | 2 | 3",
    "床前明月光，疑是地上霜。",
    "——《红楼梦》第一回",
    "他在首页上看到了自己的名字，于是笑了起来。",
    "-----",
    "",
]


@pytest.mark.parametrize("line", FURNITURE)
def test_page_furniture_goes(line):
    assert is_boilerplate(line)
    assert drop_boilerplate(f"One.\n{line}\nTwo.") == "One.\nTwo."


@pytest.mark.parametrize("line", PROSE)
def test_prose_stays(line):
    assert not is_boilerplate(line)
    assert drop_boilerplate(f"One.\n{line}\nTwo.") == f"One.\n{line}\nTwo."


def test_real_text_has_no_furniture(data_dir):
    for name in ("pretrain_en/standardebooks", "pretrain_zh/poems_regulated"):
        with gzip.open(data_dir / f"{name}.valid.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                text = json.loads(line)["text"]
                assert drop_boilerplate(text) is text
