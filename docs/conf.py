"""Sphinx's settings for the site. `tools/website.py` lays out the sources and runs the build."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = "llmcourse"
copyright = "the llmcourse authors. Code: MIT. Text and figures: CC BY 4.0"
SAME_FORMULA = {
    r"\\dots(?![A-Za-z])": r"\\ldots",
    r"\\[bB]ig(?![A-Za-z])": "",  # brackets grow by themselves
    r"\\(t?frac)(\d)(\d)": r"\\\1{\2}{\3}",
}
"""What docutils' converter does not read, and how it reads the same."""
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

nb_execution_mode = "off"  # what is committed is what was tested
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = True

html_theme = "furo"
html_title = "llmcourse"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_math_renderer = "mathml"
templates_path = []
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

default_role = "literal"  # `backticks` in a docstring are code
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_use_rtype = False
napoleon_use_ivar = True  # a named tuple's fields are described once
add_module_names = False


def mathml(formula, *, as_block=False):
    """A formula of TeX in MathML, which browsers set without a script or a network."""
    for unknown, known in SAME_FORMULA.items():
        formula = re.sub(unknown, known, formula)
    return tex2mathml(formula, as_block=as_block)


def inline_math(translator, node):
    """Write a formula within a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def display_math(translator, node):
    """Write a formula that stands on lines of its own."""
    translator.body.append(f'<div class="math">{mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def docstring_to_rst(app, what, name, obj, options, lines):
    """Turn a docstring's plain Markdown into Sphinx's markup, line by line and in place.

    Indented blocks become literal ones; stars, bars and underscores outside of code stay what they
    are. The sections that napoleon knows (Args, Raises, ...) keep their indented entries.
    """
    done, literal, section, fenced = [], False, False, False
    for number, line in enumerate(lines):
        blank_before = number == 0 or not lines[number - 1].strip()
        if line.startswith("```"):
            fenced = not fenced
            done += ["", "::", ""] if fenced else [""]
            continue
        if fenced:
            done.append(f"    {line}")
            continue
        if line.strip() and not line.startswith(" "):
            literal = False
            section = bool(re.fullmatch(r"(Args|Attributes|Raises|Returns|Yields|Note):", line))
        elif line.startswith("    ") and blank_before and not section and not literal:
            done += ["::", ""]
            literal = True
        done.append(line if literal else _escaped(line))
    lines[:] = done


def _escaped(line):
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = [re.sub(r"([*|\\])|(?<=\w)_(?=\W|$)", r"\\\g<0>", part) for part in parts[::2]]
    parts[1::2] = [f"`{part}`" for part in parts[1::2]]
    return "".join(parts)


def skip_member(app, what, name, obj, skip, options):
    """Leave out a named tuple's fields: Python describes them as `Alias for field number 0`."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    """Register the formulas and the docstrings."""
    app.connect("autodoc-skip-member", skip_member)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.connect("autodoc-process-docstring", docstring_to_rst, priority=100)
