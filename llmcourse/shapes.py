"""The alphabet of dimensions: one letter, one meaning, everywhere.

Signatures (`Float[Tensor, "B H T K"]`), einsum strings, comments, the chapters' prose and the axes
of figures all use these letters. Tests run the signatures; a user's run does not pay for them.
Not here: any tensor. Chapter 03 introduces the letters.
"""

LETTERS: dict[str, str] = {
    "B": "batch",
    "T": "query position",
    "S": "key position",
    "D": "model width",
    "H": "heads",
    "G": "key/value heads",
    "K": "head width",
    "F": "feed-forward width",
    "V": "vocabulary",
    "R": "rank",
    "L": "layers",
}
"""What each letter stands for. `T` and `S` are equal in self-attention."""


def axis_label(letter: str) -> str:
    """The label of a figure's axis: the letter and its meaning, as in `T (query position)`.

    Raises:
        KeyError: the letter is not in the alphabet.
    """
    return f"{letter} ({LETTERS[letter]})"
