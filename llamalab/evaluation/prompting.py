"""Zero-shot prompting: ask a language model about a sentence, and score every label's name as its answer.

The prompt is the courses': the sentence, then ``Is this movie bad or good? This movie is ``. The label whose name
scores best is the prediction. There are two scores.

**The course score** is ``classifier.LlamaZeroShotClassifier``'s: the log-probabilities of the name's tokens, all read
where the prompt ends. For a name of two tokens, "aw" "ful", that is ``log P(aw | prompt) + log P(ful | prompt)``. But
"ful" is a bad way to *begin* an answer and a very good way to go on after "aw", so names of several tokens lose,
whatever they mean. The prompt also ends with a space, and tokenizers keep a space together with the word after it:
once "is" and " " are cut apart, what follows, "good" to GPT-2's kind or a second space and "good" to sentencepiece's,
is something the model has hardly ever read.

**The full score** is the probability that the model writes the name. By the chain rule,

    log P(name | prompt) = log P(aw | prompt) + log P(ful | prompt aw)

with the prompt up to "is" and the space given to the name. Sums are not divided by their number of tokens: a long name
*is* less probable.

**Calibration** works with either score. A model has a favourite answer before it has read a sentence: common words beat
rare ones, short names long ones, and what it would give to "excellent" it shares out among "great", "superb" and all
other ways to say so (surface form competition, Holtzman et al. 2021, https://arxiv.org/abs/2104.08315). The preference
shows in the answer to a prompt without content, here the question alone, and can be subtracted:

    log P(name | sentence, question) - log P(name | question)

This says how much the sentence *raises* the probability of the name. It is Holtzman's domain conditional pointwise
mutual information, and chooses as contextual calibration does (Zhao et al. 2021, https://arxiv.org/abs/2102.09690, who
ask about "N/A" instead of nothing).

Shapes: N examples, B batch, T sequence, V vocabulary, L labels.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from llamalab import course
from llamalab.data.sentences import UNKNOWN, Example, length_batches
from llamalab.errors import UserError
from llamalab.generation import left_pad

if TYPE_CHECKING:
    from base_llama import KVCache
    from classifier import LlamaZeroShotClassifier
    from llama import Llama
    from tokenizer import Tokenizer

CONTENT_FREE = Example(UNKNOWN, "")


def prompt_suffix(label_names: Sequence[str]) -> str:
    """The courses' question, which follows each sentence and a space. It ends with a space.

    >>> prompt_suffix(["bad", "good"])
    'Is this movie bad or good? This movie is '
    >>> prompt_suffix(["bad", "average", "good"])
    'Is this movie bad, average, or good? This movie is '
    """
    *others, last = label_names
    listed = " or ".join(label_names) if len(others) < 2 else f"{', '.join(others)}, or {last}"
    return f"Is this movie {listed}? This movie is "


def encode_prompts(
    examples: Sequence[Example], tokenizer: Tokenizer, suffix: str, max_len: int
) -> tuple[list[list[int]], int]:
    """Token ids of every sentence with the question after it, and how many sentences were cropped.

    A row begins with BOS if the model was trained so, and does not end with EOS: the answer is to come. What is cropped
    is the end of the sentence. (The courses crop the end of the whole text, and a long review loses its question.) An
    empty sentence is the question alone.

    Args:
        suffix: the question.
        max_len: tokens in all, BOS and question included.

    Raises:
        UserError: a sentence must be cropped, and ``max_len`` has no room for even one token of it.
    """
    rows, cropped = [], 0
    for example in tqdm(examples, "encoding", unit=" prompts", delay=2, leave=False, disable=None):
        text = f"{example.sentence} {suffix}" if example.sentence else suffix
        row = tokenizer.encode(text, bos=tokenizer.add_bos, eos=False)
        if len(row) > max_len:
            row = _crop(row, example.sentence, tokenizer, max_len)
            cropped += 1
        rows.append(row)
    return rows, cropped


def _crop(row: list[int], sentence: str, tokenizer: Tokenizer, max_len: int) -> list[int]:
    """Take tokens from the end of the sentence, which ends where the row stops agreeing with its encoding alone."""
    alone = tokenizer.encode(sentence, bos=tokenizer.add_bos, eos=False)
    question = row[_shared(row, alone) :]
    room = max_len - len(question)
    if room <= tokenizer.add_bos:
        raise UserError(
            f"{max_len} tokens have no room for a sentence, because the question alone takes {len(question)}; "
            "raise --max_sentence_len, shorten the label names or take a model with a larger window"
        )
    return row[:room] + question


def _shared(*rows: list[int]) -> int:
    """How many tokens all rows begin with."""
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False)))


class CourseScoring:
    """The courses' score, by the student's own classifier.

    A classifier or model written for an earlier course knows no attention mask; its batches then hold prompts of
    equal length, which need none.

    Args:
        classifier: set to evaluation mode here.
        tokenizer: the one the classifier was made with.
        label_names: one a label, in the order of the label ids.

    Raises:
        UserError: a name without tokens, or two with the same.
    """

    def __init__(self, classifier: LlamaZeroShotClassifier, tokenizer: Tokenizer, label_names: Sequence[str]) -> None:
        _check_names(label_names, [tokenizer.encode(name, bos=False, eos=False) for name in label_names], tokenizer)
        self.classifier = classifier.eval()
        self.tokenizer = tokenizer
        self.suffix = prompt_suffix(label_names)
        self.longest_prompt = classifier.llama.config.max_seq_len
        self.masks = _takes(classifier, "attention_mask") and _takes(classifier.llama, "attention_mask")

    def __call__(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Token ids and mask (B, T), padded on the left -> (B, L)."""
        device = next(self.classifier.parameters()).device
        if attention_mask.all():
            return self.classifier(ids.to(device))
        return self.classifier(ids.to(device), attention_mask=attention_mask.to(device))


class FullScoring:
    """The log-probability that the model writes a label's name after the prompt, all tokens of it.

    The prompt ends before its last space, which belongs to the names. A name's tokens are those of "question name" that
    the question alone does not have. With nearly every tokenizer that is what " name" comes to. Where a token may hold
    several words, as "is good", the prompt gives up the tokens in question and the names begin there; then the scores
    have a summand in common, and their differences are those of the whole texts.

    The model reads the prompt once. Its keys and values stay in a cache; each name of more than one token then runs
    over the cache and is forgotten for the next.

    Args:
        llama: set to evaluation mode here.
        tokenizer: the model's.
        label_names: one a label, in the order of the label ids.

    Raises:
        UserError: a name without tokens, two with the same, or a model whose ``forward`` takes no mask or no cache.
    """

    masks = True

    def __init__(self, llama: Llama, tokenizer: Tokenizer, label_names: Sequence[str]) -> None:
        if not _takes(llama, "targets", "attention_mask", "cache"):
            raise UserError(
                "the full score needs a model whose forward() takes targets, attention_mask and cache; "
                "use --prompt_scoring course"
            )
        self.llama = llama.eval()
        self.tokenizer = tokenizer
        self.suffix = prompt_suffix(label_names).rstrip()
        question = tokenizer.encode(self.suffix, bos=False, eos=False)
        answered = [tokenizer.encode(f"{self.suffix} {name.strip()}", bos=False, eos=False) for name in label_names]
        shared = _shared(question, *answered)
        self.given_up = len(question) - shared  # tokens at the end of the prompt, 0 with nearly every tokenizer
        self.name_ids = [ids[shared:] for ids in answered]
        _check_names(label_names, self.name_ids, tokenizer)
        self.longest_name = max(map(len, self.name_ids))
        self.longest_prompt = llama.config.max_seq_len - (self.longest_name - 1)  # a last token is predicted, not read

    def __call__(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Token ids and mask (B, T), padded on the left -> (B, L)."""
        T = ids.shape[1] - self.given_up
        ids, mask = ids[:, :T].to(self.llama.device), attention_mask[:, :T].to(self.llama.device)
        B = ids.shape[0]
        capacity = T + self.longest_name - 1
        cache = course.get("base_llama").KVCache(self.llama.config, B, capacity, self.llama.dtype, self.llama.device)
        logits, _ = self.llama(ids, attention_mask=mask, cache=cache)
        first = F.log_softmax(logits[:, -1].float(), dim=-1)  # (B, V)
        scores = []
        for name in self.name_ids:
            score = first[:, name[0]]
            if len(name) > 1:
                cache.length = T  # forget the name before
                score = score + self._rest(torch.tensor(name, device=ids.device), mask, cache)
            scores.append(score)
        return torch.stack(scores, dim=-1)

    def _rest(self, name: torch.Tensor, mask: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """Log-probability of a name's tokens after its first, given the cached prompt: (n,) -> (B,)."""
        B, n = mask.shape[0], len(name)
        read, predicted = name[:-1].expand(B, -1), name[1:].expand(B, -1)  # (B, n - 1)
        logits, _ = self.llama(read, targets=predicted, attention_mask=F.pad(mask, (0, n - 1), value=1), cache=cache)
        log_probs = F.log_softmax(logits.float(), dim=-1)  # (B, n - 1, V)
        return log_probs.gather(2, predicted.unsqueeze(2)).sum(dim=(1, 2))


Scoring = CourseScoring | FullScoring


def _check_names(label_names: Sequence[str], name_ids: list[list[int]], tokenizer: Tokenizer) -> None:
    """Refuse names that the tokenizer cannot tell from nothing or from each other."""
    for i, ids in enumerate(name_ids):
        if not ids or ids in name_ids[:i]:
            raise UserError(f"{tokenizer.path} has no tokens of its own for the label {label_names[i]!r}; rename it")


def _takes(module: nn.Module, *names: str) -> bool:
    return set(names) <= set(inspect.signature(module.forward).parameters)


@dataclass(frozen=True)
class Predictions:
    """What a model says about a data set, in its order."""

    labels: list[int]  # the label with the best score, for each example
    scores: torch.Tensor  # (N, L) float32 on the CPU: log-probabilities or, calibrated, differences of them
    cropped: int  # sentences that lost their end


def predict(
    scoring: Scoring,
    examples: Sequence[Example],
    batch_size: int,
    max_len: int | None = None,
    calibrate: bool = False,
) -> Predictions:
    """Ask about every sentence.

    Neither ``batch_size`` nor the order of the examples changes a score.

    Args:
        max_len: tokens of a prompt, the question included. None, or more than fits: as many as the window holds.
        calibrate: subtract the scores of the question alone.

    Raises:
        UserError: ``max_len`` has no room for the question and a token of the sentence.
    """
    max_len = scoring.longest_prompt if max_len is None else min(max_len, scoring.longest_prompt)
    rows, cropped = encode_prompts(examples, scoring.tokenizer, scoring.suffix, max_len)
    scores = score(scoring, rows, batch_size)
    if calibrate:
        alone, _ = encode_prompts([CONTENT_FREE], scoring.tokenizer, scoring.suffix, max_len)
        scores = scores - score(scoring, alone, batch_size)
    return Predictions(scores.argmax(dim=1).tolist(), scores, cropped)


def score(scoring: Scoring, rows: Sequence[Sequence[int]], batch_size: int) -> torch.Tensor:
    """Scores of encoded prompts, in their order: N rows -> (N, L), float32 on the CPU."""
    lengths = [len(row) for row in rows]
    batches = length_batches(lengths, batch_size)
    if not scoring.masks:
        batches = [list(equal) for batch in batches for _, equal in itertools.groupby(batch, lengths.__getitem__)]
    scores = []
    with tqdm(desc="prompting", total=len(rows), unit=" sentences", leave=False, disable=None) as progress:
        for batch in batches:
            ids, mask = left_pad([rows[i] for i in batch], scoring.tokenizer.pad_id)
            with torch.inference_mode():
                scores.append(scoring(ids, mask).float().cpu())
            progress.update(len(batch))
    order = torch.tensor(list(itertools.chain.from_iterable(batches)))
    return torch.cat(scores)[order.argsort()]
