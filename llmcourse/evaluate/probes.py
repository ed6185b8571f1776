"""Linear probes: what can a straight cut through frozen features tell?

A probe is a multinomial logistic regression on what a model made of a text; the model itself learns
nothing any more. A probe can find only what lies there in the open, so its accuracy says how well a
representation *sorts* texts, not how clever the probe is (Alain and Bengio, 2016). Not here: where
features come from (`representation.py`), and what they are asked (`probe_tasks.py`). Chapter 07
teaches this.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe: `logits = W (x - mean) / scale + b`, all in float64.

    Attributes:
        weight: W, a row for each of C classes.
        bias: b.
        mean: of each feature over the training examples.
        scale: its standard deviation there; 1 for a feature that never changed.
    """

    weight: Float[Tensor, "C D"]
    bias: Float[Tensor, " C"]
    mean: Float[Tensor, " D"]
    scale: Float[Tensor, " D"]

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        """The score of each class for each example."""
        return (features.double() - self.mean) / self.scale @ self.weight.mT + self.bias

    def predict(self, features: Float[Tensor, "N D"]) -> Int[Tensor, " N"]:
        """The likeliest class of each example."""
        return self.logits(features).argmax(dim=1)


def fit_probe(
    features: Float[Tensor, "N D"], labels: Int[Tensor, " N"], n_classes: int, l2: float = 1.0
) -> LinearProbe:
    """The probe that minimises, over all of the examples at once,

        sum over n of -log softmax(W z_n + b)[y_n]  +  l2 / 2 · sum of W²

    with standardised features z. The loss is convex, and with `l2 > 0` it has one lowest point, so
    nothing here is left to chance: L-BFGS walks there from zero. It is scikit-learn's
    `LogisticRegression` with `C = 1 / l2`.

    Raises:
        UserError: no examples, labels beyond the classes, or no pull towards zero.
    """
    if len(features) == 0 or not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise UserError(
            f"{len(features)} examples with labels from 0 to {n_classes - 1} are needed"
        )
    if l2 <= 0:
        raise UserError(
            f"l2={l2} must be above 0: without it, separable classes have no best probe"
        )
    x = features.detach().double()
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-9, scale, 1.0)
    z = (x - mean) / scale
    weight = x.new_zeros(n_classes, x.size(1)).requires_grad_()
    bias = x.new_zeros(n_classes).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=300,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss_with_gradient() -> Tensor:
        optimizer.zero_grad()
        loss = probe_loss(z, labels, weight, bias, l2) / len(z)
        loss.backward()
        return loss

    optimizer.step(loss_with_gradient)
    return LinearProbe(weight.detach(), bias.detach(), mean, scale)


def probe_loss(
    z: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    weight: Float[Tensor, "C D"],
    bias: Float[Tensor, " C"],
    l2: float,
) -> Float[Tensor, ""]:
    """What `fit_probe` minimises, for standardised features `z`."""
    nats = F.cross_entropy(z @ weight.mT + bias, labels, reduction="sum")
    return nats + l2 / 2 * weight.square().sum()


def best_threshold(scores: Float[Tensor, " N"], labels: Int[Tensor, " N"]) -> float:
    """The cut above which to say 1, so that the fewest examples are wrong; the lowest such cut.

    Cuts lie halfway between neighbouring scores, or beyond the outermost ones.

    Raises:
        UserError: there are no examples.
    """
    if len(scores) == 0:
        raise UserError("no scores: there is nothing to cut in two")
    ordered, order = scores.detach().double().sort()
    ones = labels[order].cumsum(dim=0)
    zeros = torch.arange(1, len(scores) + 1) - ones
    # Cutting behind the first k: right are the zeros among them, and the ones after them.
    right = torch.cat([ones[-1:], zeros + ones[-1] - ones])
    cuts = torch.cat([ordered[:1] - 1, (ordered[:-1] + ordered[1:]) / 2, ordered[-1:] + 1])
    same = torch.zeros_like(right, dtype=torch.bool)
    same[1:-1] = ordered[1:] == ordered[:-1]  # no cut fits between two equal scores
    return float(cuts[right.masked_fill(same, -1).argmax()])
