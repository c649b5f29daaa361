"""Vocabularies out of files: the back ends behind tokenizer.Tokenizer.

    sentencepiece .model             PieceVocabulary, by the sentencepiece library
    llama2.c tokenizer.bin           PieceVocabulary
    GGUF, tokenizer model "llama"    PieceVocabulary
    GGUF, tokenizer model "gpt2"     LibraryVocabulary, by the tokenizers library
    tokenizer.json                   LibraryVocabulary

A back end encodes plain text and says which bytes a token stands for. BOS and EOS, control tokens in a text,
chats and UTF-8 belong to tokenizer.Tokenizer. Each library is imported by the back end that needs it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from llamalab.formats import FormatError
from llamalab.vocab.pieces import read_llama2c, read_sentencepiece, scored_pieces
from llamalab.vocab.tokenizer_files import DIRECTORY_NAMES, find_in
from llamalab.vocab.vocabulary import BYTE_PIECE, PER_BYTE, SPACE, Kind, Vocabulary, chat_template, read_bytes, settings

MAX_TOKENS = 10_000_000  # the largest published vocabularies have some 260,000

# How a byte-level vocabulary first cuts a text into words, by the name a GGUF file gives to it:
# (expression or None for the GPT-2 one built into the library, digits one by one, Unicode normal form C).
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_WORDS = LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")
PRE_TOKENIZERS: dict[str, tuple[str | None, bool, bool]] = {
    "default": (None, False, False),
    "gpt-2": (None, False, False),
    "smollm": (None, True, False),
    "llama-bpe": (LLAMA3_WORDS, False, False),
    "qwen2": (QWEN2_WORDS, False, True),
}


def open_vocabulary(path: str | Path) -> Vocabulary:
    """Open a sentencepiece .model, llama2.c .bin, tokenizer.json, .gguf, or a directory that holds one.

    Raises FileNotFoundError when there is none and FormatError when it cannot be used.
    """
    path = find_vocabulary(Path(path))
    with path.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    if is_gguf:
        return read_gguf(path)
    readers = {".model": read_sentencepiece, ".bin": read_llama2c, ".json": read_tokenizer_json}
    if path.suffix not in readers:
        raise FormatError(f"{path}: not a tokenizer (expected a .model, .bin, .json or .gguf file).")
    return readers[path.suffix](path)


def find_vocabulary(path: Path) -> Path:
    """Return the vocabulary file that `path` is or holds; raises FileNotFoundError or FormatError."""
    if path.is_dir():
        if named := find_in(path):
            return named
        found = sorted(path.glob("*.gguf"))
        if not found:
            raise FileNotFoundError(f"{path}: the directory holds no {', '.join(DIRECTORY_NAMES)} or .gguf file.")
        if len(found) > 1:
            raise FormatError(f"{path}: the directory holds {len(found)} .gguf files; name one of them.")
        return found[0]
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such tokenizer file.")
    if not path.is_file():
        raise FormatError(f"{path}: not a regular file.")
    return path


class LibraryVocabulary(Vocabulary):
    """Byte-pair encoding by the tokenizers library: byte-level (as GPT-2) or over sentencepiece's pieces."""

    def __init__(self, path: Path, library: Any, size: int):
        """library: a tokenizers.Tokenizer. size: the largest id in it and one."""
        super().__init__(path, size)
        library.encode_special_tokens = True  # their characters in a text stay characters
        library.no_padding()
        library.no_truncation()
        added = library.get_added_tokens_decoder()
        self.engine = library
        self.control = {token.content: i for i, token in added.items() if token.special}
        self.added = {i: b"" if token.special else token.content.encode() for i, token in added.items()}
        decoder = library.decoder.__getstate__() if library.decoder else b""
        self.byte_level = b"ByteLevel" in decoder
        if type(library.model).__name__ != "BPE" or not (self.byte_level or b"ByteFallback" in decoder):
            raise self.fail("neither a byte-level BPE nor a sentencepiece-like BPE with byte tokens")
        if not self.byte_level:
            self.utf8_errors = PER_BYTE
            space = library.token_to_id(SPACE)
            self.strips_space = space is not None and library.decode([space]) == ""

    def encode(self, text: str) -> list[int]:
        return self.engine.encode(text, add_special_tokens=False).ids

    def token(self, token_id: int) -> tuple[bytes, bool]:
        if token_id in self.added:
            return self.added[token_id], self.byte_level
        piece = self.engine.id_to_token(token_id) or ""
        if self.byte_level:
            try:
                return bytes(map(byte_alphabet().__getitem__, piece)), True
            except KeyError:  # no spelling of bytes, as some files have for their unused tokens
                return piece.encode(), True
        match = BYTE_PIECE.fullmatch(piece)
        return (bytes([int(match[1], 16)]), True) if match else (piece.replace(SPACE, " ").encode(), False)

    def set_ids(self, bos_id: int, eos_id: int, pad_id: int) -> None:
        """Set the ids a file declares, -1 for what it does not.

        Without BOS the token that ends a document separates it from the next, as in GPT-2: it serves as BOS.
        """
        super().set_ids(bos_id, eos_id, pad_id)
        self.bos_id = self.bos_id if self.bos_id >= 0 else self.eos_id
        self.pad_id = pad_id if pad_id >= 0 else max(self.eos_id, 0)


@cache
def byte_alphabet() -> dict[str, int]:
    """The characters that spell bytes in a byte-level vocabulary: themselves if visible, else from U+0100."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted(set(range(256)) - set(visible))
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


def read_tokenizer_json(path: Path) -> Vocabulary:
    """Read a tokenizer.json of Hugging Face, and what the configuration files beside it say of its tokens."""
    import tokenizers

    data = read_bytes(path)
    try:
        library = tokenizers.Tokenizer.from_str(data.decode())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Exception itself, or the library's own "panic"
        raise FormatError(f"{path}: not a tokenizer.json ({error}).") from error
    if library.normalizer and b"Precompiled" in library.normalizer.__getstate__():
        raise FormatError(f"{path}: has a precompiled normalizer, which BPE vocabularies do not use.")
    size = max(library.get_vocab().values(), default=-1) + 1
    if not 0 < size <= MAX_TOKENS:
        raise FormatError(f"{path}: has ids for {size} tokens; a tokenizer has between 1 and {MAX_TOKENS}.")
    vocabulary = LibraryVocabulary(path, library, size)
    config = settings(path.parent / "tokenizer_config.json")

    def named(key: str) -> int:
        token = config.get(key)
        token = token.get("content") if isinstance(token, dict) else token
        found = library.token_to_id(token) if isinstance(token, str) else None
        return -1 if found is None else found

    vocabulary.set_ids(named("bos_token"), named("eos_token"), named("pad_token"))
    ends = settings(path.parent / "generation_config.json").get("eos_token_id", [])
    vocabulary.set_eos_ids(i for i in (ends if isinstance(ends, list) else [ends]) if isinstance(i, int))
    vocabulary.add_bos = library.encode("").ids[:1] == [vocabulary.bos_id]
    vocabulary.chat_template = chat_template(path.parent, config)
    return vocabulary


def read_gguf(path: Path) -> Vocabulary:
    """Read the vocabulary out of a GGUF file's metadata."""
    from llamalab.formats.gguf_header import read_metadata

    metadata = read_metadata(path)
    if not gguf_strings(path, metadata, "tokens"):
        raise FormatError(f"{path}: the GGUF file holds no vocabulary.")
    readers = {"llama": scored_from_gguf, "gpt2": byte_level_from_gguf}
    model = str(metadata.get("tokenizer.ggml.model"))
    if model not in readers:
        raise FormatError(f"{path}: the tokenizer model {model!r} is not supported (only {' and '.join(readers)}).")
    vocabulary = readers[model](path, metadata)
    vocabulary.set_eos_ids(gguf_id(path, metadata, name) for name in ("eot", "eom"))
    template = metadata.get("tokenizer.chat_template")
    vocabulary.chat_template = template if isinstance(template, str) else None
    return vocabulary


def gguf_strings(path: Path, metadata: Mapping[str, Any], name: str) -> list[str]:
    """Return tokenizer.ggml.<name>, [] when the file has none."""
    strings = metadata.get(f"tokenizer.ggml.{name}", [])
    if not isinstance(strings, list) or not all(isinstance(item, str) for item in strings):
        raise FormatError(f"{path}: tokenizer.ggml.{name} is not an array of strings.")
    return strings


def gguf_numbers(path: Path, metadata: Mapping[str, Any], name: str, default: float) -> list[Any]:
    """Return tokenizer.ggml.<name> as a list with one number a token."""
    size = len(metadata["tokenizer.ggml.tokens"])
    numbers = metadata.get(f"tokenizer.ggml.{name}")
    if numbers is None:
        return size * [default]
    if not hasattr(numbers, "tolist") or len(numbers) != size:
        raise FormatError(f"{path}: tokenizer.ggml.{name} does not hold a number for each of {size} tokens.")
    return numbers.tolist()


def gguf_id(path: Path, metadata: Mapping[str, Any], name: str) -> int:
    """Return tokenizer.ggml.<name>_token_id, or -1 when the file has none."""
    token_id = metadata.get(f"tokenizer.ggml.{name}_token_id", -1)
    size = len(metadata["tokenizer.ggml.tokens"])
    if not isinstance(token_id, int) or not -1 <= token_id < size:
        raise FormatError(f"{path}: the {name} token {token_id!r} is not one of the {size} tokens.")
    return token_id


def scored_from_gguf(path: Path, metadata: Mapping[str, Any]) -> Vocabulary:
    """A vocabulary taken over from sentencepiece: pieces, scores and types."""
    scores = gguf_numbers(path, metadata, "scores", 0.0)
    types = gguf_numbers(path, metadata, "token_type", Kind.NORMAL)
    prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
    vocabulary = scored_pieces(path, metadata["tokenizer.ggml.tokens"], scores, types, prefix)
    vocabulary.set_ids(*(gguf_id(path, metadata, name) for name in ("bos", "eos", "padding")))
    vocabulary.add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", True)) and vocabulary.bos_id >= 0
    return vocabulary


def byte_level_from_gguf(path: Path, metadata: Mapping[str, Any]) -> Vocabulary:
    """A vocabulary of byte-level BPE: tokens in GPT-2's alphabet, merges in their order, types."""
    import tokenizers
    from tokenizers import decoders, models

    tokens = metadata["tokenizer.ggml.tokens"]
    ids = {token: i for i, token in enumerate(tokens)}
    if len(ids) < len(tokens):
        raise FormatError(f"{path}: {len(tokens) - len(ids)} tokens of the vocabulary appear twice.")
    merges = [tuple(merge.split(" ")) for merge in gguf_strings(path, metadata, "merges")]
    fits = (len(pair) == 2 and pair[0] in ids and pair[1] in ids and "".join(pair) in ids for pair in merges)
    if not all(fits):
        raise FormatError(f"{path}: a merge is not two tokens, with a space between them, that make a third.")
    pre = str(metadata.get("tokenizer.ggml.pre", "default"))
    if pre not in PRE_TOKENIZERS:
        raise FormatError(f"{path}: the pre-tokenizer {pre!r} is not supported (only {', '.join(PRE_TOKENIZERS)}).")
    # A word that is a token as a whole needs no merges in a Llama 3 vocabulary.
    model = models.BPE(vocab=ids, merges=merges, ignore_merges=pre == "llama-bpe")
    library = tokenizers.Tokenizer(model)
    library.decoder = decoders.ByteLevel()
    set_words(library, *PRE_TOKENIZERS[pre])
    types = gguf_numbers(path, metadata, "token_type", Kind.NORMAL)
    for kind, add in (Kind.CONTROL, library.add_special_tokens), (Kind.USER_DEFINED, library.add_tokens):
        chosen = [token for token, own_kind in zip(tokens, types, strict=True) if own_kind == kind]
        add([tokenizers.AddedToken(token, normalized=False) for token in chosen])
    vocabulary = LibraryVocabulary(path, library, len(tokens))
    vocabulary.set_ids(*(gguf_id(path, metadata, name) for name in ("bos", "eos", "padding")))
    adds_bos = metadata.get("tokenizer.ggml.add_bos_token", pre == "llama-bpe")
    vocabulary.add_bos = bool(adds_bos) and vocabulary.bos_id >= 0
    return vocabulary


def set_words(library: Any, expression: str | None, single_digits: bool, normal_form: bool) -> None:
    """Set how a byte-level tokenizers.Tokenizer cuts a text into words before it merges."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    steps = [pre_tokenizers.Digits(individual_digits=True)] if single_digits else []
    if expression:
        steps.append(pre_tokenizers.Split(Regex(expression), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=expression is None))
    library.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if normal_form:
        library.normalizer = normalizers.NFC()
