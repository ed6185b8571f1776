"""Which template `auto` is, and what is said of a file that holds none."""

import json

import pytest

from llmcourse.errors import UserError
from llmcourse.tokenizers.chat import find_template
from llmcourse.tokenizers.template_files import load_template


def test_auto_is_the_template_beside_the_model_or_in_its_config_or_plain(tmp_path):
    assert load_template("auto", tmp_path).source == find_template("plain").source
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "{{ messages[0].content }}!"}))
    assert load_template("auto", tmp_path).source == "{{ messages[0].content }}!"
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}?")
    assert load_template("auto", tmp_path).source == "{{ messages[0].content }}?"
    assert load_template("chatml", tmp_path).source == find_template("chatml").source
    config.write_text("{}")
    (tmp_path / "chat_template.jinja").unlink()
    assert load_template("auto", tmp_path).source == find_template("plain").source


def test_a_file_may_be_named(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages[0].content }}")
    assert load_template(str(path), tmp_path).source == path.read_text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jinja", None, "cannot read the chat template"),
        ("odd.jinja", "{% for %}", "cannot be read"),
        ("nonsense", None, "unknown chat template 'nonsense'"),
        ("tokenizer_config.json", "no JSON", "cannot read"),
        ("tokenizer_config.json", "[1]", "cannot read"),
    ],
)
def test_what_is_no_template_is_refused_in_a_line(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    asked = str(path) if name.endswith(".jinja") else "auto" if name.endswith(".json") else name
    with pytest.raises(UserError, match=said) as error:
        load_template(asked, tmp_path)
    assert "\n" not in str(error.value)
