import itertools

import pytest

from llmcourse.viz import routing
from llmcourse.viz.graph import LEVELS

TOWER = {"top": (0.5, 3.0), "middle": (0.5, 2.0), "low": (0.5, 1.0), "aside": (0.9, 1.0)}


def inside(point, box):
    """Whether a point lies in a box: written anew, by looking at points one by one."""
    return (
        abs(point[0] - box[0]) < routing.WIDTH / 2 and abs(point[1] - box[1]) < routing.HEIGHT / 2
    )


def points_of(route):
    for (x0, y0), (x1, y1) in itertools.pairwise(route):
        for step in range(201):
            yield x0 + (x1 - x0) * step / 200, y0 + (y1 - y0) * step / 200


def test_neighbours_are_joined_straight():
    (route,) = routing.arrows([("top", "middle")], TOWER)
    assert route == [(0.5, 3 - routing.HEIGHT / 2), (0.5, 2 + routing.HEIGHT / 2)]


def test_a_box_in_the_way_is_gone_round():
    (route,) = routing.arrows([("top", "low")], TOWER)
    assert len(route) > 2
    assert not any(inside(point, TOWER["middle"]) for point in points_of(route))
    assert route[0][1] == pytest.approx(3 - routing.HEIGHT / 2)
    assert route[-1] == (0.5, 1 + routing.HEIGHT / 2)


def test_boxes_on_one_level_are_joined_by_their_sides():
    (route,) = routing.arrows([("aside", "low")], TOWER)
    assert route == [(0.9 - routing.WIDTH / 2, 1.0), (0.5 + routing.WIDTH / 2, 1.0)]


def test_arrows_that_meet_at_a_box_do_not_touch_there():
    edges = [("top", "low"), ("middle", "low"), ("top", "middle"), ("top", "aside")]
    routes = routing.arrows(edges, TOWER)
    ends = [route[-1] for route in routes] + [route[0] for route in routes]
    assert len(set(ends)) == len(ends)


def test_even_a_package_where_everything_imports_everything_is_drawn_round_its_boxes():
    places = {
        part: (x, float(height)) for height, row in enumerate(LEVELS) for part, x in row.items()
    }
    places = {part: place for part, place in places.items() if place[1]}
    edges = [("train", one) for one in ("data", "nn", "optim", "models", "tokenizers")]
    edges += [("viz", one) for one in ("train", "nn", "tokenizers", "models")]
    edges += [("checks", one) for one in ("nn", "optim", "data")]
    edges += [
        ("serve", "generate"),
        ("serve", "export"),
        ("export", "models"),
        ("export", "tokenizers"),
    ]
    routes = routing.arrows(edges, places)
    assert len(routes) == len(edges)
    assert not [
        (route, part)
        for route in routes
        for part, place in places.items()
        if any(inside(point, place) for point in list(points_of(route))[3:-3])
    ]


def test_stretches_that_lie_on_one_another_are_noticed():
    upright = ((0.5, 3.0), (0.5, 1.0))
    assert routing._along(upright, ((0.505, 2.0), (0.505, 0.0)))
    assert not routing._along(upright, ((0.6, 2.0), (0.6, 0.0)))
    assert not routing._along(upright, ((0.5, 0.9), (0.5, 0.0)))
    assert not routing._along(upright, ((0.0, 2.0), (1.0, 2.0)))
