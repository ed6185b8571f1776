"""Prepare text for training: clean it, drop copies, hold some out, train a tokenizer, tokenise.

$ python -m llmcourse.prepare books/ --out data/books                     a folder of text
$ python -m llmcourse.prepare a.jsonl.gz b.txt --out data/mine --vocab-size 16384
$ python -m llmcourse.prepare pages/ --out data/zh --languages zh         Chinese alone
$ python -m llmcourse.prepare hf:org/name --out data/big --tokenizer sentencepiece
$ python -m llmcourse.train --data.source data/books                      then train on it
"""

import signal
import sys

from llmcourse import command_line
from llmcourse.errors import exit_on_user_error, listen_to_interrupts, say
from llmcourse.prepare.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    with exit_on_user_error():
        settings = command_line.parse(
            Settings,
            sys.argv[1:] if arguments is None else arguments,
            prog="python -m llmcourse.prepare",
            about=str(__doc__),
            default=None,
        )
        from llmcourse.prepare.pipeline import prepare
        from llmcourse.prepare.report import summary

        listen_to_interrupts()
        try:
            report = prepare(settings)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped: nothing was kept") from None
        say(*summary(report))
        say(f"report     {settings.out / 'report.md'}")
        say(f"train      python -m llmcourse.train --data.source {settings.out}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end, it tidies up too
    sys.exit(main())
