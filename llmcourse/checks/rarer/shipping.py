"""Rarer mistakes of the exercises on files and on parity. Chapter 17 teaches this."""

import json

from llmcourse.checks.bank.shipping import parity, shapes_in


def _header(data, *, size=None, begin=8):
    size = int.from_bytes(data[:8], "little") if size is None else size
    return json.loads(data[begin : begin + size])


def _shapes(data, *, keep=None, shape=None):
    """The shapes, with what is kept of the header, or what is said of each, exchanged."""
    keep = keep or (lambda name, entry: name != "__metadata__")
    shape = shape or (lambda entry: entry["shape"])
    return {name: shape(e) for name, e in _header(data).items() if keep(name, e)}


@shapes_in.mistake(
    "all names with metadata in them left out",
    hint="You leave out all names that hold the word metadata. The entry `__metadata__` alone is "
    "no tensor.",
)
def _(data):
    return _shapes(data, keep=lambda name, e: "metadata" not in name)


@shapes_in.mistake(
    "an empty shape as one number",
    hint="You write [1] for an empty shape. It is [].",
)
def _(data):
    return _shapes(data, shape=lambda e: e["shape"] or [1])


@shapes_in.mistake(
    "tensors without numbers left out",
    hint="You leave out tensors with a 0 in their shape. They are tensors.",
)
def _(data):
    return _shapes(
        data, keep=lambda name, e: name != "__metadata__" and 0 not in e.get("shape", [])
    )


@shapes_in.mistake(
    "float tensors alone",
    hint="You keep tensors of floating numbers. Whole numbers and truth values are tensors, too.",
)
def _(data):
    return _shapes(data, keep=lambda name, e: "F" in e.get("dtype", ""))


@shapes_in.mistake(
    "single precision alone",
    hint="You keep tensors of dtype F32. The others are tensors, too.",
)
def _(data):
    return _shapes(data, keep=lambda name, e: e.get("dtype") == "F32")


@shapes_in.mistake(
    "tuples",
    hint="You return tuples. A shape is asked for as a list.",
)
def _(data):
    return _shapes(data, shape=lambda e: tuple(e["shape"]))


@shapes_in.mistake(
    "bytes in place of the shape",
    hint="You return how many bytes each tensor takes. The shape is asked for.",
)
def _(data):
    return _shapes(data, shape=lambda e: e["data_offsets"][1] - e["data_offsets"][0])


@shapes_in.mistake(
    "axes of one left out",
    hint="You leave out the axes of size 1. The shape is asked for as it stands.",
)
def _(data):
    return _shapes(data, shape=lambda e: [n for n in e["shape"] if n != 1])


@shapes_in.mistake(
    "shapes with their dtype",
    hint="You return dtype and shape. The shape is asked for.",
)
def _(data):
    return _shapes(data, shape=lambda e: [e["dtype"], e["shape"]])


@shapes_in.mistake(
    "names in ASCII",
    hint="You read the header as ASCII and drop the rest. It is UTF-8.",
)
def _(data):
    size = int.from_bytes(data[:8], "little")
    found = json.loads(data[8 : 8 + size].decode("ascii", "ignore"))
    return {name: e["shape"] for name, e in found.items() if name != "__metadata__"}


def _parity(ours, theirs, *, apart=None, count=None):
    gap = (ours - theirs).abs()
    apart = apart(gap) if apart else float(gap.max())
    same = (ours.argmax(-1) == theirs.argmax(-1)).tolist()
    return apart, count(same) if count else [*same, False].index(False)


@parity.mistake(
    "the mean of the squares",
    hint="You return the mean squared difference. The largest magnitude is asked for.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float((gap**2).mean()))


@parity.mistake(
    "the mean of the places' largest",
    hint="You take the mean of each place's largest difference. The largest of all is asked for.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float(gap.amax(-1).mean()))


@parity.mistake(
    "the largest sum of a place",
    hint="You add the differences of a place up, then take the largest. Single logits are "
    "compared.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float(gap.sum(-1).max()))


@parity.mistake(
    "relative to ours",
    hint="You divide by our logits. The difference is asked for as it is.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float((gap / ours.abs().clamp(min=1e-8)).max()))


@parity.mistake(
    "relative to our largest logit",
    hint="You divide by our largest magnitude. The difference is asked for as it is.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float(gap.max() / ours.abs().max()))


@parity.mistake(
    "relative to theirs",
    hint="You divide by their logits. The difference is asked for as it is.",
)
def _(ours, theirs):
    return _parity(
        ours, theirs, apart=lambda gap: float((gap / theirs.abs().clamp(min=1e-8)).max())
    )


@parity.mistake(
    "the difference without magnitudes, theirs less ours",
    hint="You take the largest of theirs less ours. A large negative one counts, too.",
)
def _(ours, theirs):
    return float((theirs - ours).max()), _parity(ours, theirs)[1]


@parity.mistake(
    "the difference as far as the tokens agree",
    hint="You compare logits only up to the first token that differs. All places are compared.",
)
def _(ours, theirs):
    n = _parity(ours, theirs)[1]
    return float((ours - theirs)[: max(n, 1)].abs().max()), n


@parity.mistake(
    "the difference where the tokens agree",
    hint="You compare logits only at places whose tokens agree. All places are compared.",
)
def _(ours, theirs):
    same = ours.argmax(-1) == theirs.argmax(-1)
    gap = (ours - theirs).abs()[same]
    return float(gap.max()) if len(gap) else 0.0, _parity(ours, theirs)[1]


@parity.mistake(
    "rounded to three digits",
    hint="You round the difference. Return it as it is.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: round(float(gap.max()), 3))


@parity.mistake(
    "the share of agreeing tokens",
    hint="You return a share. A number of tokens is asked for.",
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda same: sum(same) / max(len(same), 1))


@parity.mistake(
    "whether all tokens agree",
    hint="You return whether all agree. The number is asked for.",
)
def _(ours, theirs):
    return _parity(ours, theirs, count=lambda same: int(all(same)))


@parity.mistake(
    "their token among our best two",
    hint="You let a token agree if it is among our best two. The likeliest of each are compared.",
)
def _(ours, theirs):
    best = ours.topk(min(2, ours.size(-1)), -1).indices
    same = (best == theirs.argmax(-1)[:, None]).any(-1).tolist()
    return _parity(ours, theirs)[0], [*same, False].index(False)


@shapes_in.mistake(
    "names in small letters",
    hint="You write names in small letters. They are asked for as they stand.",
)
def _(data):
    return {name.lower(): shape for name, shape in _shapes(data).items()}


@shapes_in.mistake(
    "shapes as they come, without their first axis",
    hint="You take the first axis for a batch and leave it out. The shape is asked for as it "
    "stands.",
)
def _(data):
    return _shapes(data, shape=lambda e: e["shape"][1:])


@shapes_in.mistake(
    "numbers in place of lists where there is one axis",
    hint="You return a number where the shape has one axis. It is a list of one.",
)
def _(data):
    return _shapes(data, shape=lambda e: e["shape"][0] if len(e["shape"]) == 1 else e["shape"])


@shapes_in.mistake(
    "names with a dot alone",
    hint="You keep names with a dot in them. A tensor's name may have none.",
)
def _(data):
    return _shapes(data, keep=lambda name, e: "." in name)


@shapes_in.mistake(
    "names of letters and digits alone",
    hint="You keep names that are plain words. A name may hold any sign.",
)
def _(data):
    return _shapes(data, keep=lambda name, e: name.replace(".", "").isalnum())


@shapes_in.mistake(
    "the metadata's own entries",
    hint="You return what `__metadata__` says as well. It is left out, with all that it holds.",
)
def _(data):
    return _shapes(data) | _header(data).get("__metadata__", {})


@shapes_in.mistake(
    "the largest size of a shape",
    hint="You return the largest number of each shape. The whole shape is asked for.",
)
def _(data):
    return _shapes(data, shape=lambda e: max(e["shape"], default=1))


@parity.mistake(
    "as a truth value whether the difference is small",
    hint="You return whether the logits are close. The largest difference is asked for.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float(gap.max() < 1e-3))


@parity.mistake(
    "the largest difference's place",
    hint="You return where the difference is largest. How large it is is asked for.",
)
def _(ours, theirs):
    return _parity(ours, theirs, apart=lambda gap: float(gap.argmax()))


@parity.mistake(
    "the difference of the largest and the smallest",
    hint="You return how far the differences lie apart. The largest magnitude is asked for.",
)
def _(ours, theirs):
    gap = ours - theirs
    return float(gap.max() - gap.min()), _parity(ours, theirs)[1]


@parity.mistake(
    "the place of the last agreement",
    hint="You return the last place that agrees. Count from the first on, until one differs.",
)
def _(ours, theirs):
    def count(same):
        return len(same) - same[::-1].index(True) if True in same else 0

    return _parity(ours, theirs, count=count)


@parity.mistake(
    "the places with a difference below a half",
    hint="You count places whose logits are near. The likeliest tokens are compared.",
)
def _(ours, theirs):
    near = ((ours - theirs).abs().amax(-1) < 0.5).tolist()
    return _parity(ours, theirs)[0], [*near, False].index(False)
