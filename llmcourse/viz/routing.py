"""Ways for arrows between boxes in rows: round the boxes, and not on top of one another.

Not here: what the boxes and the arrows stand for (`graph.py`).
"""

import itertools
import math
from collections.abc import Iterator

Point = tuple[float, float]
Route = list[Point]
"""The corners of a way, from its first point to its last."""

WIDTH = 0.23
"""The width of every box; the whole drawing is 1 wide."""
HEIGHT = 0.64
"""The height of every box; rows are 1 apart."""

_PORT = 0.03
"""How far apart the arrows that leave or enter a box stand."""
_ASPECT = 8.0
"""How many times longer one unit across is than one unit upwards, as drawn."""
_CORNER, _OVERLAP, _CROSSING = 0.6, 4.0, 100.0
"""What a corner, running along another arrow, and crossing a box cost, in units of height."""


def arrows(edges: list[tuple[str, str]], places: dict[str, Point]) -> list[Route]:
    """A way for every edge, from the lower edge of one box to the upper edge of one below.

    The shortest first; each takes the cheapest way that is left by those before it.
    """

    def span(edge: tuple[str, str]) -> tuple[float, float]:
        (x0, y0), (x1, y1) = places[edge[0]], places[edge[1]]
        return y0 - y1, abs(x0 - x1)

    found: list[Route] = []
    for start, end in sorted(edges, key=span):
        leaving = _port([b for a, b in edges if a == start], end, places)
        entering = _port([a for a, b in edges if b == end], start, places)
        boxes = [place for name, place in places.items() if name not in (start, end)]
        ways = _ways(places[start], places[end], leaving, entering)
        found.append(min(ways, key=lambda way: _cost(way, boxes, found)))
    return found


def _port(neighbours: list[str], one: str, places: dict[str, Point]) -> float:
    """How far from a box's middle the arrow of one of its neighbours stands, left to right."""
    ordered = sorted(neighbours, key=lambda name: places[name])
    return _PORT * (ordered.index(one) - (len(ordered) - 1) / 2)


def _ways(start: Point, end: Point, leaving: float, entering: float) -> Iterator[Route]:
    """Straight; round one corner; and down, across, down a lane between boxes, across and down."""
    side = math.copysign(WIDTH / 2, end[0] - start[0])
    if start[1] == end[1]:
        yield [(start[0] + side, start[1]), (end[0] - side, end[1])]
        return
    bottom = (start[0] + leaving, start[1] - HEIGHT / 2)
    top = (end[0] + entering, end[1] + HEIGHT / 2)
    yield [bottom, top]
    yield [(start[0] + side, start[1] + leaving), (top[0], start[1] + leaving), top]
    beside = end[1] + entering
    yield [bottom, (bottom[0], beside), (end[0] - side, beside)]
    below, above = start[1] - 0.5 + leaving, end[1] + 0.5 + entering
    for lane in range(101):
        x = lane / 100
        yield [bottom, (bottom[0], below), (x, below), (x, above), (top[0], above), top]


def _cost(way: Route, boxes: list[Point], taken: list[Route]) -> float:
    stretches = list(itertools.pairwise(way))
    length = sum(math.hypot(_ASPECT * (x1 - x0), y1 - y0) for (x0, y0), (x1, y1) in stretches)
    corners = sum(_turns(a, b, c) for a, b, c in zip(way, way[1:], way[2:], strict=False))
    others = [other for route in taken for other in itertools.pairwise(route)]
    overlaps = sum(_along(one, other) for one in stretches for other in others)
    crossings = sum(_crosses(one, box) for one in stretches for box in boxes)
    return length + _CORNER * corners + _OVERLAP * overlaps + _CROSSING * crossings


def _turns(a: Point, b: Point, c: Point) -> bool:
    return not (a[0] == b[0] == c[0] or a[1] == b[1] == c[1])


def _along(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two stretches that are both upright, or both level, lie on one another."""
    for axis, near in ((0, 0.015), (1, 0.04)):
        if one[0][axis] == one[1][axis] and other[0][axis] == other[1][axis]:
            (low, high), (start, end) = (
                sorted(point[1 - axis] for point in both) for both in (one, other)
            )
            if abs(one[0][axis] - other[0][axis]) < near and low < end and start < high:
                return True
    return False


def _crosses(stretch: tuple[Point, Point], box: Point) -> bool:
    """Whether a stretch comes nearer to a box than a small margin, by clipping it to the box."""
    (x0, y0), (x1, y1) = stretch
    enters, leaves = 0.0, 1.0
    for start, change, middle, reach in (
        (x0, x1 - x0, box[0], 0.53 * WIDTH),
        (y0, y1 - y0, box[1], 0.53 * HEIGHT),
    ):
        if change == 0:
            if abs(start - middle) >= reach:
                return False
            continue
        near, far = sorted(((middle - reach - start) / change, (middle + reach - start) / change))
        enters, leaves = max(enters, near), min(leaves, far)
    return enters < leaves
