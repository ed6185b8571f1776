"""Ladders that were measured: the runs by which a plan foresees a loss.

Each source has its own: a law holds for one text, one tokenizer and one recipe. These are the
losses of `benchmarks/scaling.py`, in bits per byte of held-out text, each with its schedule
finished; a plan fits its law to them. Not here: the fit (`laws.py`).
"""

from dataclasses import dataclass

from llmcourse.planning.laws import Fit, Rung, effective_tokens, fit_law


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Runs on one source by one preset.

    Attributes:
        preset: by which recipe.
        unique: how many tokens of text there are to learn from.
        rungs: parameters, tokens read, and bits per byte.
    """

    preset: str
    unique: int
    rungs: tuple[Rung, ...]

    def fit(self, resamplings: int = 100) -> Fit:
        """The law of these runs; tokens count as what they are worth, repeated ones less."""
        worth = [r._replace(tokens=effective_tokens(r.tokens, self.unique)) for r in self.rungs]
        return fit_law(worth, resamplings=resamplings)


LADDERS = {
    "pydocs": Ladder(
        preset="laptop",
        unique=611_260,
        rungs=(
            Rung(155_872, 204_800, 2.6531),
            Rung(155_872, 512_000, 2.3218),
            Rung(155_872, 1_228_800, 2.1917),
            Rung(155_872, 2_457_600, 2.1223),
            Rung(360_896, 204_800, 2.4381),
            Rung(360_896, 512_000, 2.2093),
            Rung(360_896, 1_228_800, 2.0535),
            Rung(725_808, 204_800, 2.3742),
            Rung(725_808, 512_000, 2.1552),
            Rung(725_808, 1_228_800, 1.9708),
            Rung(1_312_128, 204_800, 2.3370),
            Rung(1_312_128, 512_000, 2.1329),
            Rung(1_312_128, 1_228_800, 1.9225),
        ),
    ),
}
"""By the source's name."""

LAPTOP_RUN = (
    Rung(725_808, 409_600, 2.3115),
    Rung(725_808, 819_200, 2.2203),
    Rung(725_808, 1_228_800, 2.1350),
    Rung(725_808, 1_638_400, 2.0896),
    Rung(725_808, 2_048_000, 2.0375),
    Rung(725_808, 2_457_600, 1.9873),
    Rung(725_808, 2_867_200, 1.9103),
    Rung(725_808, 3_276_800, 1.8734),
    Rung(725_808, 3_686_400, 1.8054),
    Rung(725_808, 4_096_000, 1.7818),
)
"""The evaluations of one run of the default preset, from its beginning to its end.

Only at the last was the schedule finished: the others belong on no ladder.
"""
