"""Labelled sentences: the courses' ``label ||| sentence`` files, read, checked, encoded and cut into batches."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from llamalab import assets, places
from llamalab.data import movie_reviews
from llamalab.errors import UserError

if TYPE_CHECKING:  # torch is imported where it is used: `show`, `prepare` and --help answer at once
    import torch

    from tokenizer import Tokenizer

SEPARATOR = " ||| "
UNKNOWN = -1
REPORTED = 3  # faults that an error message shows; the others it counts
POOL = 50  # batches that are sorted by length together


@dataclass(frozen=True)
class Example:
    """One line of a data file."""

    label: int  # index into the label names; -1 is unknown
    sentence: str  # without spaces around it; may be empty


def read_examples(path: str | Path, n_labels: int | None = None) -> list[Example]:
    """Read a whole data file, or nothing of it.

    Byte-order marks, Windows line endings, empty sentences and blank lines at the end are accepted, and a sentence may
    contain the separator again.

    Args:
        n_labels: the number of label names; None accepts every label from -1 up.

    Raises:
        UserError: the file is missing, unreadable or empty, or lines are wrong; the message shows the first of them.
    """
    data = _read(path).removeprefix(b"\xef\xbb\xbf").rstrip()
    if not data:
        raise UserError(f"{path} holds no examples; {_expected(n_labels)}")
    # The line ends of Python's text mode. splitlines() of a str would also cut at U+2028 inside a sentence.
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    examples, faults = [], []
    for number, line in enumerate(lines, 1):
        try:
            examples.append(_parse(line, n_labels))
        except ValueError as fault:
            faults.append(f"line {number} {fault}")
    if faults:
        shown = "; ".join(faults[:REPORTED])
        rest = f"; and {len(faults) - REPORTED} more" if len(faults) > REPORTED else ""
        wrong = f"{len(faults)} of {len(lines)} lines cannot be used"
        raise UserError(f"{path}: {wrong}: {shown}{rest}; {_expected(n_labels)}")
    return examples


def _parse(raw: bytes, n_labels: int | None) -> Example:
    """The example on one line; ValueError says what is wrong with it, as the end of a sentence."""
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"has the byte 0x{raw[error.start]:02x}, which is not UTF-8") from None
    # Editors remove spaces at the end of a line, and an empty sentence loses half of its separator with them.
    label, separator, sentence = f"{line} ".partition(SEPARATOR)
    if not line.strip():
        raise ValueError("is empty")
    if not separator:
        raise ValueError(f"has no '{SEPARATOR}': {_excerpt(line)}")
    if not re.fullmatch(r"-?[0-9]{1,9}", label.strip()):
        raise ValueError(f"has the label {_excerpt(label)}, which is not a whole number")
    number = int(label)
    if number < UNKNOWN or (n_labels is not None and number >= n_labels):
        known = "" if n_labels is None else f" for a mapping of {n_labels} label names"
        raise ValueError(f"has the label {number}, out of range{known}")
    return Example(number, sentence.strip())


def _excerpt(text: str) -> str:
    return repr(text[:40]) + ("..." if len(text) > 40 else "")


def _expected(n_labels: int | None) -> str:
    labels = "a label from 0" if n_labels is None else f"a label from 0 to {n_labels - 1}"
    return f"every line must be `label ||| sentence` in UTF-8, with {labels} or -1 for unknown"


def read_label_names(path: str | Path) -> list[str]:
    """Label names in the order of their ids, from JSON: a list of names, {name: id} or {id: name}.

    Raises:
        UserError: the file is missing or no such JSON, ids are not 0, 1, 2 ..., or a name is empty or there twice.
    """
    try:
        tree = json.loads(_read(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path} is not JSON ({error}); write the label names as a list, ["bad", "good"]') from error
    names = _in_order(tree)
    if not names or not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) < len(names):
        raise UserError(
            f"{path} does not name the labels 0, 1, 2 ... once each; "
            'write a list, ["bad", "good"], or an object, {"bad": 0, "good": 1}'
        )
    return names


def _in_order(tree: object) -> list | None:
    """The names that a JSON value lists by position or by id; None where the ids are not 0 to n - 1."""
    if isinstance(tree, list):
        return tree
    if not isinstance(tree, dict):
        return None
    if all(isinstance(value, str) for value in tree.values()):
        by_id = tree
    else:
        by_id = {str(value): name for name, value in tree.items() if isinstance(value, int)}
    ids = [str(number) for number in range(len(tree))]
    return [by_id[number] for number in ids] if set(by_id) == set(ids) else None


def label_counts(examples: Sequence[Example]) -> dict[int, int]:
    """How many examples have each label, by label; -1 counts the unknown ones."""
    return dict(sorted(Counter(example.label for example in examples).items()))


def encode_examples(
    examples: Sequence[Example], tokenizer: Tokenizer, max_len: int, eos: bool
) -> tuple[list[list[int]], int]:
    """Token ids of every sentence, and how many sentences were cropped.

    A row begins with BOS if the model was trained so, has at least one token (an empty sentence is BOS) and at most
    ``max_len``. What is cropped is the end of the sentence; the EOS after it stays, so that a classifier that looks at
    the last token always sees the same kind of token there.

    Args:
        max_len: tokens in all, BOS and EOS included.
        eos: end every row with EOS.

    Raises:
        ValueError: ``max_len`` has no room for a token of the sentence, or ``eos`` is asked of a tokenizer without one.
    """
    end = [tokenizer.eos_id] if eos else []
    if eos and tokenizer.eos_id < 0:
        raise ValueError("this tokenizer has no EOS")
    room = max_len - len(end)
    if room < 1:
        raise ValueError(f"max_len={max_len} leaves no room for a sentence")
    rows, cropped = [], 0
    for example in tqdm(examples, "encoding", unit=" sentences", delay=2, leave=False, disable=not sys.stderr.isatty()):
        ids = tokenizer.encode(example.sentence, bos=tokenizer.add_bos, eos=False) or [tokenizer.bos_id]
        cropped += len(ids) > room
        rows.append(ids[:room] + end)
    return rows, cropped


def length_batches(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator | None = None
) -> list[list[int]]:
    """Indices in batches of similar length, which need little padding: each index once, ceil(N / batch_size) batches.

    With a generator, for training: the indices are shuffled and dealt into pools of 50 batches, each pool is sorted by
    length and cut, and the batches are shuffled. As many steps an epoch as plain batching, and new batches each time.
    Without one, for evaluation: all indices by length, the longest first, so that what does not fit fails at once.

    >>> length_batches([3, 9, 4, 8, 5], batch_size=2)
    [[1, 3], [4, 2], [0]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} is less than 1")
    if generator is None:
        return _cut(sorted(range(len(lengths)), key=lambda index: -lengths[index]), batch_size)
    import torch

    order = torch.randperm(len(lengths), generator=generator, device=generator.device).tolist()
    batches = []
    for pool in _cut(order, POOL * batch_size):
        batches += _cut(sorted(pool, key=lambda index: lengths[index]), batch_size)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator, device=generator.device).tolist()]


def _cut(indices: list[int], size: int) -> list[list[int]]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of unequal length as one rectangle that begins where every row begins.

    >>> pad_right([[5, 6, 7], [8]], pad_id=0)
    (tensor([[5, 6, 7], [8, 0, 0]]), tensor([[1, 1, 1], [1, 0, 0]]))

    Returns:
        token ids (B, T) and the attention mask (B, T), both int64, 1 for real tokens.
    """
    import torch

    T = max(len(row) for row in rows)
    ids = [[*row, *[pad_id] * (T - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (T - len(row)) for row in rows]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {_remedy(Path(path).name)}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _remedy(file_name: str) -> str:
    """How to come by a data file of this name."""
    here = places.home() / "data" / file_name
    if here.is_file():
        return f"a file of that name is {here}"
    for dataset in movie_reviews.SOURCES:
        if file_name in movie_reviews.file_names(dataset):
            return f"make it with `python -m llamalab.data prepare {dataset}`"
    manifest = assets.load_manifest()
    for asset in manifest.assets.values():
        if Path(asset.path).name == file_name:
            groups = sorted(manifest.groups_of(asset.name), key=lambda group: len(manifest.select([group])))
            return f"fetch it with `python -m llamalab.assets fetch {[*groups, asset.name][0]}`"
    return "check the path"
