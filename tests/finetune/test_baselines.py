from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from llmcourse.finetune.baselines import NaiveBayes, words_of

TRAIN = [
    ("A good film, a very good film.", "1"),
    ("Good acting and a fine plot", "1"),
    ("a bad, bad plot", "0"),
    ("Dull. The acting is bad.", "0"),
    ("it's dull", "0"),
]


def test_naive_bayes_decides_as_the_librarys():
    counts = CountVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False)
    theirs = MultinomialNB().fit(
        counts.fit_transform([t for t, _ in TRAIN]), [label for _, label in TRAIN]
    )
    ours = NaiveBayes(TRAIN)
    for text in ("good plot", "bad film", "the", "acting dull but good", "unheard of", ""):
        assert ours.label(text) == theirs.predict(counts.transform([text]))[0]
        difference = ours.score(text, "1") - ours.score(text, "0")
        log_odds = theirs.predict_joint_log_proba(counts.transform([text]))[0]
        assert abs(difference - (log_odds[1] - log_odds[0])) < 1e-9


def test_letters_are_the_words_of_scripts_without_spaces():
    assert words_of("It's 很好 here") == ["it's", "很", "好", "here"]
