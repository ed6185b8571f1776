"""Build the course as a web site, from the committed outputs: `make site`.

    python tools/website.py            build/site, to be opened with a browser or put on a server

Nothing is executed and nothing is fetched. The sources are laid out as in the repository, README
first; notebooks lose the cells that only a notebook needs, and links to files that are no pages
lead to the repository. A warning of Sphinx, a link to nowhere, or anything that a page would load
from elsewhere ends the build.
"""

import html.parser
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, it would see its own folder alone

from llmcourse import syllabus  # noqa: E402
from llmcourse.viz.imports import source_files  # noqa: E402
from tools import exercises, navigation  # noqa: E402

SOURCE = Path("build") / "site-source"
SITE = Path("build") / "site"
NOTEBOOKS = ("chapters", "exercises", "solutions")
PAGES = ("linux", "macos", "windows", "cloud", "cluster", "serving", "reliability")
LINK = re.compile(r"(?<=\]\()(?P<file>[^)\s#:]*)(?:#(?P<anchor>[^)\s]*))?(?=\))")


# --- laying out the sources ----------------------------------------------------------------------


def lay_out(root: Path = ROOT) -> Path:
    """Write the sources of the site; returns their folder."""
    source = root / SOURCE
    shutil.rmtree(source, ignore_errors=True)
    (source / "docs").mkdir(parents=True)
    for name in ("_static", "badges"):
        shutil.copytree(root / "docs" / name, source / "docs" / name)
    for picture in [*(root / "docs").glob("*.png"), *(root / "docs").glob("*.gif")]:
        shutil.copy(picture, source / "docs")
    for page in (root / "docs").glob("*.md"):
        text = mend_links(page.read_text("utf-8"), page, root)
        (source / "docs" / page.name).write_text(text, "utf-8")
    for folder in NOTEBOOKS:
        (source / folder).mkdir()
        for path in sorted((root / folder).glob("[0-9]*.ipynb")):
            page = json.dumps(notebook_page(path, root), ensure_ascii=False, indent=1)
            (source / folder / path.name).write_text(page, "utf-8")
    (source / "reference").mkdir()
    for part, modules in parts().items():
        (source / "reference" / f"{part}.rst").write_text(reference_page(part, modules), "utf-8")
    readme = mend_links((root / "README.md").read_text("utf-8"), root / "README.md", root)
    (source / "index.md").write_text(readme + toctrees(root), "utf-8")
    contributing = root / "CONTRIBUTING.md"
    text = mend_links(contributing.read_text("utf-8"), contributing, root)
    (source / "CONTRIBUTING.md").write_text(text, "utf-8")
    return source


def notebook_page(path: Path, root: Path) -> dict[str, Any]:
    """A notebook as the site shows it."""
    notebook = json.loads(path.read_text("utf-8"))
    left_out = set(navigation.IDS) - {navigation.CONTENTS}
    cells = [cell for cell in notebook["cells"] if cell["id"] not in left_out]
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if path.parent.name == "solutions":  # it has the title of the exercises made from it
                text = re.sub(r"(?m)\A(# .*)exercises$", r"\1solutions", text)
            cell["source"] = mend_links(text, path, root)
            continue
        metadata = cell["metadata"]
        tags = metadata.setdefault("tags", [])
        for folded, tag in (("source_hidden", "hide-input"), ("outputs_hidden", "hide-output")):
            if metadata.get("jupyter", {}).get(folded) and tag not in tags:
                tags.append(tag)
        if alt := metadata.get("alt"):
            metadata["mystnb"] = {"image": {"alt": alt}}
        if path.parent.name == "solutions" and exercises.is_solved(cell):
            tags.append("hide-input")
            cell["source"] = exercises.without_markers(text)
    return {**notebook, "cells": cells}


def mend_links(text: str, page: Path, root: Path) -> str:
    """Markdown whose links fit the site: anchors as Sphinx names them, other files in the
    repository.

    Raises:
        SystemExit: a link leads to a file or a heading that is not there.
    """

    def mend(match: re.Match[str]) -> str:
        file, anchor = match["file"], match["anchor"]
        target = (page.parent / unquote(file)).resolve() if file else page
        if not target.exists():
            raise SystemExit(f"error: {page.name} links to {match[0]}, which is not there")
        if anchor:
            return f"{file}#{slug_of(unquote(anchor), target, page)}"
        inside = target.relative_to(root)
        if target.suffix in (".md", ".ipynb", ".png", ".gif", ".svg") and target.is_file():
            return "index.md" if inside.name == "README.md" else file
        return f"{navigation.repository()}/blob/{navigation.BRANCH}/{inside.as_posix()}"

    parts = re.split(r"(?ms)(^```.*?^```$|`[^`\n]*`)", text)  # code shows links, and has none
    parts[::2] = [LINK.sub(mend, part) for part in parts[::2]]
    return "".join(parts)


def slug_of(anchor: str, target: Path, page: Path) -> str:
    """The name that the site gives to a heading, from the name that JupyterLab or GitHub gives it.

    Raises:
        SystemExit: the page has no such heading.
    """
    for heading in headings(target):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        if anchor in (heading.replace(" ", "-"), slug):
            return slug
    raise SystemExit(
        f"error: {page.name} links to #{anchor}, and {target.name} has no such heading"
    )


def headings(path: Path) -> list[str]:
    """The headings of a notebook or a page of Markdown."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join(texts)
    text = re.sub(r"(?ms)^(```+).*?^\1", "", text)
    return [words.strip() for words in re.findall(r"(?m)^#+ (.*)$", text)]


def parts() -> dict[str, list[str]]:
    """The modules of each part of the package; what has no folder belongs to `llmcourse`."""
    found: dict[str, list[str]] = {}
    for module in sorted(source_files()):
        if module.endswith("__main__"):  # a command: `--help` is its page
            continue
        names = module.split(".")
        is_folder = len(names) > 1 and (ROOT / "llmcourse" / names[1]).is_dir()
        found.setdefault(names[1] if is_folder else "llmcourse", []).append(module)
    return found


def reference_page(part: str, modules: list[str]) -> str:
    """The page of one part: its modules, from their docstrings."""
    title = part if part == "llmcourse" else f"llmcourse.{part}"
    lines = [title, "=" * len(title), ""]
    for module in modules:
        if module != title:
            lines += [module, "-" * len(module), ""]
        lines += [f".. automodule:: {module}", ""]
    return "\n".join(lines)


def toctrees(root: Path) -> str:
    """The site's table of contents, which its sidebar shows."""
    present = syllabus.written(root / "chapters")
    groups = {
        "Start": [f"docs/{page}" for page in PAGES],
        "Chapters": [f"chapters/{chapter.stem}" for chapter in present],
        "Exercises": [f"exercises/{chapter.stem}" for chapter in present],
        "Worked solutions": [f"solutions/{chapter.stem}" for chapter in present],
        "Reference": ["docs/glossary", *(f"reference/{part}" for part in parts())],
        "Taking part": ["CONTRIBUTING"],
    }
    blocks = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
        for caption, pages in groups.items()
    ]
    return "\n\n" + "\n\n".join(blocks) + "\n"


# --- checking what was built ---------------------------------------------------------------------


@dataclass
class Page(html.parser.HTMLParser):
    """What a page of HTML links to, loads, and can be linked to."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's links and names."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("link", "use") and "href" in given and given.get("rel") != "canonical":
            self.loads.append(given["href"])
        if "src" in given:
            self.loads.append(given["src"])


def broken(site: Path) -> Iterator[str]:
    """What is wrong with the links of a built site, a line each."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path.resolve()] = page = Page()
        page.feed(path.read_text("utf-8"))
    for path, page in pages.items():
        shown = path.relative_to(site.resolve())
        for link in [*page.links, *page.loads]:
            if re.match(r"[a-z][a-z+.-]*:|//", link):
                if link in page.loads and not link.startswith("data:"):
                    yield f"{shown} loads {link} from elsewhere"
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
            if not target.exists():
                yield f"{shown} links to {link}, which is not there"
            elif anchor and target in pages and unquote(anchor) not in pages[target].ids:
                yield f"{shown} links to {link}, and there is no such place"


def main(root: Path = ROOT) -> int:
    """The command; returns the exit status."""
    source = lay_out(root)
    site = root / SITE
    shutil.rmtree(site, ignore_errors=True)
    line = [sys.executable, "-m", "sphinx", "-b", "html", "-c", str(root / "docs")]
    line += ["--fail-on-warning", "--keep-going", "--quiet", str(source), str(site)]
    built = subprocess.run(line, check=False, cwd=root).returncode
    if built:
        return built
    wrong = list(broken(site))
    print("\n".join(wrong) if wrong else f"built: open {SITE.as_posix()}/index.html in a browser")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
