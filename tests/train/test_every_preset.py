"""Every preset and every family takes a step: a small twin here, the real shapes on `meta`."""

import pytest
import torch
from small_runs import twin
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from llmcourse.models.registry import FAMILIES
from llmcourse.planning.memory import FusedAttention
from llmcourse.randomness import numpy_rng
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.train import smoke
from llmcourse.train.__main__ import main
from llmcourse.train.assemble import build_model, build_objective
from llmcourse.train.calibrate import vocab_size_of
from llmcourse.train.loop import train
from llmcourse.train.optimizers import build_optimizers
from llmcourse.train.presets import PRESETS, cramming, cramming_laptop
from llmcourse.train.settings import ModelSettings, ObjectiveSettings, Settings

PAIRS = [(family, objective) for family, entry in FAMILIES.items() for objective in entry.learns]


class OneDevice(TorchDispatchMode):
    """Refuses every call whose tensors, those of one number aside, are on two devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors if x.dim()}
        copies = ("_to_copy", "copy_")
        if len(devices) > 1 and not any(name in str(func) for name in copies):
            raise AssertionError(f"{func} mixes {sorted(devices)}")
        return func(*args, **(kwargs or {}))


def step_on_meta(settings: Settings, rows: int = 2) -> None:
    objective = build_objective(settings, ByteTokenizer())
    with torch.device("meta"):
        model = build_model(settings, vocab_size_of(settings, objective))
    tokens = torch.zeros(rows, objective.window(settings.model.context_length), dtype=torch.long)
    batch = objective.prepare(tokens, numpy_rng(0, "meta"))
    with OneDevice(), FusedAttention():
        batch = batch.rows(slice(None), torch.device("meta"))
        loss = objective.loss(model(ids=batch.ids, **batch.extras), batch).total
        loss.backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert loss.is_meta
    assert any(gradient is not None for gradient in gradients)
    assert build_optimizers(model, settings.optimizer)


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_step_stays_on_its_device(name):
    step_on_meta(PRESETS[name]())


@pytest.mark.parametrize(("family", "objective"), PAIRS)
def test_a_familys_step_stays_on_its_device(family, objective):
    step_on_meta(
        Settings(
            model=ModelSettings(family=family, context_length=32),
            objective=ObjectiveSettings(name=objective),
        )
    )


def test_mixed_devices_are_caught():
    with OneDevice(), pytest.raises(AssertionError, match=r"mixes \['cpu', 'meta'\]"):
        torch.ones(2, 2, device="meta") @ torch.ones(2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_small_twin_takes_steps(name, tmp_path):
    result = train(twin(name, tmp_path / "run"))
    assert result.steps == 2
    assert result.score is not None


def test_cramming_is_one_recipe_at_two_sizes():
    one, two = cramming(), cramming_laptop()
    assert one.optimizer == two.optimizer
    assert one.objective.name == two.objective.name == "mlm"
    for settings in (one, two):
        assert settings.model.dropout == 0
        assert not settings.model.bias
        assert settings.optimizer.schedule == "one_cycle"
        assert settings.budget is not None
        assert 0 < settings.ramp < 1
        model = build_model_of(settings)
        assert model.config.residual == "pre"


def build_model_of(settings: Settings):
    objective = build_objective(settings, ByteTokenizer())
    with torch.device("meta"):
        return build_model(settings, vocab_size_of(settings, objective))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_smoke_test_says_so_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["--preset", "gpu-smoke"])
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: device 'cuda' is not on this machine")
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_smoke_tests_lines(tmp_path):
    """On a CPU the probes that need a GPU fail, each with its reason, and the rest is said."""
    result = train(twin("gpu-smoke", tmp_path / "run"))
    lines = smoke.lines_to_paste(result.run, torch.device("cpu")).splitlines()
    said = dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)
    assert said["steps"] == "2"
    assert any(line.startswith("fused AdamW") and "ok" in line for line in lines)
    assert any(line.startswith("pinned memory") for line in lines)
    assert smoke.outcome(lambda device: 1.0, torch.device("cpu")).startswith("FAILED")


def test_a_probe_that_raises_is_told():
    def broken(device: torch.device) -> float:
        raise RuntimeError("no kernel\nlong story")

    assert smoke.outcome(broken, torch.device("cpu")) == "FAILED: no kernel"
