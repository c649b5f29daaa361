"""Small vocabularies of every kind, made by the libraries that define them, and texts to try them with."""

import json
import struct
from pathlib import Path

import gguf
import sentencepiece
import tokenizers
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = """The quick brown fox jumps over the lazy dog, and the dog does not mind; it's the 23rd of May 1998.
def area(radius):\n    return 3.14159 * radius ** 2  # in square metres\n
Once upon a time there was a little girl who lived in a village near the forest. She'd walk there often.
Ein Bär über dem Fluß, une forêt où rêvent les élèves, и ещё немного русского текста, 日本語の文章と中文。
""" * 20  # fmt: skip
TEXTS = [
    "", " ", "  ", "a", " a", "a ", "the  dog", "   three before, two after  ", "\n", "\n\n the\n",
    "\ttabs\tand\r\n", "nul\0byte", "1234567890 12 3", "it's he'll I'D", "naïve café – “quoted”",
    "日本語の文章", "ẞ e\u0301 ﬁ", "🙂👩‍👩‍👧‍👦🇩🇪", "def f(x):\n    return x**2\n", "<s>", "</s><unk>",
    "<0x0A>", "<|im_start|>user", "\ufeffbom", "\u3000wide", "~" * 50,
]  # fmt: skip
KINDS = ["sentencepiece", "llama2c", "gguf-llama", "json", "gguf-gpt2", "json-pieces"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECE_KINDS = ["sentencepiece", "llama2c", "gguf-llama"]

any_character = st.one_of(st.sampled_from("ab the  \n\t1é日🙂<|>s\0"), st.characters(codec="utf-8"))
any_text = st.text(any_character, max_size=40)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])



def train_sentencepiece(folder: Path, name: str = "tokenizer.model", **options) -> Path:
    """A BPE model with the settings of Llama 2: nothing normalized, a space in front, bytes for the rest."""
    (folder / "corpus.txt").write_text(CORPUS)
    chosen = {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "character_coverage": 0.98,
              "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
              "allow_whitespace_only_pieces": True, "split_digits": True, "minloglevel": 2}  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "trained"), **chosen | options
    )
    return (folder / "trained.model").rename(folder / name)


def write_llama2c(path: Path, tokens: list[tuple[bytes, float]]) -> Path:
    """What llama2.c's tokenizer.py writes."""
    data = struct.pack("<i", max(len(piece) for piece, _ in tokens))
    data += b"".join(struct.pack("<fi", score, len(piece)) + piece for piece, score in tokens)
    path.write_bytes(data)
    return path


def llama2c_tokens(model: Path) -> list[tuple[bytes, float]]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(i).replace("▁", " ").encode() for i in range(len(processor))]
    pieces[1:3] = b"\n<s>\n", b"\n</s>\n"
    return [(piece, processor.get_score(i)) for i, piece in enumerate(pieces)]


def write_gguf(path: Path, model: str, tokens: list, types: list[int], **more) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in more.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def gguf_of_sentencepiece(path: Path, model: Path) -> Path:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ids = range(len(processor))
    kinds = (2, processor.is_unknown), (3, processor.is_control), (6, processor.is_byte)
    types = [next((kind for kind, has in kinds if has(i)), 1) for i in ids]
    return write_gguf(
        path, "llama", [processor.id_to_piece(i) for i in ids], types,
        token_scores=[processor.get_score(i) for i in ids], bos_token_id=1, eos_token_id=2,
    )  # fmt: skip


def train_byte_level(path: Path) -> Path:
    """Byte-level BPE as SmolLM2's: digits one by one, then GPT-2's words."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )  # fmt: skip
    library.train_from_iterator([CORPUS], trainer)
    library.add_tokens(["<think>"])
    library.save(str(path))
    return path


def gguf_of_byte_level(path: Path, source: Path, pre: str = "smollm", **more) -> Path:
    content = json.loads(source.read_text())
    ids = content["model"]["vocab"] | {token["content"]: token["id"] for token in content["added_tokens"]}
    special = {token["content"]: 3 if token["special"] else 4 for token in content["added_tokens"]}
    tokens = sorted(ids, key=ids.__getitem__)
    merges = [" ".join(merge) for merge in content["model"]["merges"]]
    types = [special.get(token, 1) for token in tokens]
    chosen = {"token_merges": merges, "tokenizer_pre": pre, "bos_token_id": 1, "eos_token_id": 2}
    return write_gguf(path, "gpt2", tokens, types, **chosen | more)


def write_pieces_json(path: Path) -> Path:
    """A tokenizer.json as transformers writes for Llama 2: sentencepiece's pieces, bytes for the rest."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += ["▁", "a", "b", "t", "h", "e", "▁t", "he", "▁the", "▁▁", "日"]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "▁")]
    ids = {piece: i for i, piece in enumerate(pieces)}
    library = tokenizers.Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    library.save(str(path))
    return path


def library_decode(files: dict[str, Path], kind: str):
    """The decoder of the library that defines a kind of vocabulary."""
    if kind in PIECE_KINDS:
        return sentencepiece.SentencePieceProcessor(model_file=str(files["sentencepiece"])).decode
    return tokenizers.Tokenizer.from_file(str(files["json"])).decode

