from llmcourse.cleaning.words import bare_words, n_unspaced, words


def test_words_stand_between_blanks():
    assert words("It rains,  today.\nAgain!") == ["It", "rains,", "today.", "Again!"]


def test_chinese_and_japanese_characters_are_words():
    assert words("下雨了。我用Python3写，“好”！") == [*"下雨了我用", "Python3", *"写好"]
    assert words("ひらがなとカナー") == list("ひらがなとカナー")
    assert words("人々〇") == list("人々〇")


def test_bare_words_have_no_marks_and_no_capitals():
    assert bare_words("Don't STOP, 《紅樓夢》 x_1!") == ["don", "t", "stop", *"紅樓夢", "x", "1"]


def test_characters_without_blanks_are_counted():
    assert n_unspaced("下雨, rain, あ。") == 3
    assert n_unspaced("no such thing 한국어") == 0
