import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, gpt2_recipe
from llmcourse.nn.masks import causal
from llmcourse.shapes import axis_label
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.viz import attention, matrix, style
from tests.explorers import FewWords

WORDS = ["the", "cat", "sat", "down"]


@pytest.fixture
def weights():
    scores = torch.randn(4, 4).masked_fill(~causal(4), -torch.inf)
    return scores.softmax(-1)


@pytest.fixture
def model():
    sizes = {"vocab_size": 257, "context_length": 16, "d_model": 16, "n_layers": 2, "n_heads": 2}
    torch.nn.init.normal_((model := GPT(gpt2_recipe(**sizes))).lm_head.weight, std=0.5)
    return model.eval()


@pytest.fixture
def explorer(model):
    return attention.attention_explorer(model, ByteTokenizer(), "a cat")


def title_of(explorer):
    """What the picture says above everything."""
    return explorer._draw(**explorer.values).axes[0].get_title(loc="left")


def cells_of(ax):
    return ax.collections[0].get_array()


def names(ax):
    return [[tick.get_text() for tick in axis.get_ticklabels()] for axis in (ax.yaxis, ax.xaxis)]


# --- matrices ------------------------------------------------------------------------------------


def test_queries_run_down_and_keys_across(weights):
    ax = attention.heatmap(weights[:3], WORDS[:3], WORDS, title="Said")
    assert np.array_equal(cells_of(ax), weights[:3].numpy())
    assert names(ax) == [WORDS[:3], WORDS]
    assert ax.get_ylabel() == axis_label("T")
    assert ax.get_xlabel() == axis_label("S")
    assert ax.get_ylim() == (2.5, -0.5)  # the first query on top
    assert ax.get_title(loc="left") == "Said"


def test_shades_mean_the_same_in_every_picture(weights):
    assert attention.heatmap(weights / 10).collections[0].get_clim() == (0, 1)
    grid = attention.heads_grid(torch.stack([weights, weights / 10]))
    assert {ax.collections[0].get_clim() for ax in grid.axes[:2]} == {(0, 1)}


def test_self_attention_needs_one_list_of_labels(weights):
    assert names(attention.heatmap(weights, WORDS)) == [WORDS, WORDS]
    assert names(attention.heatmap(weights[:2], WORDS[:2])) == [WORDS[:2], ["0", "1", "2", "3"]]


def test_labels_drop_the_space_that_tokens_begin_with(weights):
    assert names(attention.heatmap(weights, ["the", " cat", " ", "\n"]))[0] == [
        "the",
        "cat",
        "␣",
        "⏎",
    ]


def test_small_matrices_have_their_values_written_in_and_masked_cells_are_empty(weights):
    ax = attention.heatmap(weights)
    written = {tuple(text.get_position()): text.get_text() for text in ax.texts}
    rows, columns = np.nonzero(weights.numpy())
    assert written == {
        (column, row): f"{weights[row, column]:.2f}"
        for row, column in zip(rows, columns, strict=True)
    }


def test_large_matrices_have_a_colour_bar_instead():
    ax = attention.heatmap(torch.rand(20, 20))
    assert not ax.texts
    assert ax.figure.axes[1].get_ylabel() == "attention weight"


def test_fifty_labels_are_thinned_out_to_what_fits():
    ax = attention.heatmap(torch.rand(50, 50), ["word"] * 50)
    ax.figure.canvas.draw()
    boxes = [tick.get_window_extent() for tick in ax.get_yticklabels()]
    gaps = [abs(lower.y1 - upper.y0) for lower, upper in zip(boxes[1:], boxes[:-1], strict=True)]
    overlaps = [one.overlaps(two) for one, two in zip(boxes[1:], boxes[:-1], strict=True)]
    assert len(boxes) >= 20
    assert not any(overlaps), gaps


@pytest.mark.parametrize("picture", [attention.heatmap, attention.score_map])
def test_a_wrong_number_of_labels_says_so(weights, picture):
    with pytest.raises(UserError, match="3 labels for 4 positions"):
        picture(weights, WORDS[:3])


def test_a_mask_crosses_out_what_may_not_be_seen():
    allowed = causal(4)
    ax = attention.mask(allowed, WORDS)
    assert np.array_equal(cells_of(ax), allowed.numpy())
    crossed = {(int(row), int(column)) for column, row in ax.collections[1].get_offsets()}
    assert crossed == {(row, column) for row in range(4) for column in range(row + 1, 4)}


def test_scores_are_signed_and_symmetric_and_may_be_minus_infinity():
    scores = torch.tensor([[2.0, -torch.inf], [-0.5, 0.25]])
    ax = attention.score_map(scores)
    assert ax.collections[0].get_clim() == (-2, 2)
    assert [text.get_text() for text in ax.texts] == ["2.00", "−0.50", "0.25"]
    assert ax.collections[1].get_offsets().tolist() == [[1, 0]]


def test_scores_that_are_all_masked_are_drawn():
    attention.score_map(torch.full((2, 2), -torch.inf)).figure.canvas.draw()


@pytest.mark.parametrize("heads", [1, 2, 4, 5, 6, 8])
def test_every_head_has_a_panel(heads):
    weights = torch.rand(heads, 5, 3)
    drawn = attention.heads_grid(weights, title="Heads")
    panels = [ax for ax in drawn.axes if ax.get_visible() and ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in panels] == [f"head {h}" for h in range(heads)]
    for ax, expected in zip(panels, weights, strict=True):
        assert np.array_equal(cells_of(ax), expected.numpy())
    drawn.canvas.draw()


def test_gradients_and_other_formats_do_not_matter():
    weights = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)
    attention.heatmap(weights)


# --- who looks at whom ---------------------------------------------------------------------------


def lines_of(ax):
    return [patch for patch in ax.patches if isinstance(patch, PathPatch)]


def test_stronger_attention_is_a_thicker_line():
    ax = attention.who_looks_at_whom(torch.tensor([[0.1, 0.9]]), ["it"], ["the", "cat"])
    thin, thick = lines_of(ax)
    assert thick.get_linewidth() > 2 * thin.get_linewidth()
    assert thick.get_path().vertices[-1][0] > thin.get_path().vertices[-1][0]  # to the second key


def test_no_attention_is_no_line(weights):
    assert len(lines_of(attention.who_looks_at_whom(torch.eye(4), WORDS))) == 4


def test_the_chosen_query_stands_out_and_tells_its_shares(weights):
    ax = attention.who_looks_at_whom(weights, WORDS, query=2)
    in_accent = [p for p in lines_of(ax) if p.get_edgecolor()[:3] == to_rgba(style.ACCENT)[:3]]
    assert len(in_accent) == int((weights[2] >= 0.01).sum())
    shares = [text.get_text() for text in ax.texts if text.get_text().endswith("%")]
    assert shares == [f"{share:.0%}" for share in weights[2].tolist() if share >= 0.005]


# --- softmax -------------------------------------------------------------------------------------


def bars(scores, **settings):
    drawn = attention.softmax_bars(scores, **settings)
    return [[bar.get_height() for bar in ax.patches] for ax in drawn.axes]


def test_the_bars_are_the_softmax():
    scores = torch.tensor([1.0, -2.0, 0.5])
    given, returned = bars(scores, temperature=2.0, scale=3.0)
    assert given == pytest.approx([1.5, -3.0, 0.75], abs=1e-10)
    assert returned == pytest.approx((scores.double() * 1.5).softmax(-1).tolist(), abs=1e-10)


@pytest.mark.parametrize(
    ("scores", "entropy"),
    [([0.0, 0.0, 0.0, 0.0], "2.00 of 2.00"), ([900.0, 0.0, 0.0, 0.0], "0.00 of 2.00")],
)
def test_the_title_tells_the_entropy(scores, entropy):
    drawn = attention.softmax_bars(torch.tensor(scores))
    assert f"entropy {entropy} bits" in drawn.axes[1].get_title(loc="left")


def test_sliders_sharpen_and_flatten():
    explorer = attention.softmax_explorer(torch.tensor([1.0, 0.0]), ["cat", "mat"])
    highest = []
    for scale, temperature in ((1.0, 1.0), (8.0, 1.0), (1.0, 5.0)):
        explorer.controls["scale"].value = scale
        explorer.controls["temperature"].value = temperature
        right = explorer._draw(**explorer.values).axes[1]
        highest.append(max(bar.get_height() for bar in right.patches))
    assert highest[2] < highest[0] < highest[1]
    assert explorer.message.value == ""


# --- the explorer --------------------------------------------------------------------------------


def test_it_shows_the_weights_of_the_models_own_forward_pass(model):
    pieces, layers = attention.look(model, ByteTokenizer(), "a cat")
    assert pieces == list("a cat")
    assert [tuple(weights.shape) for weights in layers] == [(2, 5, 5)] * 2
    for weights in layers:
        assert torch.allclose(weights.sum(-1), torch.ones(2, 5), atol=1e-5)
        assert not weights.triu(1).any()
    assert not torch.allclose(layers[0], layers[1])


def test_the_title_says_whom_the_token_looks_at_most(model, explorer):
    pieces, layers = attention.look(model, ByteTokenizer(), "a cat")
    for layer, head, token in ((0, 0, 4), (1, 0, 3), (0, 1, 4), (1, 1, 0)):
        for name, value in {"layer": layer, "head": head, "token": token}.items():
            explorer.controls[name].value = value
        row = layers[layer][head, token]
        most = int(row.argmax())
        looking, seen = (matrix.token_label(pieces[at]) for at in (token, most))
        assert f"“{looking}” looks most at “{seen}” ({row[most]:.0%})" in title_of(explorer)


def test_the_slider_ends_where_the_sentence_does(explorer):
    token = explorer.controls["token"]
    assert (token.value, token.max) == (4, 4)
    explorer.controls["sentence"].value = "on"
    assert (token.value, token.max) == (1, 1)
    explorer.controls["sentence"].value = "a much longer sentence than fits"
    assert token.max == 15  # as many as stand side by side
    assert explorer.message.value == ""


def test_an_empty_sentence_is_answered_under_the_controls(explorer):
    before = bytes(explorer.picture.value)
    explorer.controls["sentence"].value = ""
    assert "type at least one word" in explorer.message.value
    explorer.controls["sentence"].value = "a dog"
    assert explorer.message.value == ""
    assert bytes(explorer.picture.value) != before


@pytest.mark.parametrize("sentence", ["猫在垫子上", "x", " ", "$a_b^c$", "\U0001f600"])
def test_any_sentence_can_be_typed(explorer, sentence):
    explorer.controls["sentence"].value = sentence
    assert explorer.message.value == ""


def test_looking_leaves_the_model_as_it_was(model):
    ids = torch.tensor([ByteTokenizer().encode("a cat")])
    before = model(ids).logits
    attention.look(model, ByteTokenizer(), "a cat")
    assert torch.equal(model(ids).logits, before)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_move_draws_once(explorer, drawings):
    explorer.controls["head"].value = 1
    drawings.clear()
    for token in (1, 2, 3):
        explorer.controls["token"].value = token
    assert len(drawings) == 3
    assert not plt.get_fignums()


def test_a_word_that_the_tokenizer_does_not_know_is_named(model):
    explorer = attention.attention_explorer(model, FewWords(), "a cat")
    before = bytes(explorer.picture.value)
    explorer.controls["sentence"].value = "a zebra"
    assert "zebra&#x27; is not a word" in explorer.message.value
    assert bytes(explorer.picture.value) == before
    explorer.controls["sentence"].value = "a"
    assert explorer.message.value == ""
    assert explorer.controls["token"].max == 0
