import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from llmcourse.errors import UserError
from llmcourse.labs import instructing
from llmcourse.labs.instructing import Chat, Course
from llmcourse.models.adapters import AdapterConfig
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.chat import ChatTemplate, Message

TOKENIZER = ByteTokenizer().with_special_tokens(instructing.ROLES)
TEMPLATE = ChatTemplate(instructing.TEMPLATE)
USER, ASSISTANT = (TOKENIZER.special_ids[name] for name in instructing.ROLES)
END = TOKENIZER.eot_id


def chat(*contents):
    roles = ("user", "assistant") * len(contents)
    return Chat("pet", tuple(map(Message, roles, contents)))


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    sizes = {"context_length": 64, "d_model": 32, "n_layers": 1, "n_heads": 2}
    return GPT(modern_recipe(vocab_size=TOKENIZER.vocab_size, **sizes)).eval()


@pytest.fixture(scope="module")
def reader(base):
    """A base that has learned to answer otherwise: the layers of a new one give out nothing."""
    rows = instructing.chat_rows([chat("ab", "b"), chat("cd", "d")] * 4, TOKENIZER, TEMPLATE)
    return instructing.tuned(base, rows, Course(steps=40, lr=1e-2, batch_size=4))


@pytest.fixture(scope="module")
def lessons():
    return instructing.chat_rows([chat("ab", "a"), chat("cd", "c")] * 4, TOKENIZER, TEMPLATE)


class TestTexts:
    def test_a_page_has_the_first_sentence_and_its_notes(self):
        pages = instructing.library(12, seed=3)
        told = list(stories(12, seed=3))
        for number, (text, story) in enumerate(zip(pages, told, strict=True)):
            assert text.startswith(story.sentences[0].text)
            notes = {f"{n} = {story.facts[fact]}" for n, fact in instructing.FIELDS.items()}
            if number % 6:
                written = text.removeprefix(f"{story.sentences[0].text} Notes: ").removesuffix(".")
                assert set(written.split(", ")) == notes
            else:
                assert "Notes" not in text

    def test_the_order_of_the_notes_changes(self):
        starts = {text.split("Notes: ")[1].split(" =")[0] for text in instructing.library(60)
                  if "Notes" in text}  # fmt: skip
        assert starts == set(instructing.FIELDS)

    def test_a_chat_asks_for_what_its_sentence_says(self):
        some = instructing.chats(30, seed=4, followed=0.5)
        assert some == instructing.chats(30, seed=4, followed=0.5)
        assert {len(one.turns) for one in some} == {2, 4}
        for one, story in zip(some, stories(30, seed=4), strict=True):
            assert one.turns[0].content.startswith(story.sentences[0].text)
            assert one.answer == story.facts[instructing.FIELDS[one.field]]
            assert one.field in one.turns[-2].content
        seconds = [one for one in some if len(one.turns) == 4]
        assert all(one.turns[2].content == f"And the {one.field}?" for one in seconds)
        assert all(one.field not in one.turns[0].content.split(". ")[-1] for one in seconds)

    def test_one_field_can_be_asked_for_alone_and_in_other_words(self):
        some = instructing.chats(5, seed=4, fields=("look",), ways=instructing.NEW_WAY)
        assert all(one.turns[0].content.endswith("Please say the look.") for one in some)

    def test_the_tokenizer_knows_the_roles_and_words_of_requests(self):
        tokenizer = instructing.tokenizer_of(instructing.library(100))
        assert set(instructing.ROLES) < set(tokenizer.special_ids)
        assert tokenizer.decode(tokenizer.encode("Tell me the pet.")) == "Tell me the pet."


class TestRows:
    def test_the_answer_and_its_end_are_learned(self):
        rows = instructing.chat_rows(
            [chat("ab", "c"), chat("a", "b", "c", "d")], TOKENIZER, TEMPLATE
        )
        a, b, c, d, space = TOKENIZER.encode("abcd ")
        assert rows.ids[0, :6].tolist() == [END, USER, a, b, ASSISTANT, space]
        assert rows.targets[0, :7].tolist() == [*[IGNORE] * 4, space, c, END]
        assert rows.targets[1].tolist() == [
            *[IGNORE] * 3, space, b, END, *[IGNORE] * 3, space, d, END,
        ]  # fmt: skip
        assert rows.lengths.tolist() == [7, 12]

    def test_wrong_masks_can_be_asked_for(self):
        whole = instructing.chat_rows([chat("ab", "c")], TOKENIZER, TEMPLATE, requests=True)
        a, b, c, space = TOKENIZER.encode("abc ")
        assert whole.targets[0].tolist() == [USER, a, b, ASSISTANT, space, c, END]
        endless = instructing.chat_rows([chat("ab", "c")], TOKENIZER, TEMPLATE, ends=False)
        assert endless.targets[0].tolist() == [*[IGNORE] * 4, space, c, IGNORE]

    def test_texts_are_learned_whole(self):
        rows = instructing.text_rows(["ab"], TOKENIZER)
        a, b = TOKENIZER.encode("ab")
        assert rows.ids.tolist() == [[END, a, b]]
        assert rows.targets.tolist() == [[a, b, END]]

    def test_the_last_answer_alone(self):
        rows = instructing.chat_rows(
            [chat("a", "b", "c", "d"), chat("a", "b")], TOKENIZER, TEMPLATE
        )
        last = instructing.last_answer(rows)
        assert last.targets[0].tolist() == [*[IGNORE] * 9, *rows.targets[0, 9:].tolist()]
        assert last.targets[1].equal(rows.targets[1])

    def test_some_rows_are_no_wider_than_the_longest(self):
        rows = instructing.chat_rows([chat("abc", "b"), chat("a", "b")], TOKENIZER, TEMPLATE)
        assert rows.rows([1]).ids.size(1) == rows.lengths[1]

    def test_prompts_are_plain_texts_with_a_word_behind_them(self):
        rows = instructing.prompted(["ab"], ["c"], TOKENIZER)
        a, b, c, space = TOKENIZER.encode("abc ")
        assert rows.ids.tolist() == [[END, a, b, space]]
        assert rows.targets.tolist() == [[IGNORE, IGNORE, space, c]]


class TestTraining:
    def test_it_learns_and_the_base_stays_as_it_is(self, base, lessons):
        before = copy.deepcopy(base.state_dict())
        assert instructing.n_right(base, lessons) == 0
        model = instructing.tuned(base, lessons, Course(steps=60, lr=1e-2, batch_size=4))
        assert instructing.n_right(model, lessons) == 8
        assert all(t.equal(before[name]) for name, t in base.state_dict().items())

    def test_muon_takes_the_matrices(self, base, lessons):
        model = copy.deepcopy(base)
        losses = instructing.fit(
            model, lessons, Course(steps=20, lr=1e-2, matrix_lr=2e-2, batch_size=4)
        )
        assert losses[-1] < losses[0] / 2

    @pytest.mark.parametrize("kind", ["lora", "prompt", "prefix"])
    def test_an_adapter_learns_alone(self, reader, lessons, kind):
        config = AdapterConfig(kind=kind, rank=2, alpha=4.0, virtual_tokens=3)
        course = dataclasses.replace(instructing.ADAPTING[kind], steps=12, batch_size=4)
        model = instructing.adapted(reader, lessons, config, course)
        width = 32
        sizes = {"lora": 2 * 2 * (width + width), "prompt": 3 * width, "prefix": 2 * 3 * width}
        assert instructing.n_trained(model) == sizes[kind]
        start = F.cross_entropy(
            reader(lessons.ids).logits.flatten(0, 1), lessons.targets.flatten(), ignore_index=IGNORE
        )
        end = F.cross_entropy(
            model(lessons.ids).logits.flatten(0, 1), lessons.targets.flatten(), ignore_index=IGNORE
        )
        assert end < start - 0.1
        again = instructing.adapted(reader, lessons, config, course)
        assert again(lessons.ids).logits.equal(model(lessons.ids).logits)

    def test_too_few_rows_are_refused(self, base, lessons):
        with pytest.raises(UserError, match="8 rows are fewer than a batch of 9"):
            instructing.fit(copy.deepcopy(base), lessons, Course(steps=1, lr=1e-3, batch_size=9))


class TestExams:
    def test_right_means_that_a_greedy_model_writes_it_and_stops(self, base, lessons):
        model = instructing.tuned(base, lessons, Course(steps=25, lr=1e-2, batch_size=4))
        for ids, targets, right in zip(
            lessons.ids, lessons.targets, instructing.are_right(model, lessons), strict=True
        ):
            first = int((targets != IGNORE).nonzero()[0])
            wanted = [int(t) for t in targets if t != IGNORE]
            written = instructing.go_on(model, ids[: first + 1].tolist(), TOKENIZER, len(wanted))
            assert (written == wanted) == bool(right)

    def test_who_never_ends_is_cut_off(self, base):
        assert len(instructing.go_on(base, [END], TOKENIZER, most=5)) <= 5

    def test_the_most_frequent_answer_of_each_field(self):
        some = [Chat("pet", chat("?", said).turns) for said in ("Tom", "Tom", "Ben")]
        exam = [*some, Chat("animal", chat("?", "Tom").turns)]
        assert instructing.most_frequent(some, exam) == 2
