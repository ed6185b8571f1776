import math

import pytest
import torch
from matplotlib.colors import to_hex

from llmcourse.errors import UserError
from llmcourse.optim.adam import Adam
from llmcourse.optim.sgd import SGD
from llmcourse.viz import descent, style

RAVINE = descent.SURFACES["ravine"]


def test_a_path_on_the_ravine_is_the_formula():
    """On a quadratic, plain descent multiplies each weight by 1 - rate · curvature."""
    path = descent.descend(RAVINE, descent.optimizer_named("SGD", 0.03), 20)
    x = [-4 * (1 - 0.03) ** t for t in range(21)]
    y = [(1 - 0.03 * 20) ** t for t in range(21)]
    torch.testing.assert_close(path, torch.tensor([x, y], dtype=torch.float64).T)


@pytest.mark.parametrize(("rate", "falls"), [(0.099, True), (0.101, False)])
def test_the_limit_is_two_over_the_steepest_curvature(rate, falls):
    path = descent.descend(RAVINE, descent.optimizer_named("SGD", rate), 100)
    high = descent.heights(RAVINE, path)
    assert (high[-1] < high[0]) == falls


def test_a_descent_that_flies_away_ends_before_infinity():
    path = descent.descend(RAVINE, descent.optimizer_named("SGD", 1.0), 60)
    assert 1 < len(path) < 20
    assert path.isfinite().all()


@pytest.mark.parametrize("name", descent.SURFACES)
def test_the_star_is_lowest_and_all_lies_within_the_picture(name):
    surface = descent.SURFACES[name]
    ticks = [torch.linspace(*limits, 201, dtype=torch.float64) for limits in (surface.x, surface.y)]
    high = surface.height(*torch.meshgrid(*ticks, indexing="ij"))
    (lowest,) = descent.heights(surface, torch.tensor([surface.lowest], dtype=torch.float64))
    assert lowest.item() == 0
    assert high.min() >= 0
    for place, limits in zip(
        (surface.start, surface.lowest), ((surface.x, surface.y),) * 2, strict=True
    ):
        assert all(low < part < top for part, (low, top) in zip(place, limits, strict=True))


def test_turning_the_ravine_changes_nothing_for_sgd_and_much_for_adam():
    def end(name, turned):
        surface = RAVINE
        if turned:
            x, y = RAVINE.start
            start = ((x - y) / 2**0.5, (x + y) / 2**0.5)
            surface = descent.SURFACES["turned ravine"]._replace(start=start)
        path = descent.descend(surface, descent.optimizer_named(name, 0.05), 40)
        return descent.heights(surface, path)[-1].item()

    assert end("SGD", True) == pytest.approx(end("SGD", False), rel=1e-9)
    assert abs(end("Adam", True) - end("Adam", False)) > 0.1 * end("Adam", False)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("momentum", lambda p: torch.optim.SGD(p, 0.02, momentum=0.8)),
        ("Nesterov", lambda p: torch.optim.SGD(p, 0.02, momentum=0.8, nesterov=True)),
        ("RMSProp", lambda p: torch.optim.RMSprop(p, 0.02, alpha=0.9)),
        ("Adam", lambda p: torch.optim.Adam(p, 0.02, betas=(0.8, 0.99))),
        ("Muon", lambda p: torch.optim.Muon(p, 0.02, weight_decay=0, momentum=0.8)),
    ],
)
def test_the_names_are_the_optimizers_with_their_memory(name, library):
    banana = descent.SURFACES["banana"]
    ours = descent.descend(banana, descent.optimizer_named(name, 0.02, 0.8), 25)
    # The library's Muon multiplies in bfloat16, ours on a processor in float32.
    slack = {"rtol": 1e-2, "atol": 1e-2} if name == "Muon" else {}
    torch.testing.assert_close(ours, descent.descend(banana, library, 25), **slack)
    assert (ours[-1] - ours[0]).norm() > 0.1


def test_without_momentum_momentum_is_sgd_and_lion_moves_by_the_rate():
    make = descent.optimizer_named
    plain, still = (descent.descend(RAVINE, make(n, 0.02, 0.0), 9) for n in ("SGD", "Nesterov"))
    assert torch.equal(plain, still)
    steps = descent.descend(RAVINE, make("Lion", 0.02), 9).diff(dim=0).abs()
    torch.testing.assert_close(steps, torch.full_like(steps, 0.02))


def test_contours_draw_each_way_and_the_star():
    paths = {
        "Adam": descent.descend(RAVINE, lambda p: Adam(p, 0.1), 5),
        "SGD": descent.descend(RAVINE, lambda p: SGD(p, 0.02), 7),
    }
    ax = descent.contours(RAVINE, paths, title="Said")
    adam, sgd, star = ax.lines
    assert len(adam.get_xdata()) == 6
    assert len(sgd.get_xdata()) == 8
    assert (adam.get_xdata()[0], adam.get_ydata()[0]) == RAVINE.start
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0, 0)
    assert to_hex(adam.get_color()) == style.ACCENT
    assert ax.get_title(loc="left") == "Said"
    assert ax.get_xlim() == RAVINE.x


def test_curves_of_height_are_logarithms_with_a_floor():
    path = torch.tensor([[10.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    ax = descent.height_curves(RAVINE, {"one": path})
    expected = [math.log10(50), math.log10(10), -8]
    assert ax.lines[0].get_ydata().tolist() == pytest.approx(expected)
    assert {text.get_text() for text in ax.texts} == {"one"}


def test_one_picture_says_how_it_ended():
    drawn = descent.descent("ravine", "SGD", rate=0.05, momentum=0.9)
    assert "after 60 steps" in drawn.axes[1].get_title(loc="left")
    drawn = descent.descent("ravine", "SGD", rate=0.105, momentum=0.9, steps=100)
    assert drawn.axes[1].get_title(loc="left") == "it flies away"


def test_names_that_are_none():
    with pytest.raises(UserError, match="no surface is called 'ravin'; did you mean 'ravine'"):
        descent.descent("ravin", "SGD", rate=0.1, momentum=0.9)
    with pytest.raises(UserError, match="no optimizer is called 'Adm'"):
        descent.optimizer_named("Adm", 0.1)


def test_the_explorer_redraws():
    explorer = descent.descent_explorer(steps=10)
    assert set(explorer.controls) == {"surface", "optimizer", "rate", "momentum"}
    before = explorer.picture.value
    changes = {"optimizer": "momentum", "momentum": 0.5, "rate": 0.1, "surface": "banana"}
    for name, value in changes.items():
        explorer.controls[name].value = value
        assert explorer.message.value == ""
        assert explorer.picture.value != before
        before = explorer.picture.value
    for name in descent.OPTIMIZERS:
        explorer.controls["optimizer"].value = name
        assert explorer.message.value == ""
