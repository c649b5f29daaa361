"""Zero-shot prompting: the prompts, both scores beside a computation with no batch and no cache, and calibration."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from classifier import LlamaZeroShotClassifier
from config import LlamaConfig
from llama import Llama
from llamalab import formats, models
from llamalab.data import sentences
from llamalab.data.sentences import Example
from llamalab.errors import UserError
from llamalab.evaluation.prompting import CourseScoring, FullScoring, encode_prompts, predict, prompt_suffix
from tests.vocabularies import write_llama2c
from tokenizer import Tokenizer

NAMES = ["bad", "quick and lazy", "é 23", "good"]
SENTENCES = ["the quick brown dog", "", "a little girl who lived in a village near the forest", "é", "the lazy dog"]
EXAMPLES = [Example(0, sentence) for sentence in SENTENCES]
WINDOW = 256

two_kinds = pytest.mark.parametrize("tokenizer", ["sentencepiece", "json"], indirect=True)


def random_llama(vocab_size: int) -> Llama:
    """A model with opinions: at the usual initialisation all tokens are about equally likely."""
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size, dim=24, n_layers=2, n_heads=3, n_kv_heads=1, hidden_dim=40, max_seq_len=WINDOW)
    llama = Llama(config)
    for parameter in llama.parameters():
        parameter.data *= 10 if parameter.dim() == 2 else 1
    return llama.eval()


@pytest.fixture
def llama(tokenizer) -> Llama:
    return random_llama(tokenizer.n_words)


@pytest.fixture
def classifier(tokenizer, llama, tmp_path) -> LlamaZeroShotClassifier:
    path = tmp_path / "model"
    formats.save(formats.Checkpoint(llama.config.to_dict(), llama.state_dict(), "llamalab", path, None), path)
    config = SimpleNamespace(pretrained_model_path=path, num_labels=len(NAMES))
    return LlamaZeroShotClassifier(config, tokenizer, NAMES)


@pytest.fixture(params=["course", "full"])
def scoring(request, tokenizer, llama) -> CourseScoring | FullScoring:
    if request.param == "full":
        return FullScoring(llama, tokenizer, NAMES)
    return CourseScoring(request.getfixturevalue("classifier"), tokenizer, NAMES)


def token_log_probs(llama: Llama, ids: list[int]) -> torch.Tensor:
    """log P(token | tokens before it) for all but the first of a text, (T - 1,) in float64: one row, no cache."""
    model = Llama.from_weights(llama.config, {name: x.double() for name, x in llama.state_dict().items()})
    read, predicted = torch.tensor([ids[:-1]]), torch.tensor(ids[1:])
    log_probs = F.log_softmax(model(read, targets=read)[0][0], dim=-1)  # (T - 1, V)
    return log_probs.gather(1, predicted[:, None])[:, 0]


def prompt(sentence: str, names: list[str] = NAMES) -> str:
    return f"{sentence} {prompt_suffix(names)}".strip()


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, bos=tokenizer.add_bos, eos=False)


# Prompts


def test_the_question_is_the_courses():
    assert prompt_suffix(["bad", "good"]) == "Is this movie bad or good? This movie is "
    assert prompt_suffix(["bad", "ok", "good"]) == "Is this movie bad, ok, or good? This movie is "
    assert prompt_suffix(["good"]) == "Is this movie good? This movie is "


def test_a_prompt_is_the_sentence_and_the_question(tokenizer):
    suffix = prompt_suffix(NAMES)
    rows, cropped = encode_prompts(EXAMPLES, tokenizer, suffix, WINDOW)
    assert [tokenizer.decode(row) for row in rows] == [f"{s} {suffix}" if s else suffix for s in SENTENCES]
    assert all((row[0] == tokenizer.bos_id) == tokenizer.add_bos for row in rows) and cropped == 0


def test_a_long_sentence_loses_its_end_and_never_the_question(tokenizer):
    suffix, sentence = prompt_suffix(NAMES), "the quick brown fox " * 40
    [whole], _ = encode_prompts([Example(0, sentence.strip())], tokenizer, suffix, 10_000)
    question = len(encode(tokenizer, suffix))
    for max_len in (question + 3, question + 40, len(whole) - 1):
        [row], cropped = encode_prompts([Example(0, sentence.strip())], tokenizer, suffix, max_len)
        beginning = tokenizer.decode(row).removesuffix(f" {suffix}")
        assert len(row) == max_len and cropped == 1
        assert 0 < len(beginning) < len(sentence.strip()) and sentence.startswith(beginning)


def test_a_sentence_that_just_fits_is_whole(tokenizer):
    [row], _ = encode_prompts(EXAMPLES[:1], tokenizer, "Good? ", WINDOW)
    assert encode_prompts(EXAMPLES[:1], tokenizer, "Good? ", len(row)) == ([row], 0)


def test_no_room_beside_the_question_is_refused(tokenizer):
    question = len(encode(tokenizer, "x Good? ")) - len(encode(tokenizer, "x"))
    assert encode_prompts(EXAMPLES[:1], tokenizer, "Good? ", question + 1 + tokenizer.add_bos)[1] == 1
    with pytest.raises(UserError, match=f"the question alone takes {question}; raise --max_sentence_len"):
        encode_prompts(EXAMPLES[:1], tokenizer, "Good? ", question + tokenizer.add_bos)


# Scores


def test_the_full_score_is_the_log_probability_of_the_name_after_the_prompt(tokenizer, llama):
    scoring = FullScoring(llama, tokenizer, NAMES)
    assert len({len(ids) for ids in scoring.name_ids}) > 1 and scoring.longest_name > 3
    scores = predict(scoring, EXAMPLES, batch_size=3).scores
    for sentence, row in zip(SENTENCES, scores, strict=True):
        start = len(encode(tokenizer, prompt(sentence)))
        for name, score in zip(NAMES, row, strict=True):
            log_probs = token_log_probs(llama, encode(tokenizer, f"{prompt(sentence)} {name}"))
            assert score == pytest.approx(log_probs[start - 1 :].sum().item(), abs=1e-5)


@two_kinds
def test_the_course_score_is_what_the_students_classifier_says_of_each_prompt(tokenizer, classifier):
    scores = predict(CourseScoring(classifier, tokenizer, NAMES), EXAMPLES, batch_size=3).scores
    rows, _ = encode_prompts(EXAMPLES, tokenizer, prompt_suffix(NAMES), WINDOW)
    alone = torch.cat([classifier(torch.tensor([row])) for row in rows])
    torch.testing.assert_close(scores, alone, atol=1e-5, rtol=0)


@two_kinds
def test_batch_size_and_order_do_not_change_a_score(scoring):
    shuffled = random.Random(0).sample(range(len(EXAMPLES)), len(EXAMPLES))
    expected = predict(scoring, EXAMPLES, batch_size=1)
    for batch_size in (2, 4, 100):
        found = predict(scoring, [EXAMPLES[i] for i in shuffled], batch_size)
        torch.testing.assert_close(found.scores, expected.scores[shuffled], atol=1e-5, rtol=0)
        assert found.labels == [expected.labels[i] for i in shuffled]


@two_kinds
def test_a_prediction_is_the_label_with_the_best_score(scoring):
    found = predict(scoring, EXAMPLES, batch_size=2)
    assert found.labels == [row.index(max(row)) for row in found.scores.tolist()]
    assert found.scores.shape == (len(EXAMPLES), len(NAMES))


@two_kinds
def test_calibration_subtracts_the_scores_of_the_question_alone(scoring):
    raw, calibrated = (predict(scoring, EXAMPLES, 2, calibrate=calibrate).scores for calibrate in (False, True))
    alone = predict(scoring, [Example(0, "")], 1).scores
    torch.testing.assert_close(calibrated, raw - alone, atol=1e-5, rtol=0)
    assert calibrated[SENTENCES.index("")].abs().max() < 1e-5 and alone.abs().min() > 0.1


@two_kinds
def test_a_cropped_prompt_and_its_names_fill_the_window(tokenizer, llama):
    scoring, sentence = FullScoring(llama, tokenizer, NAMES), "the lazy dog " * 100
    found = predict(scoring, [Example(0, sentence)], 1, max_len=10 * WINDOW)
    [row], _ = encode_prompts([Example(0, sentence)], tokenizer, scoring.suffix, scoring.longest_prompt)
    assert found.cropped == 1 and len(row) + scoring.longest_name - 1 == WINDOW
    for ids, score in zip(scoring.name_ids, found.scores[0], strict=True):
        assert score == pytest.approx(token_log_probs(llama, row + ids)[len(row) - 1 :].sum().item(), abs=1e-5)


@two_kinds
def test_max_len_crops_prompts(scoring):
    room = len(encode(scoring.tokenizer, scoring.suffix)) + 8
    assert predict(scoring, EXAMPLES, 2, max_len=room).cropped > 0


@two_kinds
def test_the_model_reads_a_prompt_once_for_all_names(tokenizer, llama):
    scoring, read = FullScoring(llama, tokenizer, NAMES), []
    llama.tok_embeddings.register_forward_hook(lambda module, inputs, output: read.append(inputs[0].shape[1]))
    predict(scoring, EXAMPLES[:1], batch_size=1)
    later = [len(ids) - 1 for ids in scoring.name_ids if len(ids) > 1]
    assert read == [len(encode(tokenizer, prompt(SENTENCES[0]))), *later]


# Names


@pytest.fixture
def crossing(tmp_path) -> Tokenizer:
    """A vocabulary with tokens that hold the end of a prompt and the beginning of an answer."""
    bytes_ = [(f"<0x{byte:02X}>".encode(), 0.0) for byte in range(256)]
    pieces = [b"is", b"is ", b"is g", b"is go", b"is goo", b"is good"]
    special = [(b"<unk>", 0.0), (b"\n<s>\n", 0.0), (b"\n</s>\n", 0.0)]
    path = write_llama2c(tmp_path / "tokenizer.bin", special + bytes_ + [(piece, 1.0) for piece in pieces])
    return Tokenizer(tokenizer_model=path)


def test_scores_differ_as_whole_texts_do_where_tokens_cross_from_prompt_to_name(crossing):
    names, llama = ["good", "bad", "goody"], random_llama(crossing.n_words)
    assert crossing.decode(encode(crossing, "This movie is good")[-1:]) == "is good"
    scores = predict(FullScoring(llama, crossing, names), EXAMPLES, batch_size=3).scores.double()
    for sentence, row in zip(SENTENCES, scores, strict=True):
        texts = [encode(crossing, f"{prompt(sentence, names)} {name}") for name in names]
        whole = torch.stack([token_log_probs(llama, ids).sum() for ids in texts])
        torch.testing.assert_close(row - row[0], whole - whole[0], atol=1e-5, rtol=0)


def test_names_that_the_tokenizer_cannot_tell_apart_are_refused(files):
    tokenizer = Tokenizer(tokenizer_model=files["sentencepiece"])
    with pytest.raises(UserError, match="no tokens of its own for the label ' good '; rename it"):
        FullScoring(random_llama(tokenizer.n_words), tokenizer, ["good", " good "])


# Models and classifiers of an earlier course


class CourseLlama(nn.Module):
    """Knows no mask and no cache."""

    def __init__(self, llama: Llama) -> None:
        super().__init__()
        self.config, self.inner, self.output = llama.config, llama, llama.output

    def forward(self, tokens, targets=None):
        return self.inner(tokens, targets)


class CourseClassifier(nn.Module):
    """As the courses have it: tokens in, padding and all; the last position is the last of the rectangle."""

    def __init__(self, classifier: LlamaZeroShotClassifier) -> None:
        super().__init__()
        self.llama, self.label_name_ids = CourseLlama(classifier.llama), classifier.label_name_ids

    def forward(self, input_ids):
        log_probs = F.log_softmax(self.llama(input_ids)[0][:, -1], dim=-1)
        return torch.stack([log_probs[:, ids].sum(dim=-1) for ids in self.label_name_ids], dim=-1)


@two_kinds
def test_a_classifier_without_a_mask_never_sees_padding(tokenizer, classifier):
    old = CourseScoring(CourseClassifier(classifier), tokenizer, NAMES)
    new = CourseScoring(classifier, tokenizer, NAMES)
    examples = EXAMPLES + EXAMPLES[::-1]
    expected = predict(new, examples, batch_size=4).scores
    torch.testing.assert_close(predict(old, examples, batch_size=4).scores, expected, atol=1e-5, rtol=0)


@two_kinds
def test_our_classifier_around_a_model_without_a_mask_works_too(tokenizer, classifier):
    expected = predict(CourseScoring(classifier, tokenizer, NAMES), EXAMPLES, batch_size=4).scores
    classifier.llama = CourseLlama(classifier.llama)
    found = predict(CourseScoring(classifier, tokenizer, NAMES), EXAMPLES, batch_size=4).scores
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_full_score_of_a_model_without_a_cache_is_refused(files):
    tokenizer = Tokenizer(tokenizer_model=files["json"])
    with pytest.raises(UserError, match="use --prompt_scoring course"):
        FullScoring(CourseLlama(random_llama(tokenizer.n_words)), tokenizer, NAMES)


# A real model


@pytest.fixture(scope="module")
def smollm2() -> models.LoadedModel:
    from llamalab import assets

    path: Path | None = assets.locate("smollm2")
    if path is None:
        pytest.skip("smollm2 is not here: python -m llamalab.assets fetch smollm2")
    return models.load(path)


def test_smollm2_prefers_praise_for_praise(asset, smollm2):
    names = sentences.read_label_names(asset("cfimdb-label-mapping"))
    praise = Example(1, "A wonderful, moving film: I loved every minute and would gladly watch it again.")
    blame = Example(0, "A dreadful, boring mess: I hated every minute and walked out before the end.")
    found = predict(FullScoring(smollm2.llama, smollm2.tokenizer, names), [praise, blame], 2, calibrate=True)
    assert found.labels == [1, 0]


def test_smollm2_scores_sst_sentences(asset, smollm2):
    names = sentences.read_label_names(asset("sst-label-mapping"))
    examples = sentences.read_examples(asset("sst-dev"), len(names))[:4]
    scores = predict(FullScoring(smollm2.llama, smollm2.tokenizer, names), examples, 4).scores
    assert scores.isfinite().all() and (scores.exp().sum(dim=1) < 1).all()
