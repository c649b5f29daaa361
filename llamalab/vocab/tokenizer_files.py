"""Which tokenizer file belongs to a checkpoint, and how it travels with one."""

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from llamalab.formats.checkpoint import FormatError
from llamalab.formats.checks import read_json
from llamalab.formats.gguf_file import is_gguf, save_tokenizer
from llamalab.formats.gguf_header import read_metadata

# In a checkpoint directory, the first of these that exists is the tokenizer.
DIRECTORY_NAMES = ("tokenizer.json", "tokenizer.model", "tokenizer.gguf", "tokenizer.bin")
# What may stand beside a tokenizer and says how to use it (special tokens, chat template, end of text).
COMPANIONS = (
    "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
MAX_TOKENIZER_BYTES = 1 << 26


def find_in(directory: Path) -> Path | None:
    """Return the tokenizer file of a checkpoint directory, or None."""
    return next((directory / name for name in DIRECTORY_NAMES if (directory / name).is_file()), None)


def find_beside(path: Path, vocab_size: int) -> Path | None:
    """Return the one tokenizer beside a llama2.c checkpoint that has `vocab_size` tokens, else None.

    Looks at tok*.model and tok*.bin; of tokenizer.model and tokenizer.bin, which llama2.c makes from each
    other, only the .model counts.
    """
    models = {file.stem: file for file in path.parent.glob("tok*.model") if file != path}
    binaries = {file.stem: file for file in path.parent.glob("tok*.bin") if file != path}
    fitting = {stem: file for stem, file in binaries.items() if count_llama2c_tokens(file) == vocab_size}
    fitting |= {stem: file for stem, file in models.items() if count_pieces(file) == vocab_size}
    return fitting.popitem()[1] if len(fitting) == 1 else None


def llama2c_tokens(data: bytes) -> Iterator[tuple[float, bytes]]:
    """Yield score and bytes of each token of a llama2.c tokenizer.bin; raises ValueError where the file lies.

    Layout: longest token length i32, then per token: score f32, length i32, bytes.
    """
    position, count = 4, 0
    while position < len(data):
        if position + 8 > len(data):
            raise ValueError(f"the file ends inside token {count}")
        score, length = struct.unpack_from("<fi", data, position)
        start, position = position + 8, position + 8 + length
        if length < 0 or position > len(data):
            raise ValueError(f"token {count} claims {length} bytes, more than the file holds")
        yield score, data[start:position]
        count += 1


def count_llama2c_tokens(path: Path) -> int | None:
    """Return how many tokens a llama2.c tokenizer.bin holds, or None when the file is not one."""
    try:
        return sum(1 for _ in llama2c_tokens(_small_file(path)))
    except ValueError:
        return None


def count_pieces(path: Path) -> int | None:
    """Return how many pieces a sentencepiece model holds, or None when the file is not one."""
    import sentencepiece  # only where such a file lies beside a checkpoint

    data = _small_file(path)
    if not data:
        return None
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=data).vocab_size()
    except RuntimeError:
        return None


def has_chat_template(tokenizer: Path | None) -> bool:
    """Return whether a chat template comes with the tokenizer: in a GGUF file, or in a file beside it."""
    if tokenizer is None:
        return False
    if is_gguf(tokenizer):
        return "tokenizer.chat_template" in read_metadata(tokenizer)
    if (tokenizer.parent / "chat_template.jinja").is_file():
        return True
    settings = tokenizer.parent / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings).get("chat_template"))


def copy_tokenizer(tokenizer: Path | None, directory: Path) -> str | None:
    """Put a checkpoint's tokenizer into a directory under its usual name; returns that name.

    Of a GGUF file only the tokenizer's keys are copied, into tokenizer.gguf.
    """
    if tokenizer is None:
        return None
    if is_gguf(tokenizer):
        save_tokenizer(tokenizer, directory / "tokenizer.gguf")
        return "tokenizer.gguf"
    name = "tokenizer" + tokenizer.suffix
    if name not in DIRECTORY_NAMES:
        raise FormatError(f"{tokenizer}: a tokenizer is expected to end in .json, .model, .bin or .gguf.")
    shutil.copyfile(tokenizer, directory / name)
    for companion in COMPANIONS:
        if (tokenizer.parent / companion).is_file():
            shutil.copyfile(tokenizer.parent / companion, directory / companion)
    return name


def token_ids(tokenizer: Path | None) -> dict[str, int | None]:
    """Return the ids of the begin and end tokens as far as a GGUF vocabulary or a file beside says so."""
    ids: dict[str, int | None] = {"bos_token_id": None, "eos_token_id": None}
    if is_gguf(tokenizer):
        found = read_metadata(tokenizer)
        return {name: found.get(f"tokenizer.ggml.{name}") for name in ids}
    settings = tokenizer.parent / "generation_config.json" if tokenizer else None
    if settings and settings.is_file():
        found = read_json(settings)
        return {name: found.get(name) for name in ids}
    return ids


def _small_file(path: Path) -> bytes:
    """Return the bytes of a file of a tokenizer's size, and none of anything larger or unreadable."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_TOKENIZER_BYTES else b""
    except OSError:
        return b""


def write_json(path: Path, value: dict) -> None:
    """Write an object as indented JSON with a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
