from llmcourse.errors import MOST_NAMES, nearest


def test_a_name_that_is_nearly_right_is_named():
    assert nearest("rnsnorm", ["rmsnorm", "layernorm"]) == "; did you mean 'rmsnorm'?"


def test_what_there_is_is_listed():
    assert nearest("zzz", ["b", "a"]) == "; there are: a, b"


def test_a_long_list_stays_a_line():
    names = [f"word{n:03}" for n in range(300)]
    hint = nearest("猫", names)
    assert hint.endswith(f"word{MOST_NAMES - 1:03} and {300 - MOST_NAMES} more")
    assert len(hint) < 300
    assert nearest("猫", names[:MOST_NAMES]).endswith(names[MOST_NAMES - 1])
