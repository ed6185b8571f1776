import time

import pytest

from llmcourse.cleaning.boilerplate import drop_boilerplate
from llmcourse.cleaning.language import language
from llmcourse.cleaning.personal_data import mask_personal_data
from llmcourse.cleaning.repair import repair


@pytest.mark.parametrize(
    "unit",
    ["a", "1", "1 ", "Ã", "Ã©", "a.", "1.", "(", "@", "a@", "1:", "f:", " ", "2001:", "|", "-"],
)
def test_no_line_takes_forever(unit):
    """A rule that looks at every beginning again would take hours for these."""
    text = unit * (300_000 // len(unit))
    began = time.process_time()
    for rule in (repair, drop_boilerplate, language, mask_personal_data):
        rule(text)
    assert time.process_time() - began < 20
