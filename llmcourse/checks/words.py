"""What a learner can be told of a piece of a right answer, who has not seen it. No chapter teaches
this.
"""

import ast


class Words:
    """What a learner can be told of a node: which of the parameters it is made from.

    Attributes:
        parameters: their names, with how they are annotated.
        origins: of each variable, the parameters that go into it.
        places: the parameters that say where to look: they are no amounts.
    """

    def __init__(self, tree: ast.Module) -> None:
        function = next((f for f in tree.body if isinstance(f, ast.FunctionDef)), None)
        arguments = [*function.args.args, *function.args.kwonlyargs] if function else []
        self.parameters = {
            a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in arguments
        }
        self.origins = {name: {name} for name in self.parameters}
        slices = [n.slice for n in ast.walk(tree) if isinstance(n, ast.Subscript)]
        named = {n.id for part in slices for n in ast.walk(part) if isinstance(n, ast.Name)}
        self.places = {name for name in named if self.parameters.get(name) == "int"}
        for _ in range(3):  # what is made from what is made from a parameter
            for node in ast.walk(tree):
                self._follow(node)

    def _follow(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target, value):
                targets = [target]
            case ast.For(target=target, iter=value) | ast.comprehension(target, value):
                targets = [target]
            case _:
                return
        made_from = self.made_from(value)
        for name in (name for target in targets for name in _assigned(target)):
            if name not in self.parameters:
                self.origins.setdefault(name, set()).update(made_from)

    def made_from(self, node: ast.AST) -> set[str]:
        """The parameters that go into a node."""
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        return set().union(*(self.origins.get(name, ()) for name in names))

    def of(self, node: ast.AST) -> str:
        """The node in words."""
        if isinstance(node, ast.Constant):
            return repr(node.value)
        if isinstance(node, ast.Name) and node.id in self.parameters:
            return f"`{node.id}`"
        made_from = sorted(self.made_from(node))
        if 0 < len(made_from) < 3:
            return "what comes from " + " and ".join(f"`{name}`" for name in made_from)
        return "a term"


def _assigned(target: ast.AST) -> list[str]:
    """The variables that get something: of `x[i, j]`, it is `x` alone."""
    match target:
        case ast.Name(name):
            return [name]
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [name for part in parts for name in _assigned(part)]
        case ast.Subscript(value=inside) | ast.Attribute(value=inside) | ast.Starred(value=inside):
            return _assigned(inside)
    return []
