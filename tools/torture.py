"""Kill runs at random moments, let the disk fail under them, and compare what comes of them.

    $ make torture                                        half an hour, or 200 kills
    $ python tools/torture.py --kills 50 --minutes 5      a smaller campaign
    $ python tools/torture.py --seed 7                    the same kills once more
    $ python tools/torture.py --only "preset tiny"        of jobs whose name says so

Small twins of every preset, every objective and every task of fine-tuning (`tests/small_jobs.py`)
are run once in peace. Then each is run again, and is hit: killed (SIGKILL) at any moment, or at one
of its operations on a checkpoint, the report or another file, or the disk breaks, is full or may
not be written from one operation on (`tests/faulty_disk.py`). It is resumed, perhaps hit again, and
in the end everything that it leaves behind must be that of the undisturbed run, bit for bit. A
fault must end it with status 2 and one line. The result is a JSON file in `--out`.

A kill at an operation is exact, so that the seed repeats it; one at a moment depends on the clock.
"""

import argparse
import collections
import contextlib
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from faulty_disk import Disk, faults  # noqa: E402
from measure import RESULTS, keep  # noqa: E402
from small_jobs import Job, base_job, other_jobs, training_jobs, tuning_jobs  # noqa: E402

from llmcourse.finetune.registry import TASKS  # noqa: E402
from llmcourse.tinytown.stories import entropy_bits_per_byte  # noqa: E402
from llmcourse.tokenizers.pretokenize import pre_tokens  # noqa: E402

PLACES = ("moment", "checkpoint", "report", "anywhere")
"""Where a kill is aimed; `moment` is by the clock, the others at operations on such files."""
FAULTS = ("broken", "full", "read-only")
MOST_HITS = 6
LET_BE = 0.25
"""How likely it is, after each hit, that none follows."""
SECONDS = 120
"""After so long a run that was not killed counts as hanging."""
WARM = (
    *("torch._dynamo", "llmcourse.train.loop", "llmcourse.finetune.fit"),
    *("llmcourse.prepare.pipeline", "llmcourse.export.ship", "llmcourse.runs.environment"),
)
"""What each child would else load again."""
MINE = "years of work\n"


class Deadly(Disk):
    """A disk whose process dies for real."""

    def die(self) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody survives that")


@dataclass(frozen=True)
class Hit:
    """What happens to a run.

    Attributes:
        kind: `killed`, or one of `FAULTS`.
        place: one of `PLACES`.
        at: the operation's number; 0 where the clock decides.
        after: seconds until the kill.
    """

    kind: str
    place: str
    at: int = 0
    after: float = 0.0

    def __str__(self) -> str:
        where = f"operation {self.at}" if self.at else f"{self.after:.3f} s"
        return f"{self.kind} at {where} ({self.place})"


@dataclass
class Reference:
    """A job's undisturbed run: what it left, its operations on files, and how long it took."""

    picture: dict[str, Any]
    done: list[str]
    seconds: float


@dataclass
class Counts:
    """What was done so far, and what went wrong."""

    kills: collections.Counter = field(default_factory=collections.Counter)
    faults: collections.Counter = field(default_factory=collections.Counter)
    places: collections.Counter = field(default_factory=collections.Counter)
    harmless: int = 0
    runs: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)


# --- one start of a job ---------------------------------------------------------------------------


def start(job: Job, out: Path, hit: Hit | None, said: Path, operations: Path) -> tuple[int, float]:
    """Run a job in a child of this warm process; returns its status (-9: killed) and seconds."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_child(job, out, hit, said, operations)
    deadline = began + (hit.after if hit and not hit.at else SECONDS)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), time.monotonic() - began
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            hangs = hit is None or hit.at
            return (124 if hangs else -signal.SIGKILL), time.monotonic() - began
        time.sleep(0.002)


def _be_child(job: Job, out: Path, hit: Hit | None, said: Path, operations: Path) -> NoReturn:
    """Do the job and end, whatever happens; nothing of the parent is left to clean up."""
    status = 70
    try:
        with open(said, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        disk = Deadly(out.parent, hit.at, hit.kind) if hit and hit.at else Disk(out.parent)
        with disk():
            try:
                status = job.run(out)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
        operations.write_text("".join(f"{what}\n" for what in disk.done))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


# --- one trial ------------------------------------------------------------------------------------


class Trial:
    """A job from its beginning to its end, with hits on the way."""

    def __init__(self, job: Job, reference: Reference | None, folder: Path) -> None:
        self.job, self.reference, self.folder = job, reference, folder
        self.out = folder / "place" / "run"
        self.out.parent.mkdir(parents=True)
        (self.out.parent / "mine.md").write_text(MINE)
        self.hits: list[str] = []

    @property
    def is_there(self) -> bool:
        """Whether what cannot be resumed is there, and so must be whole: it is not made anew."""
        return not self.job.resumes and self.out.exists()

    def start(self, hit: Hit | None = None) -> tuple[int, str, list[str], float]:
        """Start or resume; returns status, what was said, the operations on files, and seconds."""
        said, operations = self.folder / "said", self.folder / "operations"
        operations.unlink(missing_ok=True)
        said.write_bytes(b"")  # who dies at once says nothing
        status, seconds = start(self.job, self.out, hit, said, operations)
        done = operations.read_text().splitlines() if operations.exists() else []
        return status, said.read_text(errors="replace"), done, seconds

    def strike(self, hit: Hit) -> tuple[int, str | None]:
        """Start with a hit; returns the status, and what was wrong with how it ended, if anything.

        Raises nothing: what is wrong is a finding.
        """
        self.hits.append(str(hit))
        status, said, _, _ = self.start(hit)
        lines = [line for line in said.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        if status in (0, -signal.SIGKILL):
            return status, None
        if status == 2 and hit.kind != "killed" and errors == lines[-1:]:
            return status, None
        return status, f"status {status}: {lines[-1:] or ['nothing was said']}"

    def finish(self) -> str | None:
        """Let it come to its end in peace; says what is not as it should be."""
        if self.is_there:
            return self.differs()
        status, said, _, _ = self.start()
        if status:
            return f"going on ended with status {status}: {said.splitlines()[-1:]}"
        return self.differs()

    def differs(self) -> str | None:
        """In what it differs from the run that was never hit."""
        try:
            picture = self.job.picture(self.out)
        except Exception as error:
            return f"cannot be looked at: {type(error).__name__}: {error}"
        if (self.out.parent / "mine.md").read_text() != MINE:
            return "a file of the user's has changed"
        assert self.reference is not None
        wanted = self.reference.picture
        names = picture.keys() ^ wanted.keys() | {
            name for name in picture.keys() & wanted.keys() if picture[name] != wanted[name]
        }
        few = ", ".join(sorted(names)[:5]) + ", ..." * (len(names) > 5)
        return f"differs from the undisturbed run in {len(names)} parts: {few}" if names else None


def refer(job: Job, folder: Path) -> Reference:
    """Run a job in peace.

    Raises:
        RuntimeError: it does not work even so.
    """
    trial = Trial(job, None, folder)
    status, said, done, seconds = trial.start()
    if status:
        raise RuntimeError(f"{job.name} ended with status {status}:\n{said}")
    picture = job.picture(trial.out)
    shutil.rmtree(folder)
    return Reference(picture, done, seconds)


def draw(chance: random.Random, reference: Reference, share_of_faults: float) -> Hit:
    """A hit, at any moment or aimed."""
    kind = chance.choice(FAULTS) if chance.random() < share_of_faults else "killed"
    place = chance.choice(PLACES[kind != "killed" :])
    if place == "moment":
        return Hit(kind, place, after=chance.uniform(0, 1.05 * reference.seconds))
    part = {"checkpoint": "checkpoints", "report": "report"}.get(place, "")
    known = faults(reference.done, (kind,))
    aimed = [at for at, _ in known if part in reference.done[at - 1]]
    if not aimed:
        place, aimed = "anywhere", [at for at, _ in known]
    return Hit(kind, place, at=chance.choice(aimed))


def try_once(job: Job, reference: Reference, folder: Path, chance: random.Random, counts: Counts,
             share_of_faults: float) -> None:  # fmt: skip
    """Hit a job once or more, let it end, and count."""
    trial, wrong = Trial(job, reference, folder), None
    for _ in range(MOST_HITS):
        hit = draw(chance, reference, share_of_faults)
        status, wrong = trial.strike(hit)
        if status == -signal.SIGKILL:
            counts.kills[job.name] += 1
            counts.places[hit.place] += 1
        elif status == 2 and not wrong:
            counts.faults[hit.kind] += 1
        else:
            counts.harmless += 1
        if wrong or status == 0 or trial.is_there or chance.random() < LET_BE:
            break
    wrong = wrong or trial.finish()
    counts.runs += 1
    if wrong:
        place = str(folder)
        failure = {"job": job.name, "hits": "; ".join(trial.hits), "wrong": wrong}
        counts.failures.append({key: text.replace(place, "") for key, text in failure.items()})
        print(f"FAILED  {failure}", flush=True)
        shutil.copytree(folder, folder.parent / f"failed-{len(counts.failures)}", symlinks=True)
    shutil.rmtree(folder)


# --- the campaign ---------------------------------------------------------------------------------


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed unless given")
    parser.add_argument("--minutes", type=float, default=30.0, help="end after so long (30)")
    parser.add_argument("--kills", type=int, default=200, help="end after so many kills (200)")
    parser.add_argument("--faults", type=float, default=0.3, help="share of hits (0.3)")
    parser.add_argument("--only", default="", help="jobs whose name contains this")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    return parser.parse_args(arguments)


def warm_up() -> None:
    """Load in this process what each child would else load again."""
    torch.set_num_threads(1)
    entropy_bits_per_byte()
    list(pre_tokens("a word"))  # compiles its pattern
    for name in WARM:
        importlib.import_module(name)
    for entry in TASKS.values():
        _ = entry.task


def all_jobs(folder: Path, only: str) -> list[Job]:
    """The jobs that are asked for; where one needs a base, that is run, once."""
    trial = Trial(base_job(), None, folder / "base")
    every = [*training_jobs(), *tuning_jobs(trial.out, folder), *other_jobs(trial.out, folder)]
    jobs = [job for job in every if only in job.name]
    if any(str(trial.out) in job.arguments for job in jobs):
        status, said, _, _ = trial.start()
        if status:
            raise RuntimeError(f"the base ended with status {status}:\n{said}")
    return jobs


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    chance, counts, references = random.Random(seed), Counts(), {}
    warm_up()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    jobs, began, number = all_jobs(folder, given.only), time.monotonic(), 0
    over = lambda: time.monotonic() - began > 60 * given.minutes  # noqa: E731
    while counts.kills.total() < given.kills and not over() and jobs:
        job = jobs[number % len(jobs)]
        number += 1
        if job.name not in references:
            references[job.name] = refer(job, folder / "reference")
        try_once(job, references[job.name], folder / "trial", chance, counts, given.faults)
        if number % 20 == 0:
            told = f"{counts.kills.total()} kills, {counts.faults.total()} faults"
            print(f"{told}, {len(counts.failures)} failures", flush=True)
    path = record(seed, given, jobs, counts, time.monotonic() - began)
    print(f"{counts.kills.total()} kills, {counts.faults.total()} faults in {counts.runs} runs: "
          f"{len(counts.failures)} failures; {path}")  # fmt: skip
    if counts.failures:
        print(f"what they left behind: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def record(seed: int, given: argparse.Namespace, jobs: list[Job], counts: Counts,
           seconds: float) -> Path:  # fmt: skip
    """Keep what was done; no path of this machine is in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    hits = max(1, counts.kills.total() + counts.faults.total())
    results = {
        "kills": counts.kills.total(),
        "kills_by_job": {job.name: counts.kills[job.name] for job in jobs},
        "kills_by_place": dict(sorted(counts.places.items())),
        "faults_by_kind": dict(sorted(counts.faults.items())),
        "faults": counts.faults.total(),
        "hits_without_effect": counts.harmless,
        "runs_compared": counts.runs,
        "failures": counts.failures,
        "seconds": round(seconds, 1),
        "cpu_seconds_a_hit": round((used.ru_utime + used.ru_stime) / hits, 2),
    }
    settings = {"seed": seed, "minutes": given.minutes, "kills": given.kills,
                "faults": given.faults, "only": given.only}  # fmt: skip
    return keep("torture", settings, results, given.out)


if __name__ == "__main__":
    sys.exit(main())
