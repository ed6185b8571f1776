"""The stages of a job, in order, for any of `datatrove`'s executors.

Each stage begins when all tasks of the one before it have ended. A task that dies leaves nothing,
and running it again gives the same. Not here: the executors, which
`docs/cluster/prepare_datatrove.py` chooses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datatrove.pipeline.base import PipelineStep

from llmcourse.data.prepared import is_prepared
from llmcourse.prepare.trove.clean import Clean, ReadPieces, SaveCleaned
from llmcourse.prepare.trove.copies import DropCopies, FindCopies, SettleCopies, check_read
from llmcourse.prepare.trove.job import Job
from llmcourse.prepare.trove.tokens import (
    HoldOut,
    PutTogether,
    ReadCleaned,
    SaveTokens,
    Tokenize,
    check_amounts,
)


@dataclass(frozen=True)
class Stage:
    """What an executor needs to know of one stage.

    Attributes:
        name: for logs and the queue.
        tasks: how many ranks it has.
        pipeline: the blocks that each rank runs.
        logs: where `datatrove` notes which ranks are done, and their statistics.
        check: complains where the stage before has left what this one cannot use.
    """

    name: str
    tasks: int
    pipeline: list[PipelineStep]
    logs: Path
    check: Callable[[Job], object] = lambda job: None


def stages(job: Job) -> list[Stage]:
    """All stages, of which each needs those before it."""
    work, tasks = job.settings.work, job.settings.tasks
    logs = work / "logs"
    if not is_prepared(job.settings.out):  # it is put together again where somebody deleted it
        (logs / "together" / "completions" / "00000").unlink(missing_ok=True)
    clean: list[PipelineStep] = [ReadPieces(work), Clean(work), SaveCleaned(work)]
    tokens: list[PipelineStep] = [
        *(ReadCleaned(work), DropCopies(work), HoldOut(work), Tokenize(work), SaveTokens(work))
    ]
    return [
        Stage("clean", tasks, clean, logs / "clean"),
        Stage("find", tasks, [FindCopies(work)], logs / "find"),
        Stage("settle", 1, [SettleCopies(work, tasks)], logs / "settle", check_read),
        Stage("tokens", tasks, tokens, logs / "tokens"),
        Stage("together", 1, [PutTogether(work)], logs / "together", check_amounts),
    ]
