"""What the back ends of tokenizer.Tokenizer have in common; tokenizers.py opens the files."""

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llamalab.formats import FormatError
from llamalab.formats.checks import read_json

SPACE = "\u2581"  # how sentencepiece writes a space inside a piece
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")

MAX_FILE_BYTES = 128 << 20  # the largest published tokenizer.json has about 35 MB


class Kind:
    """Token types of sentencepiece and GGUF. UNUSED (5) pieces are treated as ordinary ones."""

    NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


# Names of control tokens, for files that do not say which one begins a text or name only one that ends it.
BEGIN_NAMES = ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>")
END_NAMES = (
    "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>",
    "<end_of_turn>",
)  # fmt: skip

# sentencepiece decodes a broken byte to one U+FFFD each, Python a broken character to one.
PER_BYTE = "llamalab-per-byte"
codecs.register_error(PER_BYTE, lambda error: ("\ufffd" * (error.end - error.start), error.end))


class Vocabulary:
    """What every back end offers.

    size             number of token ids
    bos_id, eos_id   ids that begin and end a text, unk_id that of unknown text; -1 where there is none
    eos_ids          every id that ends a reply
    pad_id           an id (never -1) to fill a batch with
    add_bos          whether the model was trained with BOS before a text
    control          text -> id of the control tokens; `encode` never yields them
    chat_template    Jinja source, or None
    utf8_errors      codec error handler for bytes that are not UTF-8
    strips_space     decoding drops the space that encoding put before the first word;
                     strips_all_spaces: and every other space before it
    """

    bos_id = eos_id = unk_id = -1
    pad_id = 0
    add_bos = False
    chat_template: str | None = None
    utf8_errors = "replace"
    strips_space = strips_all_spaces = False

    def __init__(self, path: Path, size: int):
        self.path, self.size = path, size
        self.control: dict[str, int] = {}
        self.eos_ids: set[int] = set()

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text, without BOS and EOS."""
        raise NotImplementedError

    def token(self, token_id: int) -> tuple[bytes, bool]:
        """Return a token's bytes, and whether they may be part of a character that other tokens complete."""
        raise NotImplementedError

    def set_eos_ids(self, declared: Iterable[int] = ()) -> None:
        """Collect eos_ids: eos_id, the declared ones and the control tokens whose name says so."""
        named = {self.control[name] for name in END_NAMES if name in self.control}
        self.eos_ids = {i for i in (self.eos_id, *declared) if 0 <= i < self.size} | named

    def set_ids(self, bos_id: int, eos_id: int, pad_id: int) -> None:
        """Set the ids a file declares, -1 for what it does not; then the names of the control tokens say so."""
        self.bos_id = bos_id if bos_id >= 0 else self.first_control(BEGIN_NAMES)
        self.eos_id = eos_id if eos_id >= 0 else self.first_control(END_NAMES)
        self.pad_id = pad_id if pad_id >= 0 else self.pad_id

    def first_control(self, names: Sequence[str]) -> int:
        """Return the id of the first name that is a control token, or -1."""
        return next((self.control[name] for name in names if name in self.control), -1)

    def fail(self, reason: str) -> FormatError:
        return FormatError(f"{self.path}: {reason}.")


def any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern with one group that matches any of the texts, the longest where several do."""
    longest_first = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")


def read_bytes(path: Path) -> bytes:
    """Return a whole file; raises FormatError when it is empty or far too large for a tokenizer."""
    size = path.stat().st_size
    if not 0 < size <= MAX_FILE_BYTES:
        raise FormatError(f"{path}: has {size} bytes; a tokenizer has between 1 and {MAX_FILE_BYTES}.")
    return path.read_bytes()


def settings(path: Path) -> dict[str, Any]:
    """Return the object in a configuration file, {} when there is no such file; raises FormatError."""
    return read_json(path) if path.is_file() else {}


def chat_template(directory: Path, config: Mapping[str, Any]) -> str | None:
    """Return a Hugging Face directory's chat template: chat_template.jinja, or out of its configuration."""
    if (directory / "chat_template.jinja").is_file():
        return read_bytes(directory / "chat_template.jinja").decode(errors="replace")
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name, as in [{"name": "default", "template": "..."}]
        named = [item for item in template if isinstance(item, dict) and item.get("name") == "default"]
        template = named[0].get("template") if named else None
    return template if isinstance(template, str) else None
