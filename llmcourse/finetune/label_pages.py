"""What the report of a task with labels shows: confusions, the worst examples, figures by label.

Not here: the page around it (`report.py`).
"""

from collections import Counter
from collections.abc import Sequence

from llmcourse.evaluate.labels import confusion, f1_by_label
from llmcourse.finetune.examples import Example, Predicted
from llmcourse.runs.html import escape, section, table

MOST_LABELS = 12
"""How many labels the table of confusions shows; the commonest mistakes come first."""
MOST_EXAMPLES = 8
"""How many of the worst examples are shown."""


def label_sections(
    labels: list[str], examples: Sequence[Example], predicted: Sequence[Predicted]
) -> list[str]:
    """Three sections: what is taken for what, the least expected examples, the hardest labels."""
    return [
        section("What is taken for what", _confusions(labels, _pairs(examples, predicted))),
        section("The worst of it", _worst(examples, predicted)),
        section("By label", _by_label(examples, predicted)),
    ]


def _pairs(examples: Sequence[Example], said: Sequence[Predicted]) -> Counter[tuple[str, str]]:
    right = [label for example in examples for label in example.labels]
    return confusion(right, [label for one in said for label in one.labels])


def _confusions(labels: list[str], pairs: Counter[tuple[str, str]]) -> str:
    """The table of all labels if there are few; else the commonest mistakes."""
    if len(labels) <= MOST_LABELS:
        head = "".join(f"<th scope='col'>{escape(label)}</th>" for label in labels)
        rows = "".join(
            f"<tr><th scope='row'>{escape(right)}</th>"
            + "".join(f"<td>{pairs[right, said] or '·'}</td>" for said in labels)
            + "</tr>"
            for right in labels
        )
        return (
            "<table class='grid'><caption>Rows: what it is. Columns: what it was called.</caption>"
            f"<tr><th></th>{head}</tr>{rows}</table>"
        )
    wrong = Counter({pair: n for pair, n in pairs.items() if pair[0] != pair[1]})
    common = wrong.most_common(MOST_LABELS)
    return table("The commonest mistakes", ((f"{a}, taken for {b}", n) for (a, b), n in common))


def _worst(examples: Sequence[Example], predicted: Sequence[Predicted]) -> str:
    """The examples whose right labels were the greatest surprise."""
    order = sorted(range(len(examples)), key=lambda place: -predicted[place].surprise)
    rows = []
    for place in order[:MOST_EXAMPLES]:
        example, one = examples[place], predicted[place]
        if one.labels == example.labels:
            continue
        if len(example.labels) == 1:
            note = f"is {example.labels[0]}, taken for {one.labels[0]} ({one.sure:.0%} sure)"
            rows.append((example.words[0][:300], note))
        else:
            wrong = [
                f"{word}: {right}, taken for {said}"
                for word, right, said in zip(example.words, example.labels, one.labels, strict=True)
                if right != said
            ]
            rows.append((" ".join(example.words)[:300], "; ".join(wrong[:6])))
    return table("Least expected", rows)


def _by_label(examples: Sequence[Example], predicted: Sequence[Predicted]) -> str:
    right = [label for example in examples for label in example.labels]
    said = [label for one in predicted for label in one.labels]
    counts = Counter(right)
    scores = sorted(f1_by_label(right, said).items(), key=lambda item: item[1])
    rows = [(label, f"F1 {score:.3f} of {counts[label]:,}") for label, score in scores[:40]]
    return table("The hardest first", rows)
