"""Many tasks prepare what one machine prepares: the same documents, sides, tokens and counts."""

import gzip
import json
import os
import pickle
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcourse.cleaning.dedup import N_BANDS, N_HASHES, Deduplicator
from llmcourse.data.prepared import DROPPED, SPLITS, read_description, text_path, tokens_path
from llmcourse.data.windows import sidecar
from llmcourse.errors import UserError
from llmcourse.prepare import cleaner
from llmcourse.prepare.__main__ import main
from llmcourse.prepare.trove import job as job_module
from llmcourse.prepare.trove.copies import alike, first_of_each, settle
from llmcourse.prepare.trove.job import JobSettings, begin, place_of, stretch_of
from llmcourse.prepare.trove.stages import stages

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "cluster" / "prepare_datatrove.py"
run_job, executor = (runpy.run_path(str(SCRIPT))[name] for name in ("run", "executor"))

DIFFERS = {"took", "seconds", "handled", "finished", "settings", "peak_megabytes"}
"""What a report says of time and of the way, not of the text."""
WORDS = ["river", "stone", "lamp", "letter", "garden", "horse", "bread", "road", "music"]
VERBS = ["finds", "keeps", "carries", "forgets", "paints", "breaks", "sells"]


def tale(n: int, sentences: int = 9) -> str:
    rng = np.random.default_rng(n)
    made = (
        f"The {rng.choice(WORDS)} of the {rng.choice(WORDS)} {rng.choice(VERBS)} a "
        f"{rng.choice(WORDS)} in {rng.integers(1000)} days."
        for _ in range(sentences)
    )
    return f"Tale {n}. " + " ".join(made)


def write_rows(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    """A folder of files and a file, with all that may befall a document, across the files."""
    folder = tmp_path_factory.mktemp("sources") / "texts"
    folder.mkdir()
    near = [tale(1, 30) + f" The {n}th end." for n in range(6)]
    chain = [" ".join(tale(2, 40).split()[n * 14 : 200 + n * 14]) for n in range(8)]
    bad = ["Too short.", "\0\1\2 binary " * 20, "Home | About us | Contact", "A stone. " * 40]
    mail = [tale(3) + " Write to anna@example.org or call +44 20 7946 0958."]
    odd = [
        tale(4) + " Itâ€™s the cafÃ©.",
        tale(5) + " \ud83d\ude00 \udc00",
        tale(6) + "\r\n\r\nEnd.",
    ]
    write_rows(folder / "a.jsonl", [*map(tale, range(30, 60)), *near[:2], *chain[::2], *bad])
    write_rows(folder / "b.jsonl", [*map(tale, range(75, 50, -1)), *mail, *odd, *chain[1::2]])
    (folder / "c.txt").write_text("\n\n".join(map(tale, range(200, 240))))
    (folder / "d.jsonl").write_text('{"text": \n{"text": ""}\n{"text": "Tale of a few words."}\n')
    (folder / "e.txt").write_bytes("un café, ".encode() + b"caf\xe9")
    (folder / "f.png").write_bytes(b"\x89PNG")
    copies = [tale(35).replace(" ", "  "), *near[::-1], near[3], tale(31) + "\n\n" + tale(33)]
    write_rows(folder.parent / "last.jsonl", ["\n".join(map(tale, range(300, 360))), *copies])
    return [folder, folder.parent / "last.jsonl"]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Documents are endless and stretches are long from little on."""
    monkeypatch.setattr(cleaner, "LONGEST_DOCUMENT", 20_000)
    monkeypatch.setattr(job_module, "STRETCH", 7)


@pytest.fixture(scope="module")
def alone(sources) -> Path:
    """What one machine makes of them."""
    out = sources[0].parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaner, "LONGEST_DOCUMENT", 20_000)
        options = ["--vocab-size", "300", "--held-out", "0.2"]
        assert main([*map(str, sources), "--out", str(out / "first"), *options]) == 0
        options = ["--tokenizer", str(out / "first"), "--held-out", "0.2"]
        assert main([*map(str, sources), "--out", str(out / "alone"), *options]) == 0
    return out / "alone"


def asked(sources, alone: Path, place: Path, **more) -> JobSettings:
    given = {"tokenizer": str(alone), "held_out": 0.2, "tasks": 2} | more
    names = tuple(map(str, sources))
    return JobSettings(sources=names, out=place / "out", work=place / "work", **given)


def report(out: Path) -> dict:
    found = json.loads((out / "report.json").read_text())
    return {name: value for name, value in found.items() if name not in DIFFERS}


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def assert_same(out: Path, alone: Path) -> None:
    """Equal byte for byte, but for how texts are cut into compressed parts."""
    for split in SPLITS:
        for path in (tokens_path(out, split), sidecar(tokens_path(out, split))):
            assert path.read_bytes() == (alone / path.name).read_bytes()
        assert unpacked(text_path(out, split)) == unpacked(text_path(alone, split))
    assert unpacked(out / DROPPED) == unpacked(alone / DROPPED)
    assert (out / "tokenizer.json").read_bytes() == (alone / "tokenizer.json").read_bytes()
    assert read_description(out) == read_description(alone)
    assert report(out) == report(alone)


def dropped_by_stats(work: Path) -> dict[str, int]:
    """How many documents were dropped, by rule, as `datatrove` counts them."""
    counts: dict[str, int] = {}
    for stage in ("clean", "tokens"):
        for block in json.loads((work / "logs" / stage / "stats.json").read_text()):
            for name, value in block["stats"].items():
                if reason := re.fullmatch("dropped_(.*)", name):
                    counts[reason[1]] = value["total"] if isinstance(value, dict) else value
    return counts


# --- the same as on one machine -------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [1, 2, 4, 17])
def test_tasks_make_what_one_machine_makes(sources, alone, tmp_path, tasks):
    """One and two and four deal out files, and seventeen, more than there are, stretches."""
    job = begin(asked(sources, alone, tmp_path, tasks=tasks))
    assert job.has_parts_for(tasks) == (tasks < 17)
    run_job(job)
    assert_same(tmp_path / "out", alone)
    counted = {reason: drop["documents"] for reason, drop in report(alone)["dropped"].items()}
    assert {"copy", "near-copy", "too short", "garbage", "unreadable", "no text"} <= counted.keys()
    assert counted["near-copy"] > 8
    assert dropped_by_stats(tmp_path / "work") == counted
    assert report(alone)["masked"] == {"email": 1, "phone": 1}
    assert report(alone)["changed"]["cut"] == 1


def test_what_is_left_out_is_set_as_on_one_machine(sources, alone, tmp_path):
    options = {"filter": False, "mask": False, "similarity": 1.0, "languages": ("en",)}
    words = ["--no-filter", "--no-mask", "--similarity", "1", "--languages", "en"]
    words += ["--tokenizer", str(alone), "--held-out", "0.2", "--out", str(tmp_path / "one")]
    assert main([*map(str, sources), *words]) == 0
    run_job(begin(asked(sources, alone, tmp_path, **options)))
    assert_same(tmp_path / "out", tmp_path / "one")


@st.composite
def signed(draw) -> tuple[np.ndarray, float]:
    """Signatures of which many agree in many bands, and a threshold."""
    n, values = draw(st.integers(1, 14)), draw(st.integers(1, 3))
    bands = draw(st.lists(st.integers(1, values), min_size=n * N_BANDS, max_size=n * N_BANDS))
    rows = np.array(bands, dtype=np.uint32).reshape(n, N_BANDS)
    signatures = np.repeat(rows, N_HASHES // N_BANDS, axis=1)
    signatures[draw(st.integers(0, n - 1)), ::5] = 9  # alike in places, and in no band
    return signatures, draw(st.sampled_from([0.3, 0.5, 0.8, 1.0]))


@settings(max_examples=60, deadline=None)
@given(signed())
def test_pairs_are_settled_as_one_after_the_other(drawn):
    signatures, threshold = drawn
    places = np.arange(len(signatures)) * 3
    found = {"twins": [np.empty((0, 2), np.int64)], "pairs": [np.empty((0, 2), np.int64)]}
    for band in range(N_BANDS):
        for kind, pairs in alike(signatures, places, band, threshold):
            found[kind].append(pairs)
    pairs = np.concatenate(found["pairs"])
    assert len(np.unique(pairs, axis=0)) == len(pairs)  # each is found once
    decided = settle(np.empty((0, 2), np.int64), np.concatenate(found["twins"]), pairs)
    one_by_one = Deduplicator(threshold)
    for place, signature in zip(places.tolist(), signatures, strict=True):
        of = one_by_one.add_signature(str(place), signature)
        assert decided.get(place) == (None if of is None else ("near-copy", int(of)))


def test_of_equal_keys_the_first_place_is_named():
    keys = np.array([[1, 2], [3, 4], [1, 2], [1, 5], [1, 2]], dtype=np.uint64)
    pairs = first_of_each(keys, np.array([40, 10, 30, 20, 50]))
    assert sorted(pairs.tolist()) == [[40, 30], [50, 30]]


def test_a_copy_of_a_near_copy_is_a_copy_and_what_is_dropped_draws_nothing_after_it():
    copies, twins = np.array([[4, 2]]), np.array([[5, 3]])
    pairs = np.array([[2, 1], [3, 2], [6, 2], [7, 3], [7, 2]])
    found = settle(copies, twins, pairs)
    assert found == {
        4: ("copy", 2),
        2: ("near-copy", 1),  # 3 is only like 2, which is gone: it is kept
        5: ("near-copy", 3),
        7: ("near-copy", 3),
    }


def test_a_place_says_its_part_and_its_stretch():
    assert place_of(2, 3) < place_of(2, 4) < place_of(3, 0)
    assert stretch_of(place_of(2, 13)) == stretch_of(place_of(2, 7)) == place_of(2, 7)
    assert stretch_of(place_of(2, 14)) == place_of(2, 14)


def test_ray_can_carry_the_blocks_to_another_machine(sources, alone, tmp_path):
    """Without Ray itself, which is not needed to hand over."""
    job = begin(asked(sources, alone, tmp_path, on="ray", workers=3))
    for stage in stages(job):
        ready = executor(stage, job, None)
        assert (type(ready).__name__, ready.tasks, ready.workers) == (
            *("RayPipelineExecutor", stage.tasks, 3),
        )
        carried = pickle.loads(pickle.dumps(ready))
        assert [vars(block)["work"] for block in carried.pipeline] == [
            str(job.settings.work) for _ in stage.pipeline
        ]


# --- a task that dies -----------------------------------------------------------------------------

DIES = f"""
import os, runpy, signal, sys
from llmcourse.prepare import cleaner
from llmcourse.prepare.trove import job, {{stage}} as stage
job.STRETCH, cleaner.LONGEST_DOCUMENT = 7, 20_000
stages = runpy.run_path({str(SCRIPT)!r})
before, count = stage.{{name}}, [0]
def dying(*arguments):
    count[0] += 1
    if count[0] == {{calls}}:
        os.kill(os.getpid(), signal.SIGKILL)
    return before(*arguments)
stage.{{name}} = dying
stages["main"]()
"""


@pytest.mark.parametrize(
    ("stage", "name", "calls"),
    [("clean", "_clean", 70), ("tokens", "document_ids", 45), ("copies", "settle", 1)],
)
def test_a_task_that_is_killed_is_run_again(sources, alone, tmp_path, stage, name, calls):
    settings = asked(sources, alone, tmp_path)
    options = ["--tokenizer", settings.tokenizer, "--held-out", "0.2", "--tasks", "2"]
    options += ["--out", str(settings.out), "--work", str(settings.work)]
    code = DIES.format(stage=stage, name=name, calls=calls)
    command = [sys.executable, "-c", code, *settings.sources, *options]
    with open(tmp_path / "said", "wb") as said:
        killed = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        assert killed.wait(timeout=200) == -signal.SIGKILL, (tmp_path / "said").read_text()
    os.killpg(killed.pid, signal.SIGKILL)  # what the executor had started beside it
    assert not settings.out.exists()
    first = settings.work / "clean" / "00000"
    when = first.stat().st_mtime_ns if first.exists() else None
    run_job(begin(settings))
    assert first.stat().st_mtime_ns == when  # what was done is not done again
    assert_same(settings.out, alone)


def test_what_is_done_is_found_and_what_was_deleted_is_put_together_again(sources, alone, tmp_path):
    settings = asked(sources, alone, tmp_path)
    run_job(begin(settings))
    before = (settings.out / "train.bin").stat().st_mtime_ns
    run_job(begin(settings))
    assert (settings.out / "train.bin").stat().st_mtime_ns == before
    for path in settings.out.iterdir():
        path.unlink()
    settings.out.rmdir()
    run_job(begin(settings))
    assert_same(settings.out, alone)


# --- bad input ------------------------------------------------------------------------------------


def refused(*arguments: object) -> str:
    """Run the script's command line; it must end with one line, which is returned."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2, done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert "Traceback" not in done.stderr
    return line


def test_the_command_line_says_in_one_line_what_is_wrong(alone, tmp_path):
    (tmp_path / "zeros.txt").write_bytes(b"\0" * 5000)
    options = ["--out", tmp_path / "out", "--work", tmp_path / "work", "--tokenizer", alone]
    said = refused(tmp_path / "zeros.txt", *options)
    assert "is no text: it looks like a binary file" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer": "bpe"}, "--tokenizer bpe is a kind, which many tasks cannot train"),
        ({"tokenizer": "gone"}, "there is no tokenizer at gone"),
        ({"tasks": 0}, "tasks=0 must be at least 1"),
        ({"sources": ("gone.txt",)}, "no file, no folder"),
        ({"encoding": "utf-9"}, "--encoding utf-9 is no encoding"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    sources, alone, tmp_path, change, message
):
    names = change.pop("sources", sources)
    with pytest.raises(UserError, match=re.escape(message)):
        begin(asked(names, alone, tmp_path, **change))
    assert not (tmp_path / "work").exists()


def test_folders_that_are_in_the_way(sources, alone, tmp_path):
    settings = asked(sources, alone, tmp_path)
    begin(settings)
    with pytest.raises(UserError, match=r"was begun with tasks=2, not 3: give what was"):
        begin(asked(sources, alone, tmp_path, tasks=3))
    begin(asked(sources, alone, tmp_path, workers=2))  # this may change
    (settings.work / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json is damaged: delete .*begin the job again"):
        begin(settings)
    (settings.work / "plan.json").rename(settings.work / "thesis.tex")
    with pytest.raises(UserError, match=r"holds no plan\.json: it is no folder of work"):
        begin(settings)
    with pytest.raises(UserError, match=r"lies in the source"):
        begin(asked(sources, alone, sources[0]))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["Short."] * 3, r"all 3 documents were dropped \(too short 3\)"),
        ([tale(1)], "the text is too small to hold out whole documents by chance: use python -m"),
    ],
)
def test_a_text_of_which_too_little_is_left(alone, tmp_path, texts, message):
    write_rows(tmp_path / "t.jsonl", texts)
    with pytest.raises(UserError, match=message):
        run_job(begin(asked([tmp_path / "t.jsonl"], alone, tmp_path)))
    assert not (tmp_path / "out").exists()


def test_a_source_that_yields_nothing_beside_one_that_does(sources, alone, tmp_path):
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n{"text": \n')
    with pytest.raises(UserError, match=r"empty\.jsonl:1 holds no text"):
        run_job(begin(asked([*sources, tmp_path / "empty.jsonl"], alone, tmp_path)))


# --- real text, processes -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif("LLMCOURSE_DATA" not in os.environ, reason="LLMCOURSE_DATA names no data")
def test_real_text_in_two_processes(monkeypatch, tmp_path):
    """School books and tales for children, in processes of their own."""
    monkeypatch.undo()
    data = Path(os.environ["LLMCOURSE_DATA"]) / "pretrain_en"
    sources = [data / f"{name}.jsonl.gz" for name in ("openstax.valid", "storybooks.valid")]
    common = [*map(str, sources), "--held-out", "0.1"]
    first = ["--out", str(tmp_path / "first"), "--vocab-size", "1000"]
    assert main([*common, *first]) == 0
    trained = ["--tokenizer", str(tmp_path / "first")]
    assert main([*common, *trained, "--out", str(tmp_path / "alone")]) == 0
    shared = ["--work", str(tmp_path / "work"), "--tasks", "3", "--workers", "2"]
    command = [sys.executable, str(SCRIPT), *common, *trained, *shared]
    subprocess.run(
        [*command, "--out", str(tmp_path / "out")], check=True, capture_output=True, timeout=200
    )
    assert_same(tmp_path / "out", tmp_path / "alone")
