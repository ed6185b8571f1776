"""Chats as a model reads them: turns with roles, a template that writes them as one text, ids.

A template is Jinja, as `transformers` reads it: same environment, same variables. What a model is
to learn of a chat are the assistant's turns, and for every template they are found in one way: the
chat is rendered up to the turn, as if to be answered, and once more with it; what was added is the
answer. Each stretch is encoded by itself, so that no token spans a border and a model that writes
sees the ids that it learned from. Not here: special tokens in general (`special.py`), the loss
that reads the mask. Chapter 13 teaches this.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from json import dumps
from typing import Any, NamedTuple

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmcourse.errors import UserError, nearest, require
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.special import split_special

ROLES = ("system", "user", "assistant")
"""Who speaks in a chat."""

BEGINNINGS = ("<s>", "<|begin_of_text|>", "<|startoftext|>")
"""What other programs' vocabularies call the token in front of every text."""


@dataclass(frozen=True)
class Message:
    """A turn of a chat: who speaks, and what is said."""

    role: str
    content: str


class EncodedChat(NamedTuple):
    """A chat in ids; `is_answer` is True for those that the assistant is to say."""

    ids: list[int]
    is_answer: list[bool]


# --- what a chat must be --------------------------------------------------------------------------


def read_chat(turns: Any, where: str) -> list[Message]:
    """The messages of what a file holds: a list of objects that have a `role` and a `content`.

    Raises:
        UserError: it is something else; the line begins with `where`.
    """
    require(isinstance(turns, list), f"{where}: a chat is a list of messages, and this is none")
    chat = []
    for number, turn in enumerate(turns, start=1):
        fits = isinstance(turn, Mapping) and {"role", "content"} <= turn.keys()
        require(fits, f"{where}: turn {number} needs a 'role' and a 'content'")
        for key in ("role", "content"):
            kind = type(turn[key]).__name__
            require(isinstance(turn[key], str), f"{where}: turn {number}: its {key} is {kind}")
        chat.append(Message(turn["role"], turn["content"]))
    return chat


def check_chat(messages: Sequence[Message], where: str, *, to_learn: bool = False) -> None:
    """Refuse a chat that nobody could have had.

    A system's message may begin; then user and assistant speak in turns, the user first.

    Args:
        messages: the chat.
        where: file and row, to begin the complaint with.
        to_learn: whether the chat is to be learned from, and so must end in an answer.

    Raises:
        UserError: a role is unknown or out of order, a turn is empty, or the answer is missing.
    """
    expected = "user"
    for number, message in enumerate(messages, start=1):
        turn = f"{where}: turn {number}"
        if message.role not in ROLES:
            raise UserError(f"{turn}: unknown role {message.role!r}{nearest(message.role, ROLES)}")
        if not message.content.strip():
            raise UserError(f"{turn}: the {message.role}'s message is empty; leave the chat out")
        if message.role == "system":
            require(number == 1, f"{turn}: a system's message stands first or nowhere")
            continue
        if message.role != expected:
            raise UserError(
                f"{turn} is the {message.role}'s and must be the {expected}'s: "
                "user and assistant speak in turns, the user first"
            )
        expected = "assistant" if expected == "user" else "user"
    if not messages or messages[-1].role == "system":
        raise UserError(f"{where}: nobody asks anything in this chat; add a user's message")
    if to_learn and messages[-1].role != "assistant":
        raise UserError(f"{where}: the chat ends without an answer; add the assistant's turn")


# --- templates ------------------------------------------------------------------------------------


class _Generation(Extension):
    """`{% generation %}`, by which a template marks what an assistant says; it changes no text."""

    tags = {"generation"}  # noqa: RUF012, as the library declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_say"), [], [], body).set_lineno(line)

    def _say(self, caller: Any) -> str:
        return caller()


def _environment() -> ImmutableSandboxedEnvironment:
    """What `transformers` runs a template in: a stranger's template can compute, and no more."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return dumps(value, ensure_ascii=ensure_ascii, **options)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    environment.filters["tojson"] = to_json
    functions: Any = {"raise_exception": raise_exception, "strftime_now": strftime_now}
    environment.globals.update(functions)
    return environment


class ChatTemplate:
    """Chat template: Jinja that writes messages as the one text that a model reads.

    It is given `messages`, `add_generation_prompt`, `bos_token` and `eos_token`.

    Raises:
        UserError: the source is no Jinja.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise UserError(f"the chat template cannot be read: {_one_line(error)}") from None

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        bos_token: str = "",
        eos_token: str = "",
    ) -> str:
        """The text of a chat; with the generation prompt, up to where the assistant is to begin.

        Raises:
            UserError: the template does not render this chat.
        """
        try:
            return self._template.render(
                messages=[asdict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                bos_token=bos_token,
                eos_token=eos_token,
            )
        # A template is a program that somebody wrote: it may fail in any way.
        except Exception as error:
            raise UserError(f"the chat template does not render: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    at = f" (line {error.lineno})" if hasattr(error, "lineno") else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{at}"


TEMPLATES = {
    "plain": """\
{% for message in messages %}
{% if message['role'] == 'system' %}
{{ message['content'] }}

{% elif message['role'] == 'user' %}
### Instruction:
{{ message['content'] }}

{% else %}
### Response:
{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}


{% endif %}
{% endfor %}
{% if add_generation_prompt %}
### Response:
{% endif %}
""",
    "chatml": """\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] }}
{% if message['role'] == 'assistant' %}
{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}

{% else %}
{{ message['content'] + eos_token }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant' }}
{% endif %}
""",
    "llama": """\
{{ bos_token }}
{%- set asked = namespace(system='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set asked.system = '<<SYS>>\\n' + message['content'] + '\\n<</SYS>>\\n\\n' -%}
{%- elif message['role'] == 'user' -%}
{{- '[INST] ' + asked.system + message['content'] + ' [/INST] ' -}}
{%- set asked.system = '' -%}
{%- else -%}
{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}
{%- endif -%}
{%- endfor -%}
""",
}
"""Templates by name, as text that any tokenizer reads: the marks around turns are no new tokens.

`plain` is Alpaca's (Taori et al., 2023), `chatml` OpenAI's and Qwen's, `llama` that of Llama 2
(Touvron et al., 2023). A turn ends in the tokenizer's own end of text.
"""


def find_template(name: str) -> ChatTemplate:
    """The template of a name.

    Raises:
        UserError: there is none.
    """
    require(name in TEMPLATES, f"unknown chat template {name!r}{nearest(name, TEMPLATES)}")
    return ChatTemplate(TEMPLATES[name])


# --- from a chat to ids ---------------------------------------------------------------------------


def encode_chat(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message]
) -> EncodedChat:
    """The ids of a chat to learn from, and which of them the assistant says.

    An answer and the end of its turn are the assistant's; white space behind it the template's.

    Raises:
        UserError: the template does not render the chat, or rewrites what stood before a turn.
    """
    ids: list[int] = []
    is_answer: list[bool] = []
    for stretch, answers in _stretches(tokenizer, template, messages, to_answer=False):
        ids += stretch
        is_answer += [answers] * len(stretch)
    return EncodedChat(ids, is_answer)


def encode_prompt(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message]
) -> list[int]:
    """The ids of a chat to be answered: the same that `encode_chat` gives before that answer.

    Raises:
        UserError: as `encode_chat`.
    """
    stretches = _stretches(tokenizer, template, messages, to_answer=True)
    return [i for stretch, _ in stretches for i in stretch]


def end_of_turn(tokenizer: Tokenizer, template: ChatTemplate) -> list[int]:
    """The ids that end an assistant's turn: where a writing model is to stop.

    Raises:
        UserError: the template does not render, or does not end a turn.
    """
    chat = [Message("user", "a"), Message("assistant", "answer")]
    encoded = encode_chat(tokenizer, template, chat)
    answer = [i for i, learned in zip(*encoded, strict=True) if learned]
    for start in range(len(answer)):  # the shortest end that no longer holds what was said
        if tokenizer.decode(answer[: start + 1]).strip().endswith("answer"):
            ending = answer[start + 1 :]
            require(bool(ending), "the chat template ends no turn: write {{ eos_token }} behind it")
            return ending
    raise UserError("the chat template does not say what the assistant said: check its content")


def _stretches(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], *, to_answer: bool
) -> Iterator[tuple[list[int], bool]]:
    """The ids of a chat in stretches, each encoded by itself, and whether it is an answer."""
    names = {i: name for name, i in tokenizer.special_ids.items()}
    begin = next((name for name in BEGINNINGS if name in tokenizer.special_ids), "")
    render = partial(template.render, bos_token=begin, eos_token=names[tokenizer.eot_id])
    shield = _Shield(tokenizer, messages, template)
    shielded = [replace(one, content=shield.hide(one.content)) for one in messages]
    done = ""  # the text that has been given out
    for number, message in enumerate(shielded):
        if message.role != "assistant":
            continue
        asked = render(shielded[:number], add_generation_prompt=True)
        _must_begin(asked, done, number)
        answered = render(shielded[: number + 1])
        _must_begin(answered, asked, number + 1)
        end = len(asked) + _length_of_answer(answered[len(asked) :], message.content)
        yield shield.encode(asked[len(done) :]), False
        yield shield.encode(answered[len(asked) : end]), True
        done = answered[:end]
    whole = render(shielded, add_generation_prompt=to_answer)
    _must_begin(whole, done, len(shielded))
    yield shield.encode(whole[len(done) :]), False


def _must_begin(longer: str, shorter: str, number: int) -> None:
    if not longer.startswith(shorter):
        raise UserError(
            f"the chat template rewrites what stands before the end of turn {number}: what was "
            "said must stay as it is when more is said; use another template"
        )


def _length_of_answer(added: str, content: str) -> int:
    """How much of what a turn added is the assistant's: what was said, and the mark behind it."""
    content = content.strip()
    said = added.rfind(content)
    behind = said + len(content) if said >= 0 else 0
    # A mark ends the turn, and white space behind it is the template's; alone, it is the mark.
    return len(added.rstrip()) if added[behind:].strip() else len(added)


class _Shield:
    """What people type shall end no turn: special tokens in a content are hidden as letters."""

    def __init__(
        self, tokenizer: Tokenizer, messages: Sequence[Message], template: ChatTemplate
    ) -> None:
        self._tokenizer = tokenizer
        used = {*template.source, *(letter for one in messages for letter in one.content)}
        # The private use area: letters that nobody has a meaning for.
        free = (letter for letter in map(chr, range(0xE000, 0xF8FF)) if letter not in used)
        by_length = sorted(tokenizer.special_ids, key=len, reverse=True)
        spelled = [name for name in by_length if any(name in one.content for one in messages)]
        self._letters = dict(zip(spelled, free, strict=False))

    def hide(self, content: str) -> str:
        """A content in which no special token is spelled."""
        for name, letter in self._letters.items():
            content = content.replace(name, letter)
        return content

    def encode(self, text: str) -> list[int]:
        """The ids of a stretch, in which the template's special tokens are meant alone."""
        ids: list[int] = []
        for part in split_special(text, self._tokenizer.special_ids, "all"):
            ids += [part] if isinstance(part, int) else self._tokenizer.encode(self._reveal(part))
        return ids

    def _reveal(self, text: str) -> str:
        for name, letter in self._letters.items():
            text = text.replace(letter, name)
        return text
