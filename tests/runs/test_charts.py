import math
import re
from xml.etree import ElementTree

import pytest

from llmcourse.runs.charts import (
    Bar,
    Level,
    Line,
    Picture,
    bar_chart,
    binned,
    line_chart,
    number,
    ticks,
)

BARS = Picture(title="t", description="d", name="bars", width=340)
SVG = "{http://www.w3.org/2000/svg}"


def draw(lines: list[Line], **changes) -> ElementTree.Element:
    """A chart, parsed, so that it is well-formed in passing."""
    picture = {
        "title": "A title",
        "description": "A description.",
        "name": "chart",
        "width": 720,
        "height": 380,
    }
    picture |= {name: changes.pop(name) for name in picture.keys() & changes}
    labels = {"x_label": "steps", "y_label": "bits"}
    text = line_chart(lines, Picture(**picture), **(labels | changes))
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def texts(svg: ElementTree.Element, style: str) -> list[str]:
    return [t.text or "" for t in svg.iter(f"{SVG}text") if t.get("class") == style]


def vertices(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """Every piece of every line, in pixels; a piece begins where the pen was lifted."""
    found = []
    for path in svg.iter(f"{SVG}path"):
        if (path.get("class") or "").startswith("line"):
            for piece in (path.get("d") or "").split("M")[1:]:
                pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)", piece)
                found.append([(float(x), float(y)) for x, y in pairs])
    return found


def test_points_stand_where_the_axes_say():
    """Read the picture as a person would: by the ticks' labels and the places of their lines."""
    svg = draw([Line(label="loss", points=[(0, 4.0), (50, 2.0), (100, 1.0)])])
    grid = [float(r.get("y1", "")) for r in svg.iter(f"{SVG}line") if r.get("class") == "grid"]
    labels = texts(svg, "tick")
    values = [float(label) for label in labels[: len(grid)]]
    along = [float(label) for label in labels[len(grid) :]]
    marks = [float(r.get("x1", "")) for r in svg.iter(f"{SVG}line") if r.get("class") == "axis"]

    def by_ticks(at: float, places: list[float], labelled: list[float]) -> float:
        scale = (labelled[-1] - labelled[0]) / (places[-1] - places[0])
        return labelled[0] + (at - places[0]) * scale

    (piece,) = vertices(svg)
    read = [(by_ticks(x, marks[: len(along)], along), by_ticks(y, grid, values)) for x, y in piece]
    assert read == [pytest.approx(point, abs=0.02) for point in [(0, 4), (50, 2), (100, 1)]]


def test_every_mark_is_inside_the_picture():
    points = [(x, math.sin(x / 7) + x / 50) for x in range(0, 260, 3)]
    svg = draw([Line(label="a", points=points, dots=True), Line(label="b", points=points[:5])])
    for element in svg.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= 720
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= 380


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_gap_and_a_cross(bad: float):
    svg = draw([Line(label="loss", points=[(0, 3.0), (1, 2.0), (2, bad), (3, 2.5), (4, 2.0)])])
    assert [len(piece) for piece in vertices(svg)] == [2, 2]
    (cross,) = [p for p in svg.iter(f"{SVG}path") if p.get("class") == "gap"]
    assert cross[0].text == "loss: not a finite number at 2"


@pytest.mark.parametrize(
    "points", [[], [(10, 2.5)], [(0, 0.0)], [(5, math.nan)], [(0, 1.0), (9, 1.0)], [(1, -3.0)]]
)
def test_little_is_drawn_too(points):
    svg = draw([Line(label="loss", points=points)])
    text = ElementTree.tostring(svg, encoding="unicode")
    assert "nan" not in text
    assert "inf" not in re.sub("not a finite", "", text)
    finite = [y for _, y in points if math.isfinite(y)]
    assert len(list(svg.iter(f"{SVG}circle"))) == (1 if len(finite) == 1 else 0)


def test_nothing_at_all_is_drawn_too():
    assert texts(draw([]), "tick")


def test_a_level_is_labelled_and_in_range():
    level = Level(label="u", value=8)
    svg = draw([Line(label="loss", points=[(0, 2.0), (9, 1.0)])], levels=[level])
    assert texts(svg, "level") == ["u 8.000"]
    assert "8" in texts(svg, "tick")


def test_a_ceiling_cuts_off_what_is_higher():
    points = [(0, 2.0), (1, 1.0), (2, 1e30)]
    svg = draw([Line(label="loss", points=points)], ceiling=3.0)
    assert max(float(label) for label in texts(svg, "tick")) <= 4
    (piece,) = vertices(svg)
    assert all(abs(y) < 1e5 for _, y in piece), "coordinates that a browser cannot draw"


def test_only_several_lines_need_a_legend():
    one, two = (Line(label=name, points=[(0, 1.0), (1, 2.0)], style=name) for name in "ab")
    assert texts(draw([one]), "a") == []
    svg = draw([one, two])
    assert texts(svg, "a") + texts(svg, "b") == ["a", "b"]


def test_texts_are_escaped():
    nasty = '<b>&"'
    svg = draw([Line(label=nasty, points=[(0, 1.0)])], title=nasty, description=nasty)
    assert svg[0].text == svg[1].text == nasty


def test_bars_are_as_long_as_their_values():
    bars = [Bar(label="uniform", value=8.0), Bar(label="<model>", value=2.0, style="accent")]
    text = bar_chart(bars, BARS, unit="bits")
    svg = ElementTree.fromstring(text)
    widths = [float(rect.get("width", "")) for rect in svg.iter("rect")]
    assert widths[0] == pytest.approx(4 * widths[1], abs=0.2)
    assert [t.text for t in svg.iter("text")] == ["uniform", "8.000", "<model>", "2.000"]


def test_bars_of_nothing_have_no_length():
    bars = [Bar(label="a", value=0.0), Bar(label="b", value=0.0)]
    text = bar_chart(bars, BARS, unit="bits")
    assert re.findall('width="([^"]+)" height="20"', text) == ["0.0", "0.0"]


@pytest.mark.parametrize(
    ("values", "count", "labels"),
    [
        ([0.0, 1500.0], 9, ["0", "200", "400", "600", "800", "1,000", "1,200", "1,400", "1,600"]),
        ([1.41, 3.4], 6, ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5"]),
        ([0.0, 3e-3], 4, ["0.000", "0.001", "0.002", "0.003"]),
        ([0.0, 3e-6], 4, ["0", "1e-06", "2e-06", "3e-06"]),
        ([2.0], 3, ["1", "2", "3"]),
        ([0.0], 3, ["0.0", "0.5", "1.0"]),
        ([], 3, ["0.0", "0.5", "1.0"]),
    ],
)
def test_ticks_are_round_and_span_the_values(values, count, labels):
    found = ticks(values, count=count)
    assert [label for _, label in found] == labels
    for value in values:
        assert found[0][0] <= value <= found[-1][0] + 1e-12


def test_labels_have_the_digits_that_tell_them_apart():
    assert [number(n * 0.5, 0.5) for n in (1, 2)] == ["0.5", "1.0"]
    assert [number(n * 5e-6, 5e-6) for n in (2, 3)] == ["1e-05", "1.5e-05"]
    assert number(1234567.0, 1000.0) == "1,234,567"


def test_many_points_become_means_of_neighbours():
    points = [(float(x), float(x % 2)) for x in range(1000)]
    assert binned(points, 1000) == points
    assert binned(points, 500) == [(2 * n + 0.5, 0.5) for n in range(500)]
    assert len(binned(points, 300)) == 250
    points[7] = (7.0, math.nan)
    assert [math.isnan(y) for _, y in binned(points, 500)].index(True) == 3
