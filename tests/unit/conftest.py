"""Fixtures of the tokenizer tests."""

from pathlib import Path

import pytest

from tests.vocabularies import (
    KINDS,
    gguf_of_byte_level,
    gguf_of_sentencepiece,
    llama2c_tokens,
    train_byte_level,
    train_sentencepiece,
    write_llama2c,
    write_pieces_json,
)
from tokenizer import Tokenizer


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vocabularies")
    (folder / "pieces").mkdir()
    model, byte_level = train_sentencepiece(folder), train_byte_level(folder / "tokenizer.json")
    return {
        "sentencepiece": model,
        "llama2c": write_llama2c(folder / "tokenizer.bin", llama2c_tokens(model)),
        "gguf-llama": gguf_of_sentencepiece(folder / "llama.gguf", model),
        "json": byte_level,
        "gguf-gpt2": gguf_of_byte_level(folder / "gpt2.gguf", byte_level),
        "json-pieces": write_pieces_json(folder / "pieces" / "tokenizer.json"),
    }


@pytest.fixture(params=KINDS)
def tokenizer(request, files) -> Tokenizer:
    return Tokenizer(tokenizer_model=files[request.param])

