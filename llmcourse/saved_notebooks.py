"""A Jupyter Server extension: a saved notebook keeps nothing that is dead without its kernel.

A widget lives in its kernel. In the saved file it would be an error message the next day, below the
words or the picture that stand in its place (`notebook.py`), so it is left out there; the open page
keeps it. A file in `jupyter-data/` enables it: an install puts that where Jupyter looks, and for an
editable one `make lab` points there. Only the course's own outputs are touched.
"""

from typing import Any

from llmcourse.notebook import LIVE


def leave_out_widgets(model: dict[str, Any], **_kwargs: Any) -> None:
    """Remove the outputs that are nothing without a kernel from a notebook about to be saved."""
    if model.get("type") != "notebook":
        return
    for cell in model["content"]["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if not _is_live(output)]


def _is_live(output: dict[str, Any]) -> bool:
    return output.get("metadata", {}).get("llmcourse") == LIVE["llmcourse"]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "llmcourse.saved_notebooks"}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(leave_out_widgets)
