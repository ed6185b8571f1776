"""Language identification: English, Chinese or other, by letters and the commonest words.

Not here: a language's word lists beyond what telling it from its neighbours takes. Chapter 01
teaches this.
"""

import re

from llmcourse.cleaning.words import HAN, KANA

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
    """Language of a text, `en`, `zh` or `other`, from the beginning of a text.

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
