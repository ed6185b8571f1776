"""The walk is the model's own forward pass, and its pictures show what it holds."""

import matplotlib.pyplot as plt
import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig, original_recipe
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn.propagation import rms
from llmcourse.viz import machine

SIZES = {"vocab_size": 12, "context_length": 8, "d_model": 16, "n_layers": 2, "n_heads": 2}
IDS = torch.tensor([3, 1, 4, 1, 5])
SOURCE = torch.tensor([2, 7, 1])
LABELS = [f"w{number}" for number in range(12)]


@pytest.fixture
def gpt():
    return GPT(gpt2_recipe(**SIZES)).eval()


@pytest.fixture
def translator():
    return EncoderDecoder(EncoderDecoderConfig(**SIZES, zero_init_outputs=False)).eval()


@pytest.fixture
def steps(gpt):
    return machine.walk(gpt, IDS)


# --- the walk ------------------------------------------------------------------------------------


def test_a_walk_names_every_part_in_order(steps):
    block = ["norm1", "attention", "+ attention", "norm2", "mlp", "+ mlp"]
    names = [f"{number} {part}" for number in range(2) for part in block]
    assert [step.name for step in steps] == ["token", "+ position", *names, "final norm"]
    assert [step.name for step in steps if step.on_stream] == [
        "token",
        "+ position",
        *[f"{number} + {part}" for number in range(2) for part in ("attention", "mlp")],
    ]


@pytest.mark.parametrize("position", [0, 2, -1])
def test_a_walk_ends_where_the_model_does(gpt, position):
    output = gpt(IDS[None])
    last = machine.walk(gpt, IDS, position=position)[-1]
    assert torch.allclose(last.vector, output.hidden[0, position], atol=1e-6)
    assert torch.allclose(last.lens, output.logits[0, position].softmax(-1), atol=1e-6)


def test_a_walk_through_the_writing_side_ends_where_the_model_does(translator):
    output = translator(SOURCE[None], IDS[None])
    steps = machine.walk(translator, IDS, source=SOURCE)
    assert torch.allclose(steps[-1].vector, output.hidden[0, -1], atol=1e-5)
    assert torch.allclose(steps[-1].lens, output.logits[0, -1].softmax(-1), atol=1e-5)
    assert "0 cross-attention" in [step.name for step in steps]
    assert "+ position" not in [step.name for step in steps]  # these positions turn queries


def test_a_mask_hides_the_padding_of_the_source(translator):
    padded = torch.cat([SOURCE, torch.tensor([9, 9])])
    mask = torch.tensor([[[[True, True, True, False, False]]]])
    masked = machine.walk(translator, IDS, source=padded, source_mask=mask)[-1]
    alone = machine.walk(translator, IDS, source=SOURCE)[-1]
    assert torch.allclose(masked.vector, alone.vector, atol=1e-5)


def test_branches_add_up_to_the_stream(gpt, steps):
    stream = [step.vector for step in steps if step.on_stream]
    answers = [step.vector for step in steps if step.name[2:] in ("attention", "mlp")]
    total = stream[0] + gpt.position_embedding.weight[4]  # the last of five
    assert torch.allclose(total, stream[1])
    for answer, after in zip(answers, stream[2:], strict=True):
        total = total + answer
        assert torch.allclose(total, after, atol=1e-6)


def test_the_lens_reads_the_stream_by_the_final_norm_and_the_head(gpt, steps):
    for step in steps:
        if step.on_stream:
            read = gpt.lm_head(gpt.norm(step.vector)).softmax(-1)
            assert torch.allclose(step.lens, read, atol=1e-6)
        assert step.lens.sum().item() == pytest.approx(1, abs=1e-5)


def test_a_branch_leaves_the_lens_as_it_was_until_it_is_added(steps):
    by_name = {step.name: step for step in steps}
    assert torch.equal(by_name["0 attention"].lens, by_name["+ position"].lens)
    assert not torch.equal(by_name["0 + attention"].lens, by_name["+ position"].lens)


def test_blocks_that_begin_as_identity_leave_the_stream_alone():
    model = GPT(modern_recipe(**SIZES))
    stream = [step.vector for step in machine.walk(model, IDS) if step.on_stream]
    assert all(torch.equal(vector, stream[0]) for vector in stream)


def test_a_walk_leaves_no_gradients_and_no_hooks(gpt, steps):
    assert not any(step.vector.requires_grad or step.lens.requires_grad for step in steps)
    assert not any(module._forward_hooks for module in gpt.modules())


def test_what_cannot_be_walked_says_so(translator):
    with pytest.raises(UserError, match="give a source"):
        machine.walk(translator, IDS)
    old = EncoderDecoder(original_recipe(**SIZES))
    with pytest.raises(UserError, match="pre-norm blocks"):
        machine.walk(old, IDS, source=SOURCE)


# --- its pictures --------------------------------------------------------------------------------


def test_a_step_shows_its_vector_its_size_and_its_lens(steps):
    step = steps[3]
    strip, sizes, lens = _axes(machine.draw_step(steps, 3, LABELS))
    drawn = torch.from_numpy(strip.collections[0].get_array().copy()).flatten()
    assert torch.allclose(drawn, step.vector)
    assert (
        strip.get_title(loc="left") == f"a branch, 16 numbers of size {rms(step.vector):.2f} (RMS)"
    )
    marked = sizes.get_lines()[-1].get_xydata()[0]
    assert marked == pytest.approx([rms(step.vector), 3])
    shares, ids = step.lens.topk(5)
    assert [bar.get_width() for bar in lens.containers[0]] == pytest.approx(shares.tolist())
    assert [tick.get_text() for tick in lens.get_yticklabels()] == [LABELS[id] for id in ids]


@pytest.mark.parametrize(
    ("at", "what", "place"),
    [
        (0, "the stream", "Step 0: token"),
        (2, "a copy", "Step 2, block 0: norm1"),
        (14, "a copy", "Step 14: final norm"),
    ],
)
def test_a_step_says_what_its_vector_is(steps, at, what, place):
    drawn = machine.draw_step(steps, at, LABELS)
    assert _axes(drawn)[0].get_title(loc="left").startswith(what)
    assert drawn.get_suptitle() == f"{place}\n{steps[at].says}"


@pytest.mark.parametrize("kind", machine.SAYS)
def test_what_is_said_fits_on_the_page(steps, kind):
    step = steps[0]._replace(name="0 + cross-attention", says=machine.SAYS[kind])
    drawn = machine.draw_step([step], 0, LABELS)
    drawn.canvas.draw()
    assert drawn._suptitle.get_window_extent().x1 < drawn.bbox.x1


def test_colours_do_not_depend_on_the_size(steps):
    loud = steps[3]._replace(vector=100 * steps[3].vector)
    strips = [_axes(machine.draw_step([step], 0, LABELS))[0] for step in (steps[3], loud)]
    colours = [strip.collections[0].to_rgba(strip.collections[0].get_array()) for strip in strips]
    assert abs(colours[0] - colours[1]).max() < 0.02


def test_a_vector_of_zeros_can_be_drawn(steps):
    silent = steps[3]._replace(vector=torch.zeros(16))
    assert "of size 0.00" in _axes(machine.draw_step([silent], 0, LABELS))[0].get_title(loc="left")


def test_the_explorer_walks(gpt):
    walks = {f"{t}": machine.walk(gpt, IDS, position=t) for t in range(5)}
    explorer = machine.machine_explorer(walks, LABELS)
    assert explorer.controls["step"].max == 14
    before = explorer.picture.value
    explorer.controls["step"].value = 5
    explorer.controls["token"].value = "3"
    assert explorer.picture.value != before
    assert explorer.message.value == ""
    assert not plt.get_fignums()


def test_an_explorer_of_different_models_is_refused(gpt, steps):
    with pytest.raises(UserError, match=r"walks of \[14, 15\] steps"):
        machine.machine_explorer({"a": steps, "b": steps[:-1]}, LABELS)


# --- where parameters sit ------------------------------------------------------------------------


def test_bars_are_shares_and_add_up_to_one():
    ax = machine.parameter_bars({"small": {"a": 1, "b": 3}, "large": {"a": 5_000_000_000, "b": 0}})
    widths = [[bar.get_width() for bar in box] for box in ax.containers]
    assert widths == [[0.25, 1.0], [0.75, 0.0]]
    assert {text.get_text() for text in ax.texts} == {"25%", "75%", "100%"}
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["small\n4", "large\n5.0 B"]


def _axes(drawn):
    """The strip, the sizes and the lens, by what is written at them."""
    found = {ax.get_xlabel() or ax.get_title(loc="left"): ax for ax in drawn.axes}
    return (
        found["D (model width)"],
        found["size (RMS)"],
        found["If the stream were read now"],
    )
