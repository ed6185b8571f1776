import gzip
import json
from collections import Counter

import pytest

from llmcourse.cleaning.personal_data import mask_personal_data

MASKED = {
    "Write to jane.doe+news@mail.example.co.uk.": "Write to <email>.",
    "邮箱：li_lei@example.cn，谢谢": "邮箱：<email>，谢谢",
    "mailto:a@b.io>": "mailto:<email>>",
    "server 203.0.113.7 is down": "server <ip> is down",
    "http://192.168.1.1:8080/x": "http://<ip>:8080/x",
    "IP地址是198.51.100.4。": "IP地址是<ip>。",
    "[2001:db8::8a2e:370:7334] and fe80::1": "[<ip>] and <ip>",
    "2001:0db8:85a3:0000:0000:8a2e:0370:7334": "<ip>",
    "Call +44 20 7946 0958 now": "Call <phone> now",
    "+1 (415) 555-2671, +86 139 1234 5678": "<phone>, <phone>",
    "(415) 555-2671 or 415-555-2671": "<phone> or <phone>",
    "1-800-555-0199": "<phone>",
    "415.555.2671": "<phone>",
    "电话13912345678，": "电话<phone>，",
    "139-1234-5678": "<phone>",
    "010-62345678 / (0755) 12345678": "<phone> / <phone>",
    "Phone: 5205550467.": "Phone: <phone>.",
    "Tel. 020 7946 0958": "Tel. <phone>",
    "电话：87654321": "电话：<phone>",
}
KEPT = [
    "born 1998-2003, on 2024-01-15 or 15.01.2024, at 12:30:45",
    "tel. 2024-01-15",
    "pages 1234-5678",
    "ISBN 978-3-16-148410-0, 0-306-40615-2, 9783161484100",
    "Python 3.11.7, version 1.2.3.4, v10.0.0.1, section 4.3.2.1, 图13.8.2.1",
    "a dental formula of 2.1.2.3, a public server at 8.8.8.8",
    "300.1.1.1 and 1.2.3.256 and 1.2.3 and 1.2.3.4.5",
    "127.0.0.1, 0.0.0.0, ::1, std::vector, x[1::2], 12:30:45:10",
    "3.141592653589793, 1,000,000,000, 15000000000 yuan, 6.02214076e23",
    "a population of 331449281 in 2020 and 7800000000 in all",
    "1 + 12345678 = 12345679; 5 +3",
    "user @name, a@b, logo@2x.png, @decorator, x@y.",
    "13800 steps, 2 000 000 tokens, id 20240115123456789",
    "SSN-like 123-45-6789",
    "phone 12, call 911",
    "2^61-1 = 2305843009213693951",
    "fedcba98, dead:beef, 3:4:5",
]


@pytest.mark.parametrize("text", MASKED)
def test_addresses_are_masked(text):
    masked, counts = mask_personal_data(text)
    assert masked == MASKED[text]
    assert counts.total() == sum(masked.count(name) for name in ("<email>", "<ip>", "<phone>"))
    assert mask_personal_data(masked) == (masked, Counter())


@pytest.mark.parametrize("text", KEPT)
def test_other_numbers_stay(text):
    assert mask_personal_data(text) == (text, Counter())


@pytest.mark.parametrize("before", ["", "1 ", "1-", "1.", "1", "+1 ", "+1-", "+1"])
@pytest.mark.parametrize("after", ["", " ", "-", "."])
@pytest.mark.parametrize("between", ["-", " ", "."])
def test_an_area_code_in_brackets_whatever_stands_around_it(before, after, between):
    number = f"{before}(415){after}555{between}2671"
    assert mask_personal_data(f"call {number}.") == ("call <phone>.", Counter(phone=1))


@pytest.mark.parametrize("number", ["(010)-62345678", "(0755) 1234-5678", "(021)62345678"])
def test_a_city_in_brackets_whatever_stands_behind_it(number):
    assert mask_personal_data(f"电话{number}。") == ("电话<phone>。", Counter(phone=1))


def test_counts_are_by_kind():
    text = "a@b.org c@d.org 198.51.100.4 +442079460958"
    assert mask_personal_data(text)[1] == {"email": 2, "ip": 1, "phone": 1}


def test_real_books_hold_no_addresses(data_dir):
    """Novels and verse, 1.5 MB: whatever is found there is a false alarm."""
    for name in ("pretrain_en/standardebooks", "pretrain_zh/poems_regulated", "pretrain_zh/prose"):
        with gzip.open(data_dir / f"{name}.valid.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                assert mask_personal_data(json.loads(line)["text"])[1] == {}
