"""llamalab VERB ...: every command of the runtime by one name; also ``python -m llamalab``.

A verb's module is imported once its verb is given, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from llamalab import command

EXAMPLES = """\
examples:
  llamalab assets fetch default                           what setup.sh fetches
  llamalab generate --prompt "Once upon a time" --temperature 0.8 --top_p 0.9
  llamalab lora --lora_rank 16 --lora_alpha 32 --lr 1e-3 --epochs 3
  llamalab data show data/sst-train.txt --label-names data/sst-label-mapping.json
  llamalab convert ckpt/stories42M.pt stories42M.gguf
  llamalab submission check TURING_LOVELACE.zip
  llamalab generate --help                                the options of one verb, and more examples
"""

MODEL_VERBS = {  # what it does, and how it is called
    "generate": (
        "continue a text",
        'llamalab generate --prompt "Once upon a time" --temperature 0.8 --top_p 0.9',
        "llamalab generate --dtype int8                          the fastest mode on a CPU",
    ),
    "prompt": (
        "classify sentences by asking the model which label's name comes next",
        "llamalab prompt --batch_size 10                         CFIMDB, the default data",
        "llamalab prompt --prompt_scoring full --calibrate",
    ),
    "finetune": (
        "train the whole model to classify sentences",
        "llamalab finetune --epochs 5 --lr 2e-5 --batch_size 80",
        "llamalab finetune --epochs 5 --resume                   go on with that run where it stopped",
    ),
    "lora": (
        "train adapters beside a frozen model to classify sentences",
        "llamalab lora --lora_rank 16 --lora_alpha 32 --lr 1e-3 --epochs 3",
        "llamalab lora --seeds 1,2,3                             three runs, their mean and deviation",
    ),
}
OTHER_VERBS = {  # what it does, the module whose ``main`` does it, and whether that has sub-commands of its own
    "assets": ("list, fetch, verify and find checkpoints, tokenizers and data", "llamalab.assets.__main__", True),
    "data": ("look at labelled sentences; make data files of the movie reviews", "llamalab.data.__main__", True),
    "inspect": ("show a checkpoint's format, config, size and tokenizer", "llamalab.formats.__main__", False),
    "convert": ("write a checkpoint in another format", "llamalab.formats.__main__", False),
    "submission": ("pack a course submission, and check one", "llamalab.submission", True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    verb, rest = (argv[0], argv[1:]) if argv else ("", [])
    if verb in MODEL_VERBS:
        from llamalab import run_model

        about, *examples = MODEL_VERBS[verb]
        epilog = "\n  ".join(["examples:", *examples])
        return run_model.main(rest, run_model.verb(f"llamalab {verb}", verb, f"{about.capitalize()}.", epilog))
    if verb in OTHER_VERBS:
        _, module, has_commands = OTHER_VERBS[verb]
        run = importlib.import_module(module).main
        return run(rest, f"llamalab {verb}") if has_commands else run(argv, "llamalab")
    return command.run(_parser(), argv)


def _parser() -> argparse.ArgumentParser:
    """What --help shows, and what refuses a verb that there is not."""
    parser = command.parser("llamalab", "Run a language model, train it, and look after its files.", EXAMPLES)
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    for name, (about, *_) in (MODEL_VERBS | OTHER_VERBS).items():
        verbs.add_parser(name, help=about)
    return parser


if __name__ == "__main__":
    sys.exit(main())
