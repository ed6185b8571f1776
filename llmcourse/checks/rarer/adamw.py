"""Rarer mistakes of the exercise on AdamW. Chapter 06 teaches this."""

from llmcourse.checks.bank.adamw import adamw_step


def _step(
    numbers,
    settings,
    mean=None,
    square=None,
    corrected=lambda m, v, t, b1, b2: (m / (1 - b1**t), v / (1 - b2**t)),
    size=lambda v, eps: v.sqrt() + eps,
    new=lambda w, move, lr, decay: w - lr * move - lr * decay * w,
    before=lambda w, g, decay: g,
):
    """A step of AdamW, with one thing done otherwise."""
    weight, gradient, m, v, t = numbers
    lr, b1, b2, eps, decay = settings
    gradient = before(weight, gradient, decay)
    m = b1 * m + (1 - b1) * gradient if mean is None else mean(m, gradient, b1)
    v = b2 * v + (1 - b2) * gradient**2 if square is None else square(v, gradient, b2)
    first, second = corrected(m, v, t, b1, b2)
    return new(weight, first / size(second, eps), lr, decay), m, v


def _adamw(name, hint, **otherwise):
    """Catalogue a step that does one thing otherwise."""

    @adamw_step.mistake(name, hint=hint)
    def _(
        weight,
        gradient,
        mean,
        square,
        t,
        lr=0.01,
        beta1=0.9,
        beta2=0.99,
        eps=1e-6,
        decay=0.0,
    ):
        numbers, settings = (weight, gradient, mean, square, t), (lr, beta1, beta2, eps, decay)
        return _step(numbers, settings, **otherwise)


_adamw(
    "corrections multiplied",
    "You multiply by 1 - beta^t. The memories are too small at first: divide.",
    corrected=lambda m, v, t, b1, b2: (m * (1 - b1**t), v * (1 - b2**t)),
)
_adamw(
    "corrections exchanged",
    "You correct the mean with beta2 and the square with beta1.",
    corrected=lambda m, v, t, b1, b2: (m / (1 - b2**t), v / (1 - b1**t)),
)
_adamw(
    "divided by the power alone",
    "You divide by beta^t. It is 1 less that.",
    corrected=lambda m, v, t, b1, b2: (m / b1**t, v / b2**t),
)
_adamw(
    "eps under the root and beside it",
    "You add eps twice, under the root and to it. Once, to the root.",
    size=lambda v, eps: (v + eps).sqrt() + eps,
)
_adamw(
    "an eps that does next to nothing",
    "Your eps does next to nothing: a fixed 1e-8, say, or a least size. The argument is added to "
    "the root, always.",
    size=lambda v, eps: v.sqrt().clamp(min=eps),
)
_adamw(
    "the eps squared",
    "You square eps. It is added as it is.",
    size=lambda v, eps: v.sqrt() + eps**2,
)
_adamw(
    "a mean of the new gradient's share alone",
    "You add the new gradient without 1 - beta1 (heavy ball). The memory is a mean.",
    mean=lambda m, g, b: b * m + g,
)
_adamw(
    "a sum of squares",
    "You add the new square without 1 - beta2. The memory is a mean.",
    square=lambda v, g, b: b * v + g**2,
)
_adamw(
    "all squares so far, as Adagrad keeps them",
    "You add up all squares and forget none (Adagrad). Old ones fade by beta2.",
    square=lambda v, g, b: v + g**2,
    corrected=lambda m, v, t, b1, b2: (m / (1 - b1**t), v),
)
_adamw(
    "the largest size so far, as Adamax keeps it",
    "You keep the largest size (Adamax). Asked for is the mean of the squares.",
    square=lambda v, g, b: (b * v).maximum(g.abs()),
    corrected=lambda m, v, t, b1, b2: (m / (1 - b1**t), v),
    size=lambda v, eps: v + eps,
)
_adamw(
    "the larger square, as AMSGrad keeps it",
    "You never let the square fall (AMSGrad). It is a mean and may.",
    square=lambda v, g, b: (b * v + (1 - b) * g**2).maximum(v),
)
_adamw(
    "sizes in place of squares",
    "You keep the mean of the gradients' sizes. It is that of their squares.",
    square=lambda v, g, b: b * v + (1 - b) * g.abs(),
)
_adamw(
    "old and new exchanged in the mean",
    "You keep 1 - beta1 of the old mean. It is beta1 that is kept.",
    mean=lambda m, g, b: (1 - b) * m + b * g,
)
_adamw(
    "old and new exchanged in the square",
    "You keep 1 - beta2 of the old square. It is beta2 that is kept.",
    square=lambda v, g, b: (1 - b) * v + b * g**2,
)
_adamw(
    "the old mean without its beta",
    "You add the new share to all of the old mean. The old one fades by beta1.",
    mean=lambda m, g, b: m + (1 - b) * g,
)
_adamw(
    "the old square without its beta",
    "You add the new share to all of the old square. The old one fades by beta2.",
    square=lambda v, g, b: v + (1 - b) * g**2,
)
_adamw(
    "the mean's square",
    "You square the mean of all numbers' gradients. Each number's own gradient is squared.",
    square=lambda v, g, b: b * v + (1 - b) * g.mean() ** 2,
)
_adamw(
    "one size for all numbers",
    "You keep one mean square for all numbers. Each has its own: that is the point of Adam.",
    square=lambda v, g, b: b * v + (1 - b) * (g**2).mean(),
)
_adamw(
    "the square of the share",
    "You square 1 - beta2 along with the gradient. It is the gradient that is squared.",
    square=lambda v, g, b: b * v + ((1 - b) * g) ** 2,
)
_adamw(
    "decay with the rate squared",
    "You multiply the decay by the rate twice. Once.",
    new=lambda w, move, lr, decay: w - lr * move - lr * lr * decay * w,
)
_adamw(
    "decay the wrong way",
    "Your weights grow by the decay. They lose a share.",
    new=lambda w, move, lr, decay: w - lr * move + lr * decay * w,
)
_adamw(
    "decay by the sign",
    "Every weight loses the same (a penalty on sizes). It loses a share of itself.",
    new=lambda w, move, lr, decay: w - lr * move - lr * decay * w.sign(),
)
_adamw(
    "divided by 1 plus the decay",
    "You shrink the moved weight by a division. It loses `lr * decay` of itself before the step.",
    new=lambda w, move, lr, decay: (w - lr * move) / (1 + lr * decay),
)
_adamw(
    "decay by the length",
    "You let the decay depend on all weights' length. Each loses a share of itself.",
    new=lambda w, move, lr, decay: w - lr * move - lr * decay * w * w.norm(),
)
_adamw(
    "decay of the move, too",
    "You shrink the move by the decay, and not the weight.",
    new=lambda w, move, lr, decay: w - lr * (1 - lr * decay) * move,
)
_adamw(
    "decay added to the gradient as well",
    "You add the decay to the gradient and shrink the weight besides. Once, and outside.",
    before=lambda w, g, decay: g + decay * w,
)
_adamw(
    "the rate without its move",
    "You forget the rate at the move.",
    new=lambda w, move, lr, decay: w - move - lr * decay * w,
)
_adamw(
    "the gradient clipped before",
    "You clip the gradient first. The step does not.",
    before=lambda w, g, decay: g.clamp(-1, 1),
)


def _whole(name, hint):
    """Catalogue a step that is written out: numbers and settings in two tuples."""

    def add(step):
        @adamw_step.mistake(name, hint=hint)
        def _(
            weight,
            gradient,
            mean,
            square,
            t,
            lr=0.01,
            beta1=0.9,
            beta2=0.99,
            eps=1e-6,
            decay=0.0,
        ):
            numbers = weight, gradient, mean, square, t
            return step(numbers, (lr, beta1, beta2, eps, decay))

        return step

    return add


@_whole(
    "the square before the mean",
    "You return the square before the mean. It is the new weight, the mean and the square.",
)
def _(numbers, settings):
    new, m, v = _step(numbers, settings)
    return new, v, m


@_whole(
    "a step with the old square",
    "You divide by the square as it was before this gradient. Renew it first.",
)
def _(numbers, settings):
    _, m, v = _step(numbers, settings)
    w, _, _, old_v, t = numbers
    lr, b1, b2, eps, decay = settings
    move = m / (1 - b1**t) / ((old_v / (1 - b2**t)).sqrt() + eps)
    return w - lr * move - lr * decay * w, m, v


@_whole(
    "a step with the old mean",
    "You step along the mean as it was before this gradient. Renew it first.",
)
def _(numbers, settings):
    _, m, v = _step(numbers, settings)
    w, _, old_m, _, t = numbers
    lr, b1, b2, eps, decay = settings
    move = old_m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + eps)
    return w - lr * move - lr * decay * w, m, v


@_whole(
    "a step that looks ahead",
    "You blend the mean with the gradient once more (Nesterov, NAdam). It is the mean alone.",
)
def _(numbers, settings):
    _, m, v = _step(numbers, settings)
    w, g, _, _, t = numbers
    lr, b1, b2, eps, decay = settings
    ahead = (b1 * m + (1 - b1) * g) / (1 - b1**t)
    return w - lr * ahead / ((v / (1 - b2**t)).sqrt() + eps) - lr * decay * w, m, v


@_whole(
    "the paper's short cut, eps before the correction",
    "You correct the rate and add eps to the uncorrected root. It is added to the corrected one.",
)
def _(numbers, settings):
    _, m, v = _step(numbers, settings)
    w, _, _, _, t = numbers
    lr, b1, b2, eps, decay = settings
    rate = lr * (1 - b2**t) ** 0.5 / (1 - b1**t)
    return w - rate * m / (v.sqrt() + eps) - lr * decay * w, m, v


@_whole(
    "a corrected rate that decays, too",
    "You let the weight decay at the corrected rate. It is `lr * decay`.",
)
def _(numbers, settings):
    _, m, v = _step(numbers, settings)
    w, _, _, _, t = numbers
    lr, b1, b2, eps, decay = settings
    rate = lr * (1 - b2**t) ** 0.5 / (1 - b1**t)
    root = (v / (1 - b2**t)).sqrt() + eps
    return w - lr * m / (1 - b1**t) / root - rate * decay * w, m, v


@_whole(
    "the step's length limited",
    "You give the step the length of the weights (LAMB). It is the rate times the move.",
)
def _(numbers, settings):
    new, m, v = _step(numbers, (1.0, *settings[1:]))
    w, lr = numbers[0], settings[0]
    move = w - new
    return w - lr * move * w.norm() / move.norm().clamp(min=1e-12), m, v


@_whole(
    "the distance from the new mean",
    "You keep the squared distance from the mean (AdaBelief). It is the gradient's square.",
)
def _(numbers, settings):
    b1, b2 = settings[1:3]
    new_mean = b1 * numbers[2] + (1 - b1) * numbers[1]
    return _step(numbers, settings, square=lambda v, g, b: b2 * v + (1 - b2) * (g - new_mean) ** 2)


@_whole(
    "decay in the mean alone",
    "You put the decay into the mean and not into the square. It stays outside of both.",
)
def _(numbers, settings):
    w, decay = numbers[0], settings[4]
    return _step(
        numbers,
        settings,
        mean=lambda m, g, b: b * m + (1 - b) * (g + decay * w),
        new=lambda w, move, lr, decay: w - lr * move,
    )
