"""The exercises on a file that leaves: the header that it begins with, and parity.

Not here: the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 17
teaches this.
"""

import json
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "17"
FILE = "1. What is in the file?"
GRAPH = "3. Can it run without PyTorch?"

# 1. Read the header


@exercise(CHAPTER, read=FILE)
def shapes_in(data: bytes) -> dict[str, list[int]]:
    """The shape of each tensor in a safetensors file, by name."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return {name: each["shape"] for name, each in header.items() if name != "__metadata__"}


def _file(
    shapes: dict[str, list[int]], metadata: bool = False, padding: int = 0, dtype: str = "F32"
) -> bytes:
    """A safetensors file. Its numbers are closing braces: JSON does not end with the last one."""
    header: dict = {"__metadata__": {"format": "pt"}} if metadata else {}
    at = 0
    for name, shape in shapes.items():
        size = (2 if dtype == "BF16" else 4) * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, ensure_ascii=False).encode() + b" " * padding
    return len(text).to_bytes(8, "little") + text + b"}" * at


@shapes_in.cases
def _() -> Iterator[Case]:
    yield case("one tensor", _file({"w": [2, 3]}))
    yield case("with metadata", _file({"w": [4], "b": [1, 1]}, metadata=True))
    yield case("a padded header", _file({"w": [2]}, padding=5))
    yield case("more than 255 bytes of header", _file({f"layer.{n}": [n, 2] for n in range(1, 9)}))
    yield case("names beyond ASCII", _file({"größe": [3], "权重": [2, 2]}, metadata=True))
    yield case("no tensor", _file({}))
    yield case("no tensor, and metadata", _file({}, metadata=True))
    yield case("a single number, and no number", _file({"step": [], "none": [0, 4], "w": [2]}))
    yield case("three axes", _file({"kernel": [4, 2, 3]}))
    yield case("a name that begins with _", _file({"_orig_mod.w": [2, 3]}))
    yield case("a name that begins with __", _file({"__bias__": [2], "w": [1]}, metadata=True))
    yield case("a name that holds metadata", _file({"metadata.w": [3], "b": [1]}, metadata=True))
    yield case("names of any sign", _file({"Model.W": [2], "layer-1/w": [3]}))
    yield case("half precision", _file({"w": [2, 2]}, dtype="BF16"))
    yield case("whole numbers", _file({"ids": [5]}, dtype="I32"))
    yield case("more than 65,535 bytes of header", _file({"long." * 14000 + "w": [1]}))


def _header(data: bytes) -> dict:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


@shapes_in.mistake(
    "the metadata is taken for a tensor",
    hint="`__metadata__` is a note, not a tensor: leave it out.",
)
def _(data):
    return {name: each.get("shape") for name, each in _header(data).items()}


@shapes_in.mistake(
    "names that look like notes are left out",
    hint="`__metadata__` alone is no tensor: a tensor may have any other name, `__bias__` too.",
)
def _(data):
    return {n: each["shape"] for n, each in _header(data).items() if not n.startswith("__")}


@shapes_in.mistake(
    "one byte of length", hint="The length takes eight bytes. Its first alone ends at 255."
)
def _(data):
    header = json.loads(data[8 : 8 + data[0]])
    return {name: each["shape"] for name, each in header.items() if name != "__metadata__"}


@shapes_in.mistake(
    "reads more than the header",
    hint="JSON ends with the header, `length` bytes behind the eighth. The length has its smallest "
    "byte first (`little`): read from the other end it is longer than any file.",
)
def _(data):
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "big")])
    return {name: each["shape"] for name, each in header.items() if name != "__metadata__"}


@shapes_in.mistake(
    "the offsets", hint="Those are the places of the bytes. Wanted is what stands under `shape`."
)
def _(data):
    return {n: each["data_offsets"] for n, each in _header(data).items() if n != "__metadata__"}


@shapes_in.mistake("the names alone", hint="Wanted is a dictionary: from each name to its shape.")
def _(data):
    return [name for name in _header(data) if name != "__metadata__"]


def _shapes(header: dict) -> dict:
    return {name: each["shape"] for name, each in header.items() if name != "__metadata__"}


@shapes_in.mistake(
    "two bytes of length", hint="The length takes eight bytes. The first two alone end at 65,535."
)
def _(data):
    return _shapes(json.loads(data[8 : 8 + int.from_bytes(data[:2], "little")]))


@shapes_in.mistake("numbers of numbers", hint="Wanted is the shape itself, not its product.")
def _(data):
    return {name: math.prod(shape) for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake("the whole entries", hint='Each entry is a dictionary. Take its `"shape"` out.')
def _(data):
    return {n: each for n, each in _header(data).items() if n != "__metadata__"}


@shapes_in.mistake("the dtypes", hint='`"dtype"` says how a number is stored. Take `"shape"`.')
def _(data):
    return {n: each["dtype"] for n, each in _header(data).items() if n != "__metadata__"}


@shapes_in.mistake(
    "shapes backwards", hint="A shape's order counts: `[out, in]` is no `[in, out]`."
)
def _(data):
    return {name: shape[::-1] for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake("shapes sorted", hint="A shape's order counts: leave it as it stands.")
def _(data):
    return {name: sorted(shape) for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake("pairs", hint="Wanted is a dictionary. `dict(...)` makes one of such pairs.")
def _(data):
    return list(_shapes(_header(data)).items())


@shapes_in.mistake("the shapes alone", hint="Wanted is a dictionary: each shape under its name.")
def _(data):
    return list(_shapes(_header(data)).values())


@shapes_in.mistake(
    "the first entry is left out", hint="Not every file has `__metadata__`: look at the name."
)
def _(data):
    return {n: each["shape"] for n, each in list(_header(data).items())[1:]}


@shapes_in.mistake("stops at the metadata", hint="Pass over `__metadata__`, and go on behind it.")
def _(data):
    header = _header(data)
    names = list(header)
    end = names.index("__metadata__") if "__metadata__" in names else len(names)
    return {name: header[name]["shape"] for name in names[:end]}


@shapes_in.mistake(
    "names that begin with _ are left out",
    hint="`__metadata__` alone is no tensor. PyTorch itself writes names such as `_orig_mod.w`.",
)
def _(data):
    return {n: shape for n, shape in _shapes(_header(data)).items() if n[0] != "_"}


@shapes_in.mistake(
    "tensors of no axis are left out",
    hint="`[]` is a shape, too: that of a single number. An empty list counts as False in an `if`.",
)
def _(data):
    return {name: shape for name, shape in _shapes(_header(data)).items() if shape}


@shapes_in.mistake("one tensor alone", hint="A `return` within the loop ends it at the first one.")
def _(data):
    return dict(list(_shapes(_header(data)).items())[:1])


@shapes_in.mistake(
    "an empty shape for the metadata", hint="Leave `__metadata__` out: it must not get an entry."
)
def _(data):
    return {name: each.get("shape", []) for name, each in _header(data).items()}


@shapes_in.mistake(
    "None for a file without tensors", hint="A file may hold no tensor. Then return an empty dict."
)
def _(data):
    return _shapes(_header(data)) or None


@shapes_in.mistake(
    "bytes taken for Latin letters", hint="JSON is UTF-8 here: `json.loads` takes the bytes itself."
)
def _(data):
    return _shapes(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")].decode("latin-1")))


@shapes_in.mistake(
    "the names are cut", hint="A name is the whole key, dots and all: two layers share their ends."
)
def _(data):
    return {name.split(".")[-1]: shape for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake(
    "counted from the offsets",
    hint="The offsets say how many bytes a tensor takes. Its axes stand under `shape`.",
)
def _(data):
    entries = {n: e["data_offsets"] for n, e in _header(data).items() if n != "__metadata__"}
    return {name: [(end - start) // 4] for name, (start, end) in entries.items()}


@shapes_in.mistake(
    "the metadata is taken for granted",
    hint='Not every file has `__metadata__`: `pop("__metadata__", None)`, or look at each name.',
)
def _(data):
    header = _header(data)
    header.pop("__metadata__")
    return _shapes(header)


@shapes_in.mistake("bytes taken for ASCII", hint="JSON is UTF-8 here: a name may have any letter.")
def _(data):
    return _shapes(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")].decode("ascii")))


@shapes_in.mistake(
    "no JSON where you read",
    hint="What you read is empty, or does not begin with a brace. All of the first eight bytes are "
    "the length, the smallest byte first; the header begins behind them.",
)
def _(data):
    return _shapes(json.loads(data[: int.from_bytes(data[:8], "little")]))


@shapes_in.mistake(
    "eight bytes too few", hint="The header *begins* at 8, so it ends at 8 + length, not at length."
)
def _(data):
    return _shapes(json.loads(data[8 : int.from_bytes(data[:8], "little")]))


@shapes_in.mistake("text", hint="Wanted is the dictionary itself, not JSON of it.")
def _(data):
    return json.dumps(_shapes(_header(data)))


@shapes_in.mistake("numbers of axes", hint="Wanted is the shape, not its length.")
def _(data):
    return {name: len(shape) for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake(
    "from shapes to names", hint="The names are the keys, and the shapes the values."
)
def _(data):
    return {tuple(shape): name for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake("matrices alone", hint="A tensor may have any number of axes: keep them all.")
def _(data):
    return {name: shape for name, shape in _shapes(_header(data)).items() if len(shape) == 2}


@shapes_in.mistake("shapes as text", hint="A shape is a list of whole numbers: no `str`.")
def _(data):
    return {name: str(shape) for name, shape in _shapes(_header(data)).items()}


@shapes_in.mistake(
    "one byte too few", hint="The header ends at 8 + length: a slice's end is not in it."
)
def _(data):
    return _shapes(json.loads(data[8 : 7 + int.from_bytes(data[:8], "little")]))


# 6. Parity


@exercise(CHAPTER, variants=("float64", "non-contiguous"), read=GRAPH)
def parity(ours: Float[Tensor, "T V"], theirs: Float[Tensor, "T V"]) -> tuple[float, int]:
    """The largest logit difference, and how many tokens agree before the first that does not."""
    largest = (ours - theirs).abs().max().item()
    same = (ours.argmax(-1) == theirs.argmax(-1)).tolist()
    return largest, same.index(False) if False in same else len(same)


def _near(T: int, V: int) -> tuple[Tensor, Tensor]:
    """Logits, and others that are near enough for the first tokens to agree."""
    ours = torch.randn(T, V)
    theirs = ours + 0.2 * torch.randn(T, V)
    theirs[7, ours[7].argmin()] = 5.0
    theirs[2, ours[2].argmin()] += 1.0
    theirs[2] -= 1.0
    return ours, theirs


@parity.cases
def _() -> Iterator[Case]:
    hand = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.5]])
    yield case("by hand", hand, torch.tensor([[1.5, 0.0], [0.5, 0.25], [2.0, 0.5]]))
    yield case("the same", hand, hand.clone())
    yield case("the first differs", hand, torch.tensor([[0.0, 1.0], [0.0, 1.0], [2.0, 0.5]]))
    yield case("near, all agree", hand, hand + torch.tensor([0.0, -0.25]))
    yield case("theirs is larger", hand, hand + 3.0)
    yield case("one token", hand[:1], hand[:1] - 0.5)
    yield case("random", torch.randn(9, 4), torch.randn(9, 4))
    yield case("random, and near", *_near(12, 5))
    low = torch.tensor([[3.0, 0.0, 1.0], [0.0, 4.0, 1.0]])
    yield case("an unlikely one differs", low, low - torch.tensor([0.0, 2.0, 0.0]))
    yield case("the sign differs", low - 2, torch.tensor([[1.0, 2.0, -1.0], [2.0, 2.5, -1.0]]))
    parts = torch.eye(4)[[0, 1, 2, 3, 3, 0]]
    yield case("they meet again", parts * 2, torch.eye(4)[[0, 1, 0, 3, 3, 0]])


def _parity(ours, theirs, *, gap=None, count=None):
    same = (ours.argmax(-1) == theirs.argmax(-1)).long()
    gap = (ours - theirs).abs().max() if gap is None else gap
    return float(gap), int(same.cumprod(0).sum() if count is None else count(same))


@parity.mistake(
    "all that agree",
    hint="After the first other token the texts part. Count up to it, not those behind.",
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda same: same.sum())


@parity.mistake("no magnitude", hint="Theirs may be larger: take the magnitude of the difference.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).max())


@parity.mistake("the mean difference", hint="A mean hides one bad logit. Wanted is the largest.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).abs().mean())


@parity.mistake("the likeliest alone", hint="Compare all V logits of each place.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours.amax(-1) - theirs.amax(-1)).abs().max())


@parity.mistake("a share", hint="Wanted is how many tokens agree, not which share.")
def _(ours, theirs):
    gap, count = _parity(ours, theirs)
    return gap, count / len(ours)


@parity.mistake(
    "nothing if nothing differs", hint="If all tokens agree, their number is T: think of that end."
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: 0 if s.all() else s.cumprod(0).sum())


@parity.mistake("-1 if nothing differs", hint="If all tokens agree, their number is T, not -1.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: -1 if s.all() else s.cumprod(0).sum())


@parity.mistake("one too few if nothing differs", hint="If all tokens agree, their number is T.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: s.cumprod(0).sum() - int(s.all()))


@parity.mistake(
    "the first that differs counts, too", hint="The first that differs does not agree: stop there."
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: s.cumprod(0).sum() + int(not s.all()))


def _runs(same):
    return "".join(map(str, same.tolist())).split("0")


@parity.mistake(
    "the longest run",
    hint="Count from the *first* place on: the texts part at the first difference.",
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: max(map(len, _runs(s))))


@parity.mistake("those that differ", hint="Wanted is how many agree, up to the first that differs.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: (1 - s).sum())


@parity.mistake("counted from the end", hint="Count from the first place on, as a text is written.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: s.flip(0).cumprod(0).sum())


@parity.mistake("all or none", hint="Wanted is how many agree before the first that does not.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: len(s) if s.all() else 0)


@parity.mistake("yes or no for each place", hint="Count them: wanted is one whole number.")
def _(ours, theirs):
    same = ours.argmax(-1) == theirs.argmax(-1)
    return float((ours - theirs).abs().max()), same.tolist()


def _agree(mine, others):
    same = [bool(one) for one in mine == others]
    return same.index(False) if False in same else len(same)


@parity.mistake("the unlikeliest tokens", hint="Greedy decoding takes the largest logit: `argmax`.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda _: _agree(ours.argmin(-1), theirs.argmin(-1)))


@parity.mistake(
    "the likeliest place of each token", hint="Logits are [T, V]: take the likeliest along V."
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda _: _agree(ours.argmax(0), theirs.argmax(0)))


@parity.mistake("one choice for all places", hint="Each place has a token: `argmax` along V.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda _: int(ours.argmax() == theirs.argmax()))


@parity.mistake(
    "the largest logits are compared", hint="Compare *which* token is the likeliest: `argmax`."
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda _: _agree(ours.amax(-1), theirs.amax(-1)))


@parity.mistake(
    "equal logits",
    hint="Tokens agree if the likeliest is the same, though the logits differ a bit.",
)
def _(ours, theirs):
    near = torch.isclose(ours, theirs).all(-1)
    return _parity(ours, theirs, count=lambda _: _agree(near, torch.ones_like(near)))


@parity.mistake("of probabilities", hint="Compare the logits as they are: no softmax.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours.softmax(-1) - theirs.softmax(-1)).abs().max())


@parity.mistake("of log-probabilities", hint="Compare the logits as they are: no log_softmax.")
def _(ours, theirs):
    apart = ours.log_softmax(-1) - theirs.log_softmax(-1)
    return _parity(ours, theirs, gap=apart.abs().max())


@parity.mistake("relative", hint="Wanted is the difference itself, not divided by a logit.")
def _(ours, theirs):
    apart = (ours - theirs).abs() / ours.abs().clamp(min=1e-9)
    return _parity(ours, theirs, gap=apart.max())


@parity.mistake(
    "the norm of the difference", hint="Wanted is the largest difference of two logits."
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).norm())


@parity.mistake("the mean square", hint="Any mean hides one bad logit. Wanted is the largest.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).square().mean().sqrt())


@parity.mistake(
    "the largest mean of a place", hint="No mean: the largest of all T · V differences."
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).abs().mean(-1).max())


@parity.mistake(
    "the magnitude after the largest",
    hint="First the magnitude of each difference, then the largest.",
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).max().abs())


@parity.mistake(
    "the magnitudes are compared",
    hint="−1 and 1 differ by 2: subtract first, then take magnitudes.",
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours.abs() - theirs.abs()).abs().max())


@parity.mistake(
    "the two largest are compared", hint="Subtract logit from logit, and then look for the largest."
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours.max() - theirs.max()).abs())


@parity.mistake(
    "at the places that agree alone", hint="Look at all T places, behind the first difference, too."
)
def _(ours, theirs):
    _, count = _parity(ours, theirs)
    return float((ours - theirs)[:count].abs().max()) if count else 0.0, count


@parity.mistake("the last place alone", hint="Look at the logits of all T places.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs)[-1].abs().max())


@parity.mistake(
    "the first place alone", hint="`[0]` is the first of T places: look at all of them."
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs)[0].abs().max())


@parity.mistake(
    "the magnitude of the smallest",
    hint="The smallest is the largest downwards alone: first `abs`, then `max`.",
)
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).min().abs())


@parity.mistake("the median difference", hint="A median hides bad logits. Wanted is the largest.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours - theirs).abs().median())


@parity.mistake("the tokens are subtracted", hint="Subtract the *logits*: tokens are mere names.")
def _(ours, theirs):
    return _parity(ours, theirs, gap=(ours.argmax(-1) - theirs.argmax(-1)).abs().max())


@parity.mistake("those from the first that differs on", hint="Count those *before* it.")
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda s: len(s) - s.cumprod(0).sum())


@parity.mistake("up to the last that differs", hint="Stop at the *first* that differs.")
def _(ours, theirs):
    return _parity(
        ours, theirs, count=lambda s: len(s) - s.flip(0).cumprod(0).sum() - int(not s.all())
    )


@parity.mistake(
    "the two likeliest", hint="Each place has one token: the likeliest. The second does not matter."
)
def _(ours, theirs):
    both = (ours.topk(2, -1).indices == theirs.topk(2, -1).indices).all(-1)
    return _parity(ours, theirs, count=lambda _: _agree(both, torch.ones_like(both)))


@parity.mistake("the difference alone", hint="Two numbers are wanted: how many tokens agree, too.")
def _(ours, theirs):
    return float((ours - theirs).abs().max())


@parity.mistake("yes or no", hint="Wanted is how *many* tokens agree.")
def _(ours, theirs):
    gap, count = _parity(ours, theirs)
    return gap, count == len(ours)


@parity.mistake("one for each place", hint="Wanted is one number: the largest over all places.")
def _(ours, theirs):
    return (ours - theirs).abs().amax(-1), _parity(ours, theirs)[1]


@parity.mistake(
    "at the likeliest token alone",
    hint="Compare all V logits of each place, the unlikely ones, too.",
)
def _(ours, theirs):
    chosen = ours.argmax(-1, keepdim=True)
    return _parity(ours, theirs, gap=(ours - theirs).gather(-1, chosen).abs().max())
