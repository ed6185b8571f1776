"""The whole way, by the commands of the README alone: from a text to a model that others ask."""

import json
import re
from pathlib import Path

import pytest

from tools import mission

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The folder that the whole way leaves, and what each step printed."""
    folder = tmp_path_factory.mktemp("mission")
    return folder, mission.accomplish(folder)


def test_it_is_prepared_trained_and_tuned(place):
    folder, printed = place
    assert "1,500 documents" in printed["prepare"]
    assert (folder / "run" / "report.html").is_file()
    assert (folder / "tuned" / "report.html").is_file()


def test_the_tuned_model_labels_a_text(place):
    assert re.search(r"\b(good|bad)\b", place[1]["predict"])


def test_it_is_examined(place):
    assert "bits" in place[1]["evaluate"]


def test_it_is_exported_with_a_card_and_proven(place):
    folder, printed = place
    for name in ("hf", "onnx", "int8"):
        assert (folder / name / "README.md").is_file()
    assert "license: cc-by-4.0" in (folder / "hf" / "README.md").read_text("utf-8")
    assert "200 of 200" in printed["export onnx"]
    config = json.loads((folder / "int8" / "model" / "config.json").read_text("utf-8"))
    assert config["quantization"] == "int8"


@pytest.mark.parametrize("step", ["generate", "serve"])
def test_it_writes(place, step):
    text = place[1][step]
    assert text.startswith(mission.PROMPT)
    assert re.search(r"\w+", text.removeprefix(mission.PROMPT))


def test_a_folder_that_is_there_is_left_alone(tmp_path, capsys):
    assert mission.main([str(tmp_path)]) == 2
    assert "must not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
