"""Files as students write them, from the banks: honest ones, and copies in disguise."""

from __future__ import annotations

import ast

from autograder import editions
from autograder.instructor import bank, solved

EDITION = editions.load("mmia")


def written(*components: tuple[str, str]) -> dict[str, str]:
    """The solved files with these entries of the banks in them: (component, name of the alternative)."""
    files = solved.sources(EDITION)
    for component, name in components:
        (entry,) = (entry for entry in bank.alternatives(EDITION, component) if entry.name == name)
        files = bank.apply(entry, files)
    return {name: "".join(line for line in text.splitlines(True) if "### " not in line) for name, text in files.items()}


def honest(entry: int) -> dict[str, str]:
    """What a student writes without looking at others: of every component the bank's next way to write it."""
    bodies = []
    for component in ("attention", "layer_norm", "layer", "rope", "classifier", "lora"):
        texts = [
            change.text
            for each in bank.alternatives(EDITION, component)
            for change in each.changes
            if isinstance(change, bank.Body)
        ]
        bodies.append(f"def {component}(query, key, value, x, hidden):\n{_indented(texts[entry])}")
    return {"llama.py": "\n".join(bodies[:3]), "rope.py": "\n".join(bodies[3:])}


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip("\n").splitlines())


class Renamed(ast.NodeTransformer):
    """Other names for arguments and variables, and a file's definitions in the opposite order."""

    def visit_arg(self, node):
        node.arg = f"my_{node.arg}"
        return node

    def visit_Name(self, node):
        if node.id not in ("torch", "F", "nn", "math", "self"):
            node.id = f"my_{node.id}"
        return node

    def visit_Module(self, node):
        node.body = [self.visit(each) for each in reversed(node.body)]
        return node


def disguised(files: dict[str, str]) -> dict[str, str]:
    return {name: ast.unparse(Renamed().visit(ast.parse(text))) for name, text in files.items()}
