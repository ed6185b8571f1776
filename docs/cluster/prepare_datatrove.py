"""Prepare text for training on many machines: `llmcourse.prepare` in the hands of `datatrove`.

$ pip install -e ".[cluster]" -c constraints.txt
$ P=docs/cluster/prepare_datatrove.py
$ python -m llmcourse.prepare SAMPLE --out data/sample             trains the tokenizer
$ python $P SOURCE --tokenizer data/sample --out data/all --work /scratch/work --tasks 64
$ python $P ... --on slurm --workers 200                           or --on ray

What is given twice is begun once: the same command goes on where it was stopped.
"""

import sys
from typing import Any

from llmcourse import command_line
from llmcourse.errors import UserError, exit_on_user_error, say
from llmcourse.locks import writing_alone
from llmcourse.prepare.trove.job import Job, JobSettings, begin, needs_datatrove


def executor(stage: Any, job: Job, before: Any) -> Any:
    """Who runs a stage. Put here what your cluster has."""
    from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor

    common = {
        "pipeline": stage.pipeline,
        "tasks": stage.tasks,
        "workers": job.settings.workers,
        "logging_dir": str(stage.logs),
    }
    if job.settings.on == "ray":
        return RayPipelineExecutor(**common, mem_per_cpu_gb=4)
    if job.settings.on == "slurm":
        return SlurmPipelineExecutor(
            **common,
            depends=before,
            job_name=f"prepare-{stage.name}",
            partition="cpu",
            qos="normal",
            time="12:00:00",
            mem_per_cpu_gb=4,
            sbatch_args={"kill-on-invalid-dep": "yes"},
        )
    return LocalPipelineExecutor(**common)


def run(job: Job) -> None:
    """Run the stages that are not done, or put them into Slurm's queue, each after the other.

    Raises:
        UserError: the text cannot be used, or tasks have failed.
    """
    from llmcourse.prepare.trove.stages import stages

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
    if job.settings.on == "slurm":
        last.run()  # those that it depends on go into the queue first


def main() -> None:
    """Run the command line."""
    with exit_on_user_error():
        name = "python docs/cluster/prepare_datatrove.py"
        settings = command_line.parse(
            JobSettings, sys.argv[1:], prog=name, about=str(__doc__), default=None
        )
        needs_datatrove()
        job = begin(settings)
        with writing_alone(job.settings.work, "--work"):
            run(job)
        if settings.on == "slurm":
            say(
                "queued     squeue --me shows what is left; the same command queues what has failed"
            )
        else:
            say(f"train      python -m llmcourse.train --data.source {settings.out}")


if __name__ == "__main__":  # a task's process reads this file, too
    main()
