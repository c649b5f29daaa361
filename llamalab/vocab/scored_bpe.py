"""Byte-pair encoding by scores, in Python: llama2.c's tokenizer.bin and GGUF files of the Llama 2 family."""

import math
import re
import struct
from collections.abc import Sequence
from heapq import heappop, heappush
from pathlib import Path

from llamalab.formats import FormatError
from llamalab.vocab.vocabulary import (
    BYTE,
    BYTE_PIECE,
    CONTROL,
    NORMAL,
    PER_BYTE,
    SPACE,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
    any_of,
    read_bytes,
)


class ScoredVocabulary(Vocabulary):
    """Byte-pair encoding by scores, as sentencepiece's BPE models and llama2.c do it.

    A text starts as its characters. Of all neighbours whose union is a piece, those with the best score (the
    leftmost among equals) merge, until none do. What is then no piece becomes its UTF-8 bytes.
    """

    utf8_errors = PER_BYTE
    unknown_text = " \u2047 ".encode()  # what sentencepiece prints for an unknown token

    def __init__(
        self, path: Path, pieces: Sequence[str], scores: Sequence[float], types: Sequence[int], prefix: bool
    ):
        """pieces: spaces as spaces. types: NORMAL, CONTROL, .... prefix: a text gets a space before it."""
        super().__init__(path, len(pieces))
        self.pieces, self.types, self.strips_space = pieces, types, prefix
        self.ids: dict[str, int] = {}
        self.scores: dict[str, float] = {}
        self.byte_ids: dict[int, int] = {}
        whole = []
        for i, (piece, score, kind) in enumerate(zip(pieces, scores, types, strict=True)):
            if kind == CONTROL:
                self.control[piece] = i
            elif kind == UNKNOWN:
                self.unk_id = i
            elif kind == BYTE:
                self.byte_ids[self.byte(piece)] = i
            else:
                self.ids[piece], self.scores[piece] = i, score
                if kind == USER_DEFINED:
                    whole.append(piece)
        if len(self.byte_ids) < 256:
            raise self.fail("the vocabulary lacks some of the byte tokens <0x00> to <0xFF>")
        if not all(map(math.isfinite, self.scores.values())):
            raise self.fail("the score of a token is not a finite number")
        self.pad_id = self.byte_ids[0]
        self.whole = any_of(whole)
        # Where no piece has a space after another character, no merge crosses the start of a word.
        crosses = any(re.search("[^ ] ", piece) for piece in self.ids)
        self.words = re.compile(".+" if crosses else " *[^ ]+| +", re.DOTALL)
        self.known_words: dict[str, list[int]] = {}

    def byte(self, piece: str) -> int:
        match = BYTE_PIECE.fullmatch(piece)
        if not match:
            raise self.fail(f"the byte token {piece!r} does not look like <0x00>")
        return int(match[1], 16)

    def encode(self, text: str) -> list[int]:
        if not text:
            return []
        text = text.replace(SPACE, " ")
        if self.strips_space:
            text = " " + text
        ids: list[int] = []
        for i, part in enumerate(self.whole.split(text)):
            if i % 2:  # what the pattern matched: a user-defined piece
                ids.append(self.ids[part])
            else:
                for word in self.words.findall(part):
                    ids += self.encode_word(word)
        return ids

    def encode_word(self, word: str) -> list[int]:
        ids = self.known_words.get(word)
        if ids is None:
            ids = []
            for symbol in self.merge(word):
                known = self.ids.get(symbol)
                ids += [self.byte_ids[byte] for byte in symbol.encode()] if known is None else [known]
            if len(word) < 64 and len(self.known_words) < 100_000:
                self.known_words[word] = ids
        return ids

    def merge(self, word: str) -> list[str]:
        """Merge the characters of a word into pieces, in O(n log n): a heap of pairs over a linked list."""
        symbols = list(word)  # one that has merged into its left neighbour is ""
        before, after = list(range(-1, len(symbols) - 1)), [*range(1, len(symbols)), -1]
        heap: list[tuple[float, int, int, str]] = []

        def note(left: int, right: int) -> None:
            union = symbols[left] + symbols[right]
            if union in self.scores:
                heappush(heap, (-self.scores[union], left, right, union))

        for i in range(1, len(symbols)):
            note(i - 1, i)
        while heap:
            _, left, right, union = heappop(heap)
            # Either side may have grown or gone since the pair was noted.
            if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != union:
                continue
            symbols[left], symbols[right] = union, ""
            following = after[left] = after[right]
            if following >= 0:
                before[following] = left
                note(left, following)
            if before[left] >= 0:
                note(before[left], left)
        return [symbol for symbol in symbols if symbol]

    def token(self, token_id: int) -> tuple[bytes, bool]:
        kind = self.types[token_id]
        if kind == CONTROL:
            return b"", False
        if kind == UNKNOWN:
            return self.unknown_text, False
        if kind == BYTE:
            return bytes([self.byte(self.pieces[token_id])]), True
        return self.pieces[token_id].encode(), False


def read_llama2c(path: Path) -> Vocabulary:
    """Read llama2.c's tokenizer.bin; raises FormatError.

    Layout: longest token int32, then per token its score float32, its length int32 and its UTF-8 bytes.
    Types are not stored: ids 0 to 2 are unknown, BOS and EOS, 3 to 258 the bytes, the rest pieces.
    Source: https://github.com/karpathy/llama2.c (tokenizer.py, run.c).
    """
    data = read_bytes(path)
    longest = 0
    pieces: list[str] = []
    scores: list[float] = []
    position = 4
    while position < len(data):
        if position + 8 > len(data):
            raise FormatError(f"{path}: the file ends inside token {len(pieces)} (truncated).")
        score, length = struct.unpack_from("<fi", data, position)
        start, position = position + 8, position + 8 + length
        if length < 0 or position > len(data):
            raise FormatError(
                f"{path}: token {len(pieces)} claims {length} bytes, more than the file holds "
                "(truncated, or no llama2.c tokenizer)."
            )
        try:
            pieces.append(str(data[start:position], "utf-8"))
        except UnicodeDecodeError as error:
            raise FormatError(f"{path}: token {len(pieces)} is not UTF-8 (no llama2.c tokenizer).") from error
        scores.append(score)
        longest = max(longest, length)
    if pieces[3:259] != [f"<0x{byte:02X}>" for byte in range(256)]:
        raise FormatError(f"{path}: not a llama2.c tokenizer (tokens 3 to 258 are not <0x00> to <0xFF>).")
    if data[:4] != struct.pack("<i", longest):
        raise FormatError(f"{path}: the longest token is not as long as the file says (truncated).")
    pieces[1:3] = "<s>", "</s>"  # written with newlines around them
    types = [UNKNOWN, CONTROL, CONTROL] + 256 * [BYTE] + (len(pieces) - 259) * [NORMAL]
    vocabulary = ScoredVocabulary(path, pieces, scores, types, prefix=True)
    vocabulary.bos_id, vocabulary.eos_id, vocabulary.add_bos = 1, 2, True
    vocabulary.set_eos_ids()
    return vocabulary
