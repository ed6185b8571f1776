"""Looking inside: the outputs of named modules during a forward pass, taken by hooks.

A model keeps no tensor for a picture. Where a picture will want to look stands a *tap point*, an
`nn.Identity` with a name: `blocks.0.attention.weights`, `blocks.0.hidden`. The hooks are gone when
the block ends, however it ends. Not here: the pictures (`viz/`). Chapter 03 uses this.
"""

import contextlib
import fnmatch
import re
from collections.abc import Callable, Generator

from torch import Tensor, nn

from llmcourse.errors import UserError, nearest


def is_watched(module: nn.Module) -> bool:
    """Whether somebody is looking at the module's output, so that it has to be computed."""
    return bool(module._forward_hooks)


@contextlib.contextmanager
def capture(model: nn.Module, pattern: str, *, detach: bool = True) -> Generator[dict[str, Tensor]]:
    """Collect the output tensors of all modules whose name matches, by name.

    ```python
    with capture(model, "blocks.*.attention.weights") as seen:
        model(ids)
    seen["blocks.0.attention.weights"]  # B H T S
    ```

    A module that runs twice leaves its last output; one that returns no tensor leaves nothing.

    Args:
        model: any module, not compiled.
        pattern: as for file names: `*` is any text, `?` any character, `[01]` one of these.
        detach: whether to cut the tensors off from the graph; False lets gradients through.

    Raises:
        UserError: the pattern matches no module, or the model is compiled.
    """
    if hasattr(model, "_orig_mod"):
        raise UserError("a compiled model cannot be looked into: capture model._orig_mod instead")
    modules = {name: module for name, module in model.named_modules() if name}
    chosen = [name for name in modules if fnmatch.fnmatchcase(name, pattern)]
    if not chosen:
        # Numbers of layers become `*`, so that the nearest name is a pattern that can be asked for.
        patterns = {re.sub(r"\.\d+(?=\.|$)", ".*", name) for name in modules}
        raise UserError(f"no module is named {pattern!r}{nearest(pattern, patterns)}")
    seen: dict[str, Tensor] = {}
    # The stack removes every hook when the block ends, also after an error or an interrupt.
    with contextlib.ExitStack() as hooks:
        for name in chosen:
            hook = modules[name].register_forward_hook(_keep(seen, name, detach))
            hooks.callback(hook.remove)
        yield seen


def _keep(seen: dict[str, Tensor], name: str, detach: bool) -> Callable[..., None]:
    """A hook that puts a module's output into `seen`."""

    def hook(module: nn.Module, arguments: tuple, output: object) -> None:
        if isinstance(output, Tensor):
            seen[name] = output.detach() if detach else output

    return hook
