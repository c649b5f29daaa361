"""Chat templates: Jinja programs out of a checkpoint, which turn a list of messages into one text.

A template comes from a stranger, like the weights beside it. It runs in jinja2's sandbox, which keeps it
from Python's internals, and within a budget of work, which keeps it from filling the memory or never ending:
loops, calls, filters and everything that makes a text pay for the items and characters they touch.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from llamalab.errors import UserError
from llamalab.vocab.vocabulary import any_of

MAX_TEMPLATE = 100_000  # characters; the longest published ones have about 20,000
MAX_CHAT = 1_000_000  # characters of the rendered chat, more than any model's window
WORK = 10_000_000  # characters a rendering may touch, seconds at the very most; items and calls cost more
WORK_PER_ITEM = 10
WORK_PER_CALL = 50

# Filters that look at items, and those that write text, so that they pay for all that is inside a value.
ITEM_FILTERS = (
    "abs", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last", "length",
    "list", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select", "selectattr", "sort",
    "sum", "unique",
)  # fmt: skip
TEXT_FILTERS = (
    "capitalize", "e", "escape", "join", "lower", "replace", "safe", "string", "title", "trim", "upper"
)  # fmt: skip
# Methods of str that can make much out of little. A chat template needs no padding.
UNSAFE_METHODS = {
    "center", "encode", "expandtabs", "format", "format_map", "ljust", "maketrans", "rjust", "translate",
    "zfill",
}  # fmt: skip


class ChatTemplateError(UserError, ValueError):
    """A chat template that cannot be used, or refuses the messages; the message is one sentence."""


class ChatTemplate:
    """A compiled template, set up as transformers does: no newline after a block, no spaces before one."""

    def __init__(self, source: str, name: str):
        """name: the file the template is from, for errors. Raises ChatTemplateError."""
        self.name = name
        if len(source) > MAX_TEMPLATE:
            raise self._error(f"has {len(source)} characters, more than {MAX_TEMPLATE}")
        self._sandbox = _Sandbox()
        try:
            tree = _Metering(self._sandbox).visit(self._sandbox.parse(source))
            self._template = self._sandbox.from_string(tree)
        except TemplateSyntaxError as error:
            raise self._error(f"is not valid Jinja in line {error.lineno}: {error.message}") from error
        except Exception as error:  # jinja2 and Python's compiler give up on nesting in several ways
            raise self._error(f"cannot be compiled: {error}") from error

    def render(self, messages: list[dict[str, Any]], **variables: Any) -> str:
        """Return the text of a chat.

        messages: [{"role": "user", "content": "Hi"}, ...]. variables: add_generation_prompt, bos_token, ....

        Raises ChatTemplateError when the template fails, refuses the messages or exceeds its budget.
        """
        self._sandbox.work_left = WORK
        parts, size = [], 0
        try:
            for part in self._template.generate(messages=messages, **variables):
                parts.append(part)
                size += len(part)
                if size > MAX_CHAT:
                    raise SecurityError(f"the chat has more than {MAX_CHAT} characters")
        except _Refused as error:
            raise self._error(f"refuses these messages: {error}") from error
        except SecurityError as error:
            raise self._error(f"was stopped: {error}") from error
        except Exception as error:  # it is a program, and can fail like any other
            raise self._error(f"fails with {type(error).__name__}: {error}") from error
        return "".join(parts)

    def _error(self, reason: str) -> ChatTemplateError:
        sentence = " ".join(reason.split()).rstrip(".")
        return ChatTemplateError(f"{self.name}: the chat template {sentence[:500]}.")


class Disguise:
    """Hides the names of control tokens in a user's messages while a template makes one text of them.

    The first character of a name changes into one that occurs nowhere else: "<|im_end|>" loses its "<" but
    not its place and length. It changes back once the names that the template itself wrote have been found.
    """

    def __init__(self, control: Iterable[str], avoid: str):
        """control: the names to hide. avoid: a text whose characters cannot stand in for others."""
        names = list(filter(None, control))
        used = set(avoid).union(*names)
        self._starts = re.compile(f"(?={any_of(names).pattern}).", re.DOTALL)
        unused = (character for character in map(chr, range(0xE000, 0x110000)) if character not in used)
        self._masks = {first: next(unused) for first in {name[0] for name in names}}
        self._faces = str.maketrans({mask: first for first, mask in self._masks.items()})

    def put_on(self, value: Any) -> Any:
        """Return a copy of messages, or of anything JSON can hold, without the names."""
        if isinstance(value, str):
            return self._starts.sub(lambda match: self._masks[match[0]], value)
        if isinstance(value, Mapping):
            return {self.put_on(key): self.put_on(item) for key, item in value.items()}
        return [self.put_on(item) for item in value] if isinstance(value, list | tuple) else value

    def take_off(self, text: str) -> str:
        """Return a text with the hidden names restored."""
        return text.translate(self._faces)


class _Refused(TemplateError):
    """The template called raise_exception."""


class _Metering(NodeTransformer):
    """Makes the parts of a template that the sandbox does not see pay: loops, slices and `~`."""

    def __init__(self, sandbox: "_Sandbox"):
        self.sandbox = sandbox

    def charged(self, node: nodes.Expr, how: str, *arguments: int) -> nodes.Filter:
        constants = [nodes.Const(argument, lineno=node.lineno) for argument in arguments]
        charged = nodes.Filter(node, how, constants, [], None, None, lineno=node.lineno)
        return charged.set_environment(self.sandbox)

    def visit_For(self, node: nodes.For) -> nodes.For:
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.iter = self.charged(node.iter, "charge_loop", WORK_PER_ITEM + text)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)
        return self.charged(node, "charge_items") if isinstance(node.arg, nodes.Slice) else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Concat:
        self.generic_visit(node)
        node.nodes = [self.charged(item, "charge_text") for item in node.nodes]
        return node


class _Sandbox(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, less what can make much out of little, and with a budget for the rest."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, _GenerationTag],
            finalize=self.charge_text,
        )
        self.work_left = WORK
        self.globals = {
            "range": self.globals["range"],
            "dict": lambda *args, **kwargs: dict(*args, **kwargs),
            "namespace": _Namespace,
            "raise_exception": _raise_exception,
            "strftime_now": lambda layout: datetime.now().strftime(layout),
        }
        filters = {name: self.metered(self.filters[name], self.charge_items) for name in ITEM_FILTERS}
        filters |= {name: self.metered(self.filters[name], self.charge_text) for name in TEXT_FILTERS}
        filters["tojson"] = self.metered(_tojson, self.charge_text)
        self.filters = filters | {
            "charge_loop": self.charge_loop,
            "charge_items": self.charge_items,
            "charge_text": self.charge_text,
        }

    def spend(self, work: int) -> None:
        self.work_left -= work
        if self.work_left < 0:
            raise SecurityError("it does more work than any chat takes")

    def charge_items(self, value: Any, each: int = 1) -> Any:
        """Pay for the items or characters of a value and return it."""
        if hasattr(value, "__len__"):
            self.spend(len(value) * each)
        return value

    def charge_loop(self, value: Any, each: int) -> Any:
        """Pay for a loop over a value and return the value, a generator as the list of its items."""
        return self.charge_items(value if hasattr(value, "__len__") else list(value), each)

    def charge_text(self, value: Any) -> Any:
        """Pay for writing a value as text and return it: for all there is in a container, at every level."""
        if isinstance(value, str):
            self.spend(len(value))
        elif isinstance(value, Mapping):
            self.spend(len(value) * WORK_PER_ITEM)
            for key, item in value.items():
                self.charge_text(key)
                self.charge_text(item)
        elif isinstance(value, list | tuple | set):
            self.spend(len(value) * WORK_PER_ITEM)
            for item in value:
                self.charge_text(item)
        elif not isinstance(value, int | float | Undefined | None):
            raise SecurityError(f"it writes a {type(value).__name__}, which is no text")
        return value

    def charge_product(self, name: str, arguments: list[Any]) -> None:
        """Pay for `replace` and `join`, whose result can have the product of their arguments' lengths."""
        match name, arguments:
            case "replace", [str(text), str(old), str(new), *_]:
                self.spend(text.count(old) * len(new))
            case "join", [list() | str() as items, str(separator), *_]:
                self.spend(len(items) * len(separator))

    def metered(self, function: Callable[..., Any], charge: Callable[[Any], Any]) -> Callable[..., Any]:
        """Return a filter that pays for its arguments and for its result."""
        first = 1 if hasattr(function, "jinja_pass_arg") else 0  # 0 unless jinja2 passes its context before

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            values = args[first:] if charge == self.charge_items else [*map(_listed, args[first:])]
            for value in (*values, *kwargs.values()):
                charge(value)
            self.charge_product(function.__name__.removeprefix("do_"), [*values, *kwargs.values()])
            return self.charge_items(function(*args[:first], *values, **kwargs))

        return run

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, method or global, and pay for what it works on and gives."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = tuple(map(_listed, args))
            values = [*args, owner] if function.__name__ == "join" else [owner, *args]
            for value in values:
                self.charge_text(value)
            self.charge_product(function.__name__, values)
        self.spend(WORK_PER_CALL)
        return self.charge_items(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if hasattr(side, "__len__") else None for side in (left, right)]
        if operator == "%" and sizes[0] is not None:
            raise SecurityError("formatting by % can make any length of text")
        if operator == "**" or (operator == "*" and sizes == [None, None]):
            numbers = [abs(side).bit_length() for side in (left, right) if isinstance(side, int)]
            self.spend(numbers[0] * abs(right) if operator == "**" and len(numbers) == 2 else sum(numbers))
        elif operator == "*":
            size, times = (sizes[0], right) if sizes[0] is not None else (sizes[1], left)
            self.spend(size * max(times, 0) if isinstance(times, int) else 0)
        else:
            self.spend(sum(size or 0 for size in sizes))
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, int | float | bytes) or (isinstance(obj, str) and attr in UNSAFE_METHODS):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Leave str.format to is_safe_attribute, which refuses it."""


class _Namespace(Namespace):
    """jinja2's namespace without names that Python itself would look up."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in dict(*args, **kwargs):
            _check_name(name)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


class _GenerationTag(Extension):
    """{% generation %} ... {% endgeneration %} marks the replies, for training; here it changes nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _check_name(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace cannot hold the name {name!r}")


def _listed(value: Any) -> Any:
    """Return the items of a generator as a list, anything else as it is."""
    return list(value) if hasattr(value, "__next__") else value


def _raise_exception(message: str) -> NoReturn:
    raise _Refused(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON without jinja2's escapes for HTML."""
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= 16):
        raise SecurityError(f"{indent!r} is no indentation")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
