"""What a fast mode costs in quality: perplexity on WikiText-2, SmolLM2-135M.

    .venv/bin/python -m benchmarks.perplexity                  # the first 20,000 tokens, every mode
    .venv/bin/python -m benchmarks.perplexity --tokens 4000 --modes float32 int8

The text is cut into windows of 1,024 tokens that do not overlap; every token but the first of a window is predicted
from those before it in its window. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from llamalab import assets, models

MODES = ("float32", "bfloat16", "float16", "int8")


@torch.inference_mode()
def perplexity(llama: torch.nn.Module, ids: list[int], window: int) -> float:
    """``exp`` of the mean negative log-likelihood over all predicted tokens."""
    total, count = 0.0, 0
    for start in range(0, len(ids) - 1, window):
        tokens = torch.tensor([ids[start : start + window]])
        logits, _ = llama(tokens, targets=tokens)
        total += F.cross_entropy(logits[0, :-1].float(), tokens[0, 1:], reduction="sum").item()
        count += tokens.shape[1] - 1
    return math.exp(total / count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--tokens", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--window", type=int, default=1024, help="(default: %(default)s)")
    parser.add_argument("--text", type=Path, help="(default: WikiText-2's test split as fetched)")
    args = parser.parse_args()

    text, model = args.text or assets.locate("wikitext2-test"), assets.locate("smollm2")
    if text is None or model is None:
        sys.exit("fetch the text and the model with `python -m llamalab.assets fetch wikitext2-test smollm2`")
    figures = {}
    for mode in args.modes:
        loaded = models.open_model(str(model), mode, use_gpu=False)
        ids = loaded.tokenizer.encode(text.read_text(encoding="utf-8"), bos=False, eos=False)[: args.tokens]
        figures[mode] = round(perplexity(loaded.llama, ids, args.window), 4)
        print(f"{mode}: {figures[mode]}", file=sys.stderr)
    ratios = {mode: round(value / figures["float32"], 4) for mode, value in figures.items() if "float32" in figures}
    print(json.dumps({"benchmark": "perplexity", "tokens": args.tokens, "perplexity": figures, "ratio": ratios}))


if __name__ == "__main__":
    main()
