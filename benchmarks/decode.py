"""How fast text comes: this project's modes beside transformers, on SmolLM2-135M, in one run.

    .venv/bin/python -m benchmarks.decode                     # every case three times, 5 to 10 minutes
    .venv/bin/python -m benchmarks.decode --repeats 1 --cases float32 transformers

Each case is a process of its own: it loads the model, continues one prompt by 128 greedy tokens, then continues 16
prompts of unequal length by 32 tokens each as one batch. Cases take turns, so that a slow minute of the machine falls
on all of them. stdout gets one JSON line with the median of each figure and its ratio to transformers in float32:

    tokens_per_s        decoding one row, the first token left out
    first_token_s       from the start of the process to the first token, imports and loading included
    peak_mb             largest resident memory of the process
    read_gb_per_s       tokens_per_s times the bytes of all weights, which is what decoding has to read; beside it
                        bandwidth_gb_per_s, what this machine reads with the same threads when it does nothing else
    batch_tokens_per_s  16 rows together, the prompts' forward pass included
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import PEER, Process, add_ratios, measured_on, peak_mb

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, PEER: 4}
PROMPT = "The history of the city begins with a small settlement on the bank of the river."
NEW, BATCH, BATCH_NEW = 128, 16, 32
WORDS = "When the train stopped at the last station before the mountains nobody got off and the driver waited".split()
PROMPTS = [" ".join((WORDS * 4)[: 3 + 4 * i]) for i in range(BATCH)]  # 3 to 63 words

# A runner takes (prompts as token ids, new tokens, callback for each step) and decodes greedily, never stopping early.
Runner = Callable[[Sequence[list[int]], int, Callable[[], None]], None]


def ours(model: Path, dtype: str) -> tuple[Runner, Callable[[str], list[int]]]:
    """This project's decoder and its tokenizer."""
    from llamalab import generation, models

    loaded = models.open_model(str(model), dtype, use_gpu=False)

    def run(rows: Sequence[list[int]], new: int, step: Callable[[], None]) -> None:
        ids, mask = generation.left_pad(rows, loaded.tokenizer.pad_id)
        loaded.llama.generate(
            ids, new, temperature=0.0, attention_mask=None if mask.all() else mask, on_token=lambda _: step()
        )

    return run, lambda text: generation.prompt_ids(loaded.tokenizer, text)


def theirs(model: Path) -> tuple[Runner, Callable[[str], list[int]]]:
    """transformers, float32, with its own cache and left padding."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
    llama = transformers.AutoModelForCausalLM.from_pretrained(
        model.parent, gguf_file=model.name, dtype=torch.float32
    ).eval()

    def run(rows: Sequence[list[int]], new: int, step: Callable[[], None]) -> None:
        from llamalab.generation import left_pad

        def stop(*_: object) -> bool:  # asked after each token
            step()
            return False

        ids, mask = left_pad(rows, tokenizer.pad_token_id)
        with torch.inference_mode():
            llama.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                stopping_criteria=transformers.StoppingCriteriaList([stop]),
            )

    return run, lambda text: tokenizer.encode(text)


def measure(case: str, model: Path, started: float) -> dict[str, float]:
    """Run one case in this process. ``started``: when the process was started, in ``time.time()``."""
    run, encode = theirs(model) if case == PEER else ours(model, case)
    times: list[float] = []
    run([encode(PROMPT)], NEW, lambda: times.append(time.time()))
    rows = [encode(text) for text in PROMPTS]
    begun = time.time()
    run(rows, BATCH_NEW, lambda: None)
    batch_s = time.time() - begun
    return {
        "tokens_per_s": (len(times) - 1) / (times[-1] - times[0]),
        "first_token_s": times[0] - started,
        "batch_tokens_per_s": BATCH * BATCH_NEW / batch_s,
        "peak_mb": peak_mb(),
    }


def bandwidth() -> float:
    """GB/s at which this machine reads memory when it does nothing else: the best of several sums over 1 GiB."""
    block = torch.ones(1 << 28)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        block.sum()
        best = min(best, time.perf_counter() - begun)
    return block.nbytes / best / 1e9


def alone(case: str, threads: int, function: Callable, *arguments: Any) -> Any:
    """What a function returns in a new process."""
    with Process(case, threads) as process:
        return process.call(function, *arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=BYTES, default=list(BYTES))
    parser.add_argument("--repeats", type=int, default=3, help="times every case is run (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--model", type=Path, help="(default: SmolLM2 as fetched)")
    args = parser.parse_args()

    from llamalab import assets, formats

    model = args.model or assets.locate("smollm2")
    if model is None:
        sys.exit("SmolLM2 is not here; fetch it with `python -m llamalab.assets fetch smollm2`")
    parameters = formats.inspect(model)["parameters"]
    runs: dict[str, list[dict[str, float]]] = {case: [] for case in args.cases}
    bandwidths = []
    for repeat in range(args.repeats):
        bandwidths.append(alone("bandwidth", args.threads, bandwidth))
        for case in args.cases:
            runs[case].append(alone(case, args.threads, measure, case, model, time.time()))
            print(f"{repeat + 1}/{args.repeats} {case:13}", runs[case][-1], file=sys.stderr, flush=True)

    figures = {}
    for case, results in runs.items():
        figures[case] = {name: round(statistics.median(r[name] for r in results), 2) for name in results[0]}
        figures[case]["read_gb_per_s"] = round(figures[case]["tokens_per_s"] * parameters * BYTES[case] / 1e9, 1)
    add_ratios(figures, ("tokens_per_s", "batch_tokens_per_s"))
    report = {
        "benchmark": "decode",
        "model": model.name,
        "parameters": parameters,
        "cases": figures,
        "bandwidth_gb_per_s": round(max(bandwidths), 1),
        "repeats": args.repeats,
        **measured_on(args.threads),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
