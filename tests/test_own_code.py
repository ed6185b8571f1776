import linecache
import subprocess
import sys

import pytest

from llmcourse import learner, own_code
from llmcourse.errors import UserError

NOTEBOOK = {}


def cell(source, names=None):
    """Run a notebook's cell as its kernel does: its source can be found afterwards."""
    names = {"__name__": "__main__"} if names is None else names
    name = f"<cell {len(NOTEBOOK)}>"
    NOTEBOOK[name] = source
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), names)
    return names


def test_a_function_is_kept_with_what_it_calls_and_imports():
    names = cell(
        "import math\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\nRATE = 3"
    )
    cell("def halve(x: Tensor) -> Tensor:\n    return x / 2 * RATE", names)
    cell(
        "def use(x: Tensor, way=math.floor) -> float:\n    return way(F.relu(halve(x)).sum())",
        names,
    )
    path = own_code.save(names["use"])
    assert path == learner.path().parent / "own_code" / "use.py"
    assert own_code.names() == ["use"]
    import torch

    assert own_code.load("use")(torch.tensor([1.0, 2.0, -9.0])) == 4
    text = path.read_text()
    assert text.index("def halve") < text.index("def use")
    assert "import torch.nn.functional as F\n" in text
    assert "RATE = 3\n" in text
    assert "nn" not in text.replace("torch.nn.functional", "")


def test_another_process_can_load_it():
    names = cell("def double(x):\n    return twice(x)\n\n\ndef twice(x):\n    return 2 * x")
    own_code.save(names["double"])
    script = "from llmcourse import own_code; print(own_code.load('double')(21))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "42\n"


def test_a_helper_under_another_name_and_one_that_calls_itself():
    names = cell("def down(n):\n    return n if n < 1 else down(n - 1)\n\n\nlower = down")
    cell("def start(n):\n    return lower(n) + 1", names)
    own_code.save(names["start"])
    assert own_code.load("start")(3) == 1


def test_a_function_out_of_a_module_without_a_name_of_its_own():
    names = cell("from torch import exp\n\n\ndef grow(x):\n    return exp(x)")
    own_code.save(names["grow"])
    assert "import exp as exp" in (own_code.folder() / "grow.py").read_text()
    import torch

    assert own_code.load("grow")(torch.zeros(())) == 1


def test_a_name_of_its_own_is_not_the_notebooks():
    names = cell("import torch\nq = k = mean = torch.ones(3)\nsize = lambda: 1")
    source = """\
def look(q, scale=1.0):
    k = [q for q in range(3)]
    def mean(size):
        return size
    return q.mean() * mean(scale) + sum(k) * 0 * len([size for size in k])"""
    cell(source, names)
    own_code.save(names["look"])
    assert (own_code.folder() / "look.py").read_text().strip() == source
    import torch

    assert own_code.load("look")(torch.ones(3)) == 1


def test_keeping_again_replaces():
    own_code.save(cell("def answer():\n    return 1")["answer"])
    own_code.save(cell("def answer():\n    return 2")["answer"])
    assert own_code.load("answer")() == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: 3, "3 is no function of yours"),
        (lambda: len, "is no function of yours"),
        (lambda: cell("f = lambda: 1")["f"], "is no function of yours"),
        (lambda: cell("import torch\nT = torch.ones(1)\ndef f():\n    return T")["f"], "uses 'T'"),
        (lambda: cell("class A: pass\ndef f():\n    return A()")["f"], "f uses 'A'"),
    ],
)
def test_what_cannot_be_written_down_is_told_in_one_line(make, said):
    with pytest.raises(UserError) as caught:
        own_code.save(make())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert own_code.names() == []


def test_a_function_without_a_source_is_told_so():
    names = {"__name__": "__main__"}
    exec(compile("def f():\n    return 1", "<nowhere>", "exec"), names)
    with pytest.raises(UserError, match="the source of f is not to be found"):
        own_code.save(names["f"])


def test_what_was_not_kept_or_no_longer_runs_is_told_so():
    with pytest.raises(UserError, match="no function 'gone' was kept"):
        own_code.load("gone")
    own_code.folder().mkdir(parents=True)
    (own_code.folder() / "broken.py").write_text("def broken(:\n")
    with pytest.raises(UserError, match=r"broken\.py no longer runs"):
        own_code.load("broken")


def test_no_room_is_told_in_one_line():
    learner.path().parent.mkdir(parents=True, exist_ok=True)
    own_code.folder().write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot keep"):
        own_code.save(cell("def f():\n    return 1")["f"])
