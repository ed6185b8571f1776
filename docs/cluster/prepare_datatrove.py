"""Prepare text for training on many machines: `llmcourse.prepare` in the hands of `datatrove`.

$ pip install -e ".[cluster]" -c constraints.txt
$ P=docs/cluster/prepare_datatrove.py
$ python -m llmcourse.prepare SAMPLE --out data/sample             trains the tokenizer
$ python $P SOURCE --tokenizer data/sample --out data/all --work /scratch/work --tasks 64
$ python $P ... --on slurm --workers 200                           or --on ray

What is given twice is begun once: the same command goes on where it was stopped.
"""

import sys

from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.executor.base import PipelineExecutor

from llmcourse import command_line
from llmcourse.errors import UserError, exit_on_user_error, say
from llmcourse.locks import writing_alone
from llmcourse.prepare.trove.job import Job, JobSettings, begin
from llmcourse.prepare.trove.stages import Stage, stages


def executor(stage: Stage, job: Job, before: PipelineExecutor | None) -> PipelineExecutor:
    """Who runs a stage. Put here what your cluster has."""
    limits = {"tasks": stage.tasks, "workers": job.settings.workers}
    if job.settings.on == "slurm":
        return SlurmPipelineExecutor(
            *(stage.pipeline,), **limits, logging_dir=str(stage.logs), depends=before,
            job_name=f"prepare-{stage.name}", partition="cpu", time="12:00:00", mem_per_cpu_gb=4,
        )  # fmt: skip
    kind = RayPipelineExecutor if job.settings.on == "ray" else LocalPipelineExecutor
    return kind(stage.pipeline, **limits, logging_dir=str(stage.logs))


def run(job: Job) -> None:
    """Run the stages that are not done, or put them into Slurm's queue, each after the other.

    Raises:
        UserError: the text cannot be used, or tasks have failed.
    """
    last = None
    for stage in stages(job):
        last = executor(stage, job, last)
        if job.settings.on == "slurm":
            continue
        stage.check(job)
        last.run()
        if failed := last.get_incomplete_ranks():
            raise UserError(
                f"{len(failed)} of {stage.tasks} tasks of the stage {stage.name} have failed: "
                f"see {stage.logs / 'logs'}, and give the same command again"
            )
    if job.settings.on == "slurm" and last is not None:
        last.run()  # those that it depends on go into the queue first


def main() -> None:
    """Run the command line."""
    with exit_on_user_error():
        name = "python docs/cluster/prepare_datatrove.py"
        settings = command_line.parse(
            JobSettings, sys.argv[1:], prog=name, about=str(__doc__), default=None
        )
        with writing_alone(settings.work, "--work"):
            run(begin(settings))
        if settings.on == "slurm":
            say(
                "queued     squeue --me shows what is left; the same command queues what has failed"
            )
        else:
            say(f"train      python -m llmcourse.train --data.source {settings.out}")


if __name__ == "__main__":  # a task's process reads this file, too
    main()
