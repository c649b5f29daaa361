"""How fast a classifier trains: this project's loop beside transformers with torch's AdamW, on SST, in one run.

    .venv/bin/python -m benchmarks.finetune                              # stories42M's shape, 100 steps, 20 minutes
    .venv/bin/python -m benchmarks.finetune --model smollm2 --steps 10 --cases llamalab transformers
                                                                         # the real model, 7 minutes, 17 GB of memory

All cases begin with the same weights, see the same sentences (the first steps * batch of a shuffled sst-train) with the
same optimiser settings, and take steps in turns, so that a slow minute of the machine falls on all of them:

    llamalab       the loop of llamalab.training: batches of similar length, nothing computed twice or for nobody
    as written     the same loop over the code of llama.py as it is
    transformers   LlamaForSequenceClassification, torch's AdamW, batches in shuffled order padded to their longest row

Everything is float32. stdout gets one JSON line:

    train_per_s    sentences a second, forward, backward and optimiser
    eval_per_s     sentences of sst-dev a second
    dev_loss       nats a sentence on these, after the last step
    first_s        the first step, which also claims memory; not in train_per_s
    peak_mb        largest resident memory of the process
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from benchmarks.cases import PEER, Process, add_ratios, measured_on, peak_mb
from llamalab import assets, formats, models
from llamalab.data.sentences import encode_examples, pad_right, read_examples
from llamalab.training.finetune import Loop, Settings, Split, epoch_batches, evaluate
from llamalab.training.runs import Position, Run

CASES = ("llamalab", "as written", PEER)
STORIES42M = dict(vocab_size=32000, dim=512, n_layers=8, n_heads=8, n_kv_heads=8, hidden_dim=1376, max_seq_len=1024)
LABELS, LEARNING_RATE, SEED = 5, 2e-5, 1

# A case is (train one step: number -> sentences, evaluate: () -> loss).
Case = tuple[Callable[[int], int], Callable[[], float]]
running: Case  # in the process of a case


def prepare(model: str, folder: Path) -> None:
    """Write the weights that all cases begin with: for us, for transformers, and the head."""
    torch.manual_seed(SEED)
    if model == "stories42M":
        from config import LlamaConfig
        from llama import Llama

        config = LlamaConfig(**STORIES42M)
        weights = Llama(config).state_dict()
        checkpoint = formats.Checkpoint(
            config.to_dict(), weights, "llamalab", folder, assets.locate("llama2-tokenizer")
        )
    else:
        checkpoint = formats.load(assets.locate("smollm2"))
    formats.save(checkpoint, folder / "ours", "llamalab")
    formats.save(checkpoint, folder / "theirs", "huggingface")
    save_file({"weight": 0.02 * torch.randn(LABELS, checkpoint.config["dim"])}, folder / "head.safetensors")


def data(folder: Path, sentences: int) -> tuple[Split, Split, int]:
    """Training sentences in shuffled order, dev, and the padding id."""
    tokenizer = models.open_tokenizer(folder / "ours")
    splits = []
    for name in ("train", "dev"):
        examples = read_examples(assets.locate(f"sst-{name}"), LABELS)
        if name == "train":
            order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(SEED)).tolist()
            examples = [examples[i] for i in order[:sentences]]
        splits.append(Split(name, examples, encode_examples(examples, tokenizer, 1024, eos=False)[0]))
    return *splits, max(tokenizer.pad_id, 0)


def ours(folder: Path, batch_size: int, steps: int, short: bool) -> Case:
    """The loop of llamalab.training.finetune; ``short`` lets it leave out what nobody reads."""
    from classifier import LlamaEmbeddingClassifier
    from llamalab.fast.prefixes import read_last_tokens
    from llamalab.training.allocator import keep_freed_memory
    from optimizer import AdamW

    keep_freed_memory()
    training, dev, pad_id = data(folder, steps * batch_size)
    config = SimpleNamespace(pretrained_model_path=folder / "ours", num_labels=LABELS, hidden_dropout_prob=0.0)
    classifier = LlamaEmbeddingClassifier(config)
    with torch.no_grad():
        classifier.classifier_head.weight.copy_(load_file(folder / "head.safetensors")["weight"])
        classifier.classifier_head.bias.zero_()
    if short and not read_last_tokens(classifier.llama):
        sys.exit("llama.py computes something else than Llama 2")
    optimizer = AdamW(classifier.parameters(), lr=LEARNING_RATE)
    settings = Settings(1, batch_size, LEARNING_RATE, SEED)
    run = Run(Path(tempfile.mkdtemp(dir=folder)), {})
    loop = Loop(classifier, optimizer, pad_id, training, dev, settings, run, Position())
    batches = epoch_batches([len(row) for row in training.rows], settings, 0)

    def train(number: int) -> int:
        loop.step(batches[number])
        return len(batches[number])

    classifier.train()
    return train, lambda: evaluate(classifier, pad_id, dev, settings).loss


def theirs(folder: Path, batch_size: int, steps: int) -> Case:
    """transformers and torch, as a first script would have them."""
    import transformers

    transformers.logging.set_verbosity_error()
    training, dev, pad_id = data(folder, steps * batch_size)
    model = transformers.LlamaForSequenceClassification.from_pretrained(
        folder / "theirs", num_labels=LABELS, dtype=torch.float32
    )
    model.config.pad_token_id = pad_id
    with torch.no_grad():
        model.score.weight.copy_(load_file(folder / "head.safetensors")["weight"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, eps=1e-6, weight_decay=0.0)

    def loss(split: Split, start: int) -> torch.Tensor:
        ids, mask = pad_right(split.rows[start : start + batch_size], pad_id)
        labels = torch.tensor(split.labels[start : start + batch_size])
        last = mask.sum(dim=1) - 1
        logits = model.score(model.model(input_ids=ids, attention_mask=mask).last_hidden_state)
        return F.cross_entropy(logits[torch.arange(len(last)), last], labels, reduction="sum")

    def train(number: int) -> int:
        model.train()
        optimizer.zero_grad()
        (loss(training, number * batch_size) / batch_size).backward()
        optimizer.step()
        return batch_size

    @torch.no_grad()
    def assess() -> float:
        model.eval()
        return sum(loss(dev, start).item() for start in range(0, len(dev.rows), batch_size)) / len(dev.rows)

    return train, assess


def begin(case: str, folder: Path, batch_size: int, steps: int) -> None:
    """Load a case in the process that is to run it."""
    global running
    if case == PEER:
        running = theirs(folder, batch_size, steps)
    else:
        running = ours(folder, batch_size, steps, short=case == "llamalab")


def timed(number: int | None) -> dict[str, float]:
    """Train a step, or evaluate for None, in the process of a case."""
    train, assess = running
    began = time.perf_counter()
    result = {"loss": assess()} if number is None else {"sentences": train(number)}
    return {**result, "seconds": time.perf_counter() - began, "peak_mb": peak_mb()}


def figures_of(steps: list[dict[str, float]], evaluation: dict[str, float]) -> dict[str, float]:
    """A case's figures, from what was timed."""
    later = steps[1:]
    sentences = len(read_examples(assets.locate("sst-dev"), LABELS))
    return {
        "train_per_s": round(sum(s["sentences"] for s in later) / sum(s["seconds"] for s in later), 2),
        "eval_per_s": round(sentences / evaluation["seconds"], 2),
        "dev_loss": round(evaluation["loss"], 4),
        "first_s": round(steps[0]["seconds"], 2),
        "peak_mb": round(evaluation["peak_mb"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("stories42M", "smollm2"), default="stories42M", help="(default: its shape)")
    parser.add_argument("--steps", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=80, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    if args.steps < 2:
        parser.error("--steps must be at least 2: the first one is left out")
    for name in ("sst-train", "sst-dev", "llama2-tokenizer" if args.model == "stories42M" else "smollm2"):
        if assets.locate(name) is None:
            sys.exit(f"{name} is not here; fetch it with `python -m llamalab.assets fetch {name}`")
    os.environ["OMP_WAIT_POLICY"] = "passive"  # a case that waits for its turn must not take the other's processor
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(args.model, folder)
        settings = (folder, args.batch_size, args.steps)
        processes = {case: Process(case, args.threads, begin, case, *settings) for case in args.cases}
        steps = {case: [] for case in args.cases}
        for number in range(args.steps):
            for case, process in processes.items():
                steps[case].append(process.call(timed, number))
            last = ", ".join(f"{case} {done[-1]['seconds']:.1f} s" for case, done in steps.items())
            print(f"step {number + 1}/{args.steps}: {last}", file=sys.stderr, flush=True)
        figures = {}
        for case, process in processes.items():
            figures[case] = figures_of(steps[case], process.call(timed, None))
            process.shutdown()
    add_ratios(figures, ("train_per_s", "eval_per_s"))
    report = {
        "benchmark": "finetune",
        "model": args.model,
        "steps": args.steps,
        "batch_size": args.batch_size,
        "cases": figures,
        **measured_on(args.threads),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
