"""Vocabularies of scored pieces, all run by sentencepiece: its .model, llama2.c's tokenizer.bin, GGUF's "llama"."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from llamalab.formats import FormatError
from llamalab.vocab.tokenizer_files import llama2c_tokens
from llamalab.vocab.vocabulary import BYTE_PIECE, PER_BYTE, SPACE, Kind, Vocabulary, chat_template, read_bytes, settings

# Fields of a sentencepiece model (sentencepiece_model.proto, ModelProto).
PIECE, TRAINER, NORMALIZER = 1, 2, 3
LARGEST_SCORE = 3e38  # of a 32-bit float
NO_PIECE = "\U0010fffd<unk>"  # begins with a character for private use, and stands in no vocabulary


class PieceVocabulary(Vocabulary):
    """Pieces with scores, by the sentencepiece library: a model of its own, or one made from another file's."""

    utf8_errors = PER_BYTE

    def __init__(self, path: Path, data: bytes):
        import sentencepiece

        try:
            processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"{path}: not a sentencepiece model (corrupt, or another format).") from error
        super().__init__(path, processor.get_piece_size())
        if not self.size:
            raise self.fail("a sentencepiece model without pieces")
        self.processor = processor
        self.bos_id, self.eos_id, self.unk_id = processor.bos_id(), processor.eos_id(), processor.unk_id()
        self.add_bos = self.bos_id >= 0
        self.pad_id = processor.pad_id()
        if self.pad_id < 0:  # it cannot be embedded; the byte 0 can, and stands in no text
            self.pad_id = processor.piece_to_id("<0x00>")
        self.control = {processor.id_to_piece(i): i for i in range(self.size) if processor.is_control(i)}
        self.set_eos_ids()
        self.strips_space = processor.normalize("a").startswith(SPACE)
        self.strips_all_spaces = processor.normalize("a  b").endswith(f"a{SPACE}b")
        self.unknown_text = processor.decode([self.unk_id]).encode()

    def encode(self, text: str) -> list[int]:
        return self.processor.encode(text)

    def token(self, token_id: int) -> tuple[bytes, bool]:
        if self.processor.is_control(token_id):
            return b"", False
        if token_id == self.unk_id:
            return self.unknown_text, False
        piece = self.processor.id_to_piece(token_id)
        if self.processor.is_byte(token_id):
            return bytes([int(piece[3:5], 16)]), True
        return piece.replace(SPACE, " ").encode(), False


def message_fields(data: bytes) -> set[int]:
    """Return the numbers of a protobuf message's own fields, all of which have a length in sentencepiece models.

    The library takes a file that ends between two fields for a whole one with fewer pieces.
    """
    position, fields = 0, set()

    def number() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
            if byte < 128:
                return value

    try:
        while position < len(data):
            fields.add(number() >> 3)
            length = number()
            position += length
    except IndexError:  # not a message of that kind; the library has judged it already
        pass
    return fields


def read_sentencepiece(path: Path) -> Vocabulary:
    """Read a sentencepiece .model, and the chat template that stands beside it, if any."""
    data = read_bytes(path)
    vocabulary = PieceVocabulary(path, data)
    if not {TRAINER, NORMALIZER} <= message_fields(data):
        raise vocabulary.fail("the file ends after some of its pieces (truncated)")
    vocabulary.chat_template = chat_template(path.parent, settings(path.parent / "tokenizer_config.json"))
    return vocabulary


def scored_pieces(
    path: Path, pieces: Sequence[str], scores: Sequence[float], types: Sequence[int], prefix: bool
) -> PieceVocabulary:
    """A vocabulary of another file as a sentencepiece model of kind BPE; raises FormatError.

    types: of Kind. prefix: a text gets a space before it.
    """
    kept = {kind: kind for kind in (Kind.UNKNOWN, Kind.CONTROL, Kind.USER_DEFINED, Kind.BYTE)}
    types = [kept.get(kind, Kind.NORMAL) for kind in types]
    spelled = [piece for piece, kind in zip(pieces, types, strict=True) if kind == Kind.BYTE]
    for piece in spelled:
        if not BYTE_PIECE.fullmatch(piece):
            raise FormatError(f"{path}: the byte token {piece!r} does not look like <0x00>.")
    if len(set(spelled)) < 256:
        raise FormatError(f"{path}: the vocabulary lacks some of the byte tokens <0x00> to <0xFF>.")
    if not all(abs(score) < LARGEST_SCORE for score in scores):
        raise FormatError(f"{path}: the score of a token is not a finite number.")
    if len(set(pieces)) < len(pieces):
        raise FormatError(f"{path}: {len(pieces) - len(set(pieces))} tokens of the vocabulary appear twice.")
    known = Kind.UNKNOWN in types
    rows = [*zip(pieces, scores, types, strict=True)] + ([] if known else [(NO_PIECE, 0.0, Kind.UNKNOWN)])
    vocabulary = PieceVocabulary(path, b"".join(_model(rows, prefix)))
    if not known:  # sentencepiece wants one; no id of the file stands for it, and bytes leave it without use
        vocabulary.size, vocabulary.unk_id = len(pieces), -1
    return vocabulary


def _model(rows: Sequence[tuple[str, float, int]], prefix: bool) -> Iterator[bytes]:
    """The fields of a ModelProto: pieces with scores and types, BPE with bytes for the rest, nothing normalized."""
    unknown = b""
    for piece, score, kind in rows:
        text = piece.replace(" ", SPACE).encode()
        unknown = text if kind == Kind.UNKNOWN else unknown
        yield _field(PIECE, _field(1, text) + b"\x15" + struct.pack("<f", score) + _switch(3, kind))
    # model_type: BPE; byte_fallback; unk_piece
    yield _field(TRAINER, _switch(3, 2) + _switch(35, True) + _field(45, unknown))
    # add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
    yield _field(NORMALIZER, _field(1, b"identity") + _switch(3, prefix) + _switch(4, False) + _switch(5, True))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes: its number and kind, the length, the content."""
    return _number(number << 3 | 2) + _number(len(content)) + content


def _switch(number: int, value: int) -> bytes:
    return _number(number << 3) + _number(value)


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    low = bytearray()
    while value > 127:
        low.append(value & 127 | 128)
        value >>= 7
    return bytes([*low, value])


def read_llama2c(path: Path) -> Vocabulary:
    """Read llama2.c's tokenizer.bin; raises FormatError.

    Types are not stored: ids 0 to 2 are unknown, BOS and EOS, 3 to 258 the bytes, the rest pieces.
    Source: https://github.com/karpathy/llama2.c (tokenizer.py, run.c).
    """
    data = read_bytes(path)
    try:
        tokens = [(score, piece.decode()) for score, piece in llama2c_tokens(data)]
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: a token is not UTF-8 (no llama2.c tokenizer).") from error
    except ValueError as error:
        raise FormatError(f"{path}: {error} (truncated, or no llama2.c tokenizer).") from error
    pieces = [piece for _, piece in tokens]
    if pieces[3:259] != [f"<0x{byte:02X}>" for byte in range(256)]:
        raise FormatError(f"{path}: not a llama2.c tokenizer (tokens 3 to 258 are not <0x00> to <0xFF>).")
    if data[:4] != struct.pack("<i", max(len(piece.encode()) for piece in pieces)):
        raise FormatError(f"{path}: the longest token is not as long as the file says (truncated).")
    pieces[1:3] = "<s>", "</s>"  # written with newlines around them
    types = [Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL] + 256 * [Kind.BYTE] + (len(pieces) - 259) * [Kind.NORMAL]
    return scored_pieces(path, pieces, [score for score, _ in tokens], types, prefix=True)
