"""Run the model: generate text, classify sentences by asking it, finetune it, all of it or with LoRA.

    python run_llama.py --option generate --prompt "Once upon a time" --temperature 0.8 --top_p 0.9
    python run_llama.py --option prompt   --dev data/sst-dev.txt --test data/sst-test.txt \\
                                          --label-names data/sst-label-mapping.json
    python run_llama.py --option finetune --train data/sst-train.txt ... --epochs 5 --lr 2e-5 --batch_size 80
    python run_llama.py --option lora     --train data/sst-train.txt ... --lora_rank 4 --lora_alpha 1.0
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from llamalab import run_model

EXAMPLES = """examples:
  python run_llama.py --option generate
      continue the course's sentence about Victor Frankenstein twice, at temperature 0 and at 1
  python run_llama.py --option generate --prompt "Once upon a time" --temperature 0.8 --top_p 0.9
      continue your own prompt once and print it
  python run_llama.py --option generate --pretrained-model-path ckpt/stories260K.bin --max_new_tokens 200
      use another model: llama2.c .pt or .bin, GGUF, a Hugging Face directory or one of this project's
  python run_llama.py --option generate --dtype int8
      the fastest mode on a CPU
  python run_llama.py --option prompt --batch_size 10
      ask the model about every sentence of CFIMDB, the default data
  python run_llama.py --option prompt --prompt_scoring full --calibrate --dev data/sst-dev.txt \\
      --test data/sst-test.txt --label-names data/sst-label-mapping.json
  python run_llama.py --option finetune --epochs 5 --lr 2e-5 --batch_size 80 --train data/sst-train.txt \\
      --dev data/sst-dev.txt --test data/sst-test.txt --label-names data/sst-label-mapping.json --report report
  python run_llama.py --option lora --lora_rank 16 --lora_alpha 32 --lr 1e-3 --epochs 3 --batch_size 10
  python run_llama.py --option finetune --epochs 5 --resume
      go on with the same command's run after Ctrl-C, a crash or a power cut

Data files hold one `label ||| sentence` a line; -1 is an unknown label. Text and figures go to
stdout, the rest to stderr.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    return run_model.main(argv, run_model.parser("python run_llama.py", EXAMPLES))


if __name__ == "__main__":
    sys.exit(main())
