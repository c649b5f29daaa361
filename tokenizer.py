"""Text to token ids and back.

    >>> tokenizer = Tokenizer(tokenizer_model="tokenizer/tokenizer.model")
    >>> tokenizer.encode("Hello world", bos=True, eos=False)
    [1, 15043, 3186]
    >>> tokenizer.decode([1, 15043, 3186])
    'Hello world'

One class for every kind of vocabulary: sentencepiece models, llama2.c's tokenizer.bin, tokenizer.json, and
the vocabulary inside a GGUF checkpoint. llamalab/vocab/tokenizers.py reads the files; here is what does not
depend on them: BOS and EOS, control tokens, chats, and text that arrives token by token.
"""

import codecs
import json
from collections.abc import Callable, Iterable
from functools import cached_property
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llamalab.vocab.chat_templates import ChatTemplate
    from llamalab.vocab.vocabulary import Vocabulary

DEFAULT_FILES = ("tokenizer/tokenizer.model", "tokenizer.model")


class Tokenizer:
    """A vocabulary and its conventions.

    n_words        number of token ids, which are 0 to n_words - 1
    bos_id         begins a text; without a BOS the token that ends documents; -1 without either
    eos_id         ends a text; -1 if there is none
    eos_ids        every id after which a reply is over, such as those of <|im_end|> and <|endoftext|>
    pad_id         fills the short rows of a batch; always an id that can be embedded (Llama 2: 3, <0x00>)
    add_bos        whether the model was trained with BOS before each text, to be passed on as encode's `bos`:
                   True for Llama 2, False for SmolLM2, whose bos_id is the <|im_start|> of its chats
    chat_template  the Jinja template that makes one text of messages, or None
    path           the file the vocabulary came from
    """

    def __init__(self, max_len: int | None = None, tokenizer_model: str | Path | None = None):
        """Open a vocabulary.

        max_len: keep at most so many tokens of each text, not counting BOS and EOS; None keeps all.
        tokenizer_model: a sentencepiece .model, a llama2.c .bin, a tokenizer.json, a .gguf, or a directory
            that holds one. None takes tokenizer/tokenizer.model or tokenizer.model, of the project or else of
            the current directory.

        Raises FileNotFoundError when there is no such file, FormatError (a ValueError) when it is not one.
        """
        from llamalab.vocab.tokenizers import open_vocabulary
        from llamalab.vocab.vocabulary import any_of

        if max_len is not None and max_len < 0:
            raise ValueError(f"max_len is {max_len}; it counts tokens and cannot be negative.")
        self.max_len = max_len
        self.vocabulary: Vocabulary = open_vocabulary(tokenizer_model or default_file())
        self.path: Path = self.vocabulary.path
        self.n_words: int = self.vocabulary.size
        self.bos_id: int = self.vocabulary.bos_id
        self.eos_id: int = self.vocabulary.eos_id
        self.pad_id: int = self.vocabulary.pad_id
        self.eos_ids: set[int] = self.vocabulary.eos_ids
        self.add_bos: bool = self.vocabulary.add_bos
        self.chat_template: str | None = self.vocabulary.chat_template
        self._control = any_of(self.vocabulary.control)

    def encode(self, text: str, bos: bool, eos: bool, special: bool = False) -> list[int]:
        """Return the token ids of a text, truncated to max_len, then BOS before and EOS after it where asked.

        The characters "<|im_start|>" in a text are ordinary characters. Only with `special` do they become
        the control token of that name, which is for text that a program made, never for a user's. BOS is
        added whenever `bos` is true, whatever `add_bos` says.

        Raises ValueError for text that UTF-8 cannot carry, and for BOS or EOS where the vocabulary has none.
        """
        check_text(text)
        ids = self._encode_special(text) if special else self.vocabulary.encode(text)
        if self.max_len is not None:
            ids = ids[: self.max_len]
        for wanted, token_id, name in (bos, self.bos_id, "begins"), (eos, self.eos_id, "ends"):
            if wanted and token_id < 0:
                raise ValueError(f"{self.path}: this vocabulary has no token that {name} a text.")
        return [self.bos_id] * bool(bos) + ids + [self.eos_id] * bool(eos)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids. Control tokens have none; bytes that are not UTF-8 read as U+FFFD.

        Raises ValueError for an id outside the vocabulary.
        """
        stream = self.decoder()
        return "".join([stream.feed(token_id) for token_id in ids]) + stream.flush()

    def decoder(self, prompt_ids: Iterable[int] = ()) -> "StreamDecoder":
        """Return a decoder that is fed one id at a time.

        With prompt_ids the stream continues that prompt: decode(prompt) + stream == decode(prompt + new).
        Decoded alone, the new ids would lose the space before their first word. (A prompt that ends within a
        character is the exception: the stream begins with that character, decode(prompt) ends with U+FFFD.)
        """
        stream = StreamDecoder(self.vocabulary)
        for token_id in prompt_ids:
            stream.feed(token_id)
        return stream

    def apply_chat_template(
        self, messages: list[dict[str, Any]], add_generation_prompt: bool = True, **variables: Any
    ) -> str:
        """Return the text of a chat, as the model was trained to read it; `encode_chat` returns its ids.

        messages: [{"role": "user", "content": "Hi"}, ...]. add_generation_prompt: end with the opening of a
        reply. variables: further ones the template knows, such as enable_thinking.

        Raises ValueError when there is no template, or the template refuses the messages.
        """
        return self._template.render(
            messages=messages,
            add_generation_prompt=add_generation_prompt,
            bos_token=self._piece(self.bos_id),
            eos_token=self._piece(self.eos_id),
            **variables,
        )

    def encode_chat(
        self, messages: list[dict[str, Any]], add_generation_prompt: bool = True, **variables: Any
    ) -> list[int]:
        """Return the token ids of a chat: control tokens where the template wrote them, and nowhere else.

        A message that contains "<|im_end|>" keeps these characters as text and cannot end its turn. max_len
        does not apply: a chat cut short would lose its last question.
        """
        from llamalab.vocab.chat_templates import Disguise

        texts = json.dumps([messages, variables], ensure_ascii=False, default=str)
        disguise = Disguise(self.vocabulary.control, avoid=texts + (self.chat_template or ""))
        chat = self.apply_chat_template(
            disguise.put_on(messages), add_generation_prompt, **disguise.put_on(variables)
        )
        check_text(chat)
        return self._encode_special(chat, disguise.take_off)

    @cached_property
    def _template(self) -> "ChatTemplate":
        from llamalab.vocab.chat_templates import ChatTemplate

        if self.chat_template is None:
            raise ValueError(f"{self.path}: this tokenizer has no chat template; use a model tuned for chat.")
        return ChatTemplate(self.chat_template, name=str(self.path))

    def _piece(self, token_id: int) -> str:
        return next((piece for piece, i in self.vocabulary.control.items() if i == token_id), "")

    def _encode_special(self, text: str, restore: Callable[[str], str] = str) -> list[int]:
        """Encode a text in which the names of control tokens stand for these tokens.

        restore: applied to the text between them, once they have been found.
        """
        ids: list[int] = []
        for i, part in enumerate(self._control.split(text)):
            if i % 2:  # what the pattern matched
                ids.append(self.vocabulary.control[part])
            else:
                ids += self.vocabulary.encode(restore(part))
        return ids


class StreamDecoder:
    """Decodes token ids one at a time; the pieces together are what `decode` returns for all ids.

    A token may hold part of a character: "é" is the two bytes C3 A9, and those may be two tokens. A part is
    held back until the rest has come, or until it is clear that none will; then it reads as U+FFFD.
    """

    def __init__(self, vocabulary: "Vocabulary"):
        self._vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")(vocabulary.utf8_errors)
        self._at_start = vocabulary.strips_space

    def feed(self, token_id: int) -> str:
        """Return the text that is complete with this token, often "" within a character."""
        token_id, vocabulary = index(token_id), self._vocabulary
        if not 0 <= token_id < vocabulary.size:
            raise ValueError(f"{vocabulary.path}: {token_id} is none of the {vocabulary.size} token ids.")
        data, is_partial = vocabulary.token(token_id)
        if is_partial:
            text = self._utf8.decode(data)
        else:
            text, piece = self.flush(), data.decode()
            if self._at_start and not text and piece.startswith(" ") and token_id != vocabulary.unk_id:
                piece, self._at_start = piece[1:], vocabulary.strips_all_spaces
            text += piece
        if text:
            self._at_start = False
        return text

    def flush(self) -> str:
        """Return what is held back: nothing, or U+FFFD for a character that was never completed."""
        return self._utf8.decode(b"", final=True)


def default_file() -> Path:
    """Return the default tokenizer; raises FileNotFoundError, saying how to get it."""
    from llamalab import places

    for directory in (places.home(), Path.cwd()):
        for name in DEFAULT_FILES:
            if (directory / name).is_file():
                return directory / name
    raise FileNotFoundError(
        f"No tokenizer: neither {' nor '.join(DEFAULT_FILES)} is in {places.home()}; "
        "fetch it with `python -m llamalab.assets fetch llama2-tokenizer`, or name another."
    )


def check_text(text: str) -> None:
    """Raise ValueError for a text that is no UTF-8, as undecodable command-line arguments are."""
    if not isinstance(text, str):
        raise TypeError(f"The text is of type {type(text).__name__}, not str.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text has the lone surrogate U+{ord(text[error.start]):04X} at position {error.start}, "
            "which is no character; give it as UTF-8."
        ) from error
