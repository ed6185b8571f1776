"""Chat templates in files: the one that lies beside a model, or one that somebody names.

Not here: templates and what is made of them (`chat.py`). Chapter 13 teaches this.
"""

from pathlib import Path

from llmcourse.errors import UserError
from llmcourse.files import read_file
from llmcourse.plain import parse_json
from llmcourse.tokenizers.chat import ChatTemplate, find_template

TEMPLATE_FILE = "chat_template.jinja"
"""Where a run, and a directory in Hugging Face's format, keeps its chat template."""

CONFIG_FILE = "tokenizer_config.json"
"""Where such a directory kept it before, among other things."""


def load_template(name: str, folder: Path) -> ChatTemplate:
    """The template of a name or in a file; `auto` is the one beside the base, or `plain`.

    Raises:
        UserError: there is none, or it is no Jinja.
    """
    if name == "auto":
        if (folder / TEMPLATE_FILE).is_file():
            return read_template(folder / TEMPLATE_FILE)
        written = _in_config(folder / CONFIG_FILE)
        return ChatTemplate(written) if written else find_template("plain")
    if name.endswith(".jinja"):
        return read_template(Path(name))
    return find_template(name)


def read_template(path: Path) -> ChatTemplate:
    """The template in a file.

    Raises:
        UserError: there is none, or it is no Jinja.
    """
    try:
        return ChatTemplate(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UserError(f"cannot read the chat template {path}: {error}") from None


def _in_config(path: Path) -> str:
    """The template that a tokenizer's config holds; empty for none."""
    if not path.is_file():
        return ""
    try:
        found = parse_json(read_file(path)).get("chat_template")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    return found if isinstance(found, str) else ""
