import math

import pytest
import torch
from numerics import close, in_double

from llmcourse.errors import UserError
from llmcourse.labs import distilling
from llmcourse.labs.distilling import Lesson, Taught
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.tinytown.stories import log_probability, stories
from llmcourse.tinytown.tasks import request
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

TOKENIZER = ByteTokenizer()


def small(d_model=8):
    sizes = {"context_length": 32, "d_model": d_model, "n_layers": 1, "n_heads": 2}
    return modern_recipe(vocab_size=TOKENIZER.vocab_size, **sizes)


@pytest.fixture
def texts():
    return distilling.text_rows(["abcabcabc", "bca", "cabcab", "abc"], TOKENIZER)


@pytest.fixture
def teacher():
    torch.manual_seed(1)
    return GPT(small(12)).eval()


def test_rows_stand_between_ends_and_nothing_behind_them_is_scored():
    rows = distilling.text_rows(["ab", "c"], TOKENIZER)
    a, b, c, end = *TOKENIZER.encode("abc"), TOKENIZER.eot_id
    assert rows.ids.tolist() == [[end, a, b], [end, c, end]]
    assert rows.targets.tolist() == [[a, b, end], [c, end, IGNORE]]


def test_a_teacher_is_heard_once_and_in_parts(teacher, texts):
    whole, parts = (distilling.listen(teacher, texts, n_rows) for n_rows in (32, 3))
    output = teacher(texts.ids)
    for heard in (whole, parts):
        close(heard.logits, output.logits)
        close(heard.hidden, output.hidden)
        assert not heard.logits.requires_grad


def test_loss_of_held_out_text_is_the_mean_over_tokens(teacher, texts):
    log_p = teacher(texts.ids).logits.log_softmax(-1)
    each = [
        -log_p[b, t, v].item()
        for b, row in enumerate(texts.targets.tolist())
        for t, v in enumerate(row)
        if v != IGNORE
    ]
    found = distilling.nats_per_token(teacher, texts, n_rows=2)
    assert found == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_a_students_lesson_alone_is_the_cross_entropy(teacher, texts):
    student = GPT(small()).eval()
    taught = distilling.listen(teacher, texts)
    total, count = distilling.lesson_loss(student, torch.ones(8, 12), texts, taught, Lesson())
    assert (total / count).item() == pytest.approx(
        distilling.nats_per_token(student, texts), rel=1e-5
    )


def test_hidden_states_are_added_with_their_weight(teacher, texts):
    student = in_double(lambda: GPT(small()))
    taught = Taught(*(each.double() for each in distilling.listen(teacher, texts)))
    projection = torch.randn(8, 12, dtype=torch.float64)
    without, one, three = (
        distilling.lesson_loss(
            student, projection, texts, taught, Lesson(share=0.5, hidden=w)
        ).total
        for w in (0.0, 1.0, 3.0)
    )
    close(three - without, 3 * (one - without), largest=1)


def test_two_lessons_with_one_seed_begin_alike_and_another_seed_does_not(teacher, texts):
    taught = distilling.listen(teacher, texts)
    first = Lesson(steps=1, batch_size=2, lr=1e-9)
    told = Lesson(steps=1, batch_size=2, lr=1e-9, share=1.0)
    alone, heard, other = (
        distilling.student_of(small(), texts, taught, lesson, seed)
        for lesson, seed in ((first, 0), (told, 0), (first, 1))
    )
    close(alone.lm_head.weight, heard.lm_head.weight)
    assert not torch.allclose(alone.lm_head.weight, other.lm_head.weight)


def test_a_student_learns_what_its_teacher_says(teacher, texts):
    """The teacher is untrained: what it says is in no text."""
    taught = distilling.listen(teacher, texts)
    lessons = (Lesson(steps=steps, share=1.0, lr=3e-2) for steps in (1, 60))
    apart = []
    for lesson in lessons:
        student = distilling.student_of(small(), texts, taught, lesson)
        total, count = distilling.lesson_loss(student, torch.ones(8, 12), texts, taught, lesson)
        apart.append((total / count).item())
    assert apart[1] < 0.5 * apart[0]


def test_entropy_is_the_grammars(teacher):
    some = list(stories(3))
    rows = distilling.text_rows([f"{request(s)}\n{s.text}" for s in some], TOKENIZER)
    nats = -sum(log_probability(s.text) for s in some)
    n_tokens = sum(len(request(s)) + 1 + len(s.text) + 1 for s in some)
    assert distilling.entropy_of([s.text for s in some], rows) == pytest.approx(nats / n_tokens)
    assert math.isinf(distilling.entropy_of(["No such story."], rows))


def test_complains_about_too_few_texts(teacher, texts):
    with pytest.raises(UserError, match="4 texts are fewer than a batch of 5"):
        distilling.student_of(
            small(), texts, distilling.listen(teacher, texts), Lesson(batch_size=5)
        )
