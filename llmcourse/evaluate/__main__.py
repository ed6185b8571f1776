"""Examine a trained model: figures with intervals, beside what they have to beat.

$ python -m llmcourse.evaluate runs/mine                                 the exam about tinytown
$ python -m llmcourse.evaluate runs/mine --suite text                    its own held-out text
$ python -m llmcourse.evaluate gpt2/ --suite text --data article.txt     a Hugging Face model
$ python -m llmcourse.evaluate runs/mine --suite minimal_pairs --data blimp.jsonl --limit 100
$ python -m llmcourse.evaluate runs/mine --suite multiple_choice --data questions.jsonl
$ python -m llmcourse.evaluate runs/tuned --suite labels                 a classifier's test split
$ python -m llmcourse.evaluate runs/mine --against runs/other --out figures.json
"""

import sys
from pkgutil import resolve_name

COMMAND = "llmcourse.suites.command:run_command"
"""What is behind the door. It reads runs of fine-tuning and models of other libraries, so it stands
above this folder, which they use: it is named, not imported."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return resolve_name(COMMAND)(str(__doc__), arguments)


if __name__ == "__main__":
    sys.exit(main())
