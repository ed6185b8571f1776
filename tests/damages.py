"""What happens to files on disks that grow old: they are cut short, or some of their bits flip."""

import random
from collections.abc import Iterator

FLIPS = 12
"""How many copies of a file there are with one flipped bit to three."""


def damages(data: bytes, dice: random.Random | None = None) -> Iterator[tuple[str, bytes]]:
    """Damaged copies of a file's bytes, each with what was done to it; drawn anew, or by dice."""
    dice = dice or random.Random()
    for length in sorted({0, 1, 8, len(data) // 3, len(data) // 2, len(data) - 1} - {len(data)}):
        yield f"cut to {length} bytes", data[:length]
    for count in (1, 1, 3) * (FLIPS // 3):
        spoilt, bits = bytearray(data), dice.sample(range(8 * len(data)), count)
        for bit in bits:
            spoilt[bit // 8] ^= 1 << bit % 8
        yield f"bits {bits} flipped", bytes(spoilt)
