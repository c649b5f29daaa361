"""The commands that run a model: generate, prompt, finetune and lora, by verb or by run_llama.py's ``--option``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from llamalab import command, places
from llamalab.command import between
from llamalab.errors import Misuse

VICTOR = (
    "Victor Frankenstein, a young scientist obsessed with uncovering the secrets of life, "
    "succeeds in animating a creature assembled from"
)

MANY = 1_000_000

Add = Callable[..., argparse.Action]


def main(argv: Sequence[str] | None, parser: argparse.ArgumentParser) -> int:
    """Run one command; returns its exit status."""
    parser.set_defaults(run=_run)
    return command.run(parser, argv, failed=1)


def parser(prog: str, examples: str) -> argparse.ArgumentParser:
    """The options of all four commands, ``--option`` among them. Names and defaults are those of the courses."""
    parser = command.parser(prog, "Run the Llama in llama.py.", examples)
    parser.add_argument("--option", choices=GROUPS, default="generate", help="what to do")
    _add_common(parser.add_argument)
    _add_generate(parser.add_argument_group("generate").add_argument)
    _add_data(parser.add_argument_group("prompt, finetune and lora").add_argument)
    _add_prompt(parser.add_argument_group("prompt").add_argument)
    _add_learning(parser.add_argument_group("finetune and lora").add_argument)
    _add_lora(parser.add_argument_group("lora").add_argument)
    return parser


def verb(prog: str, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    """The options of one of the four."""
    parser = command.parser(prog, about, examples)
    parser.set_defaults(option=name)
    for add_options in (_add_common, *GROUPS[name]):
        add_options(parser.add_argument)
    return parser


def _add_common(add: Add) -> None:
    add("--pretrained-model-path", metavar="PATH", help="checkpoint to use (default: the first that has been fetched)")
    add("--seed", type=int, default=1337, help="of everything random")
    add("--use_gpu", action="store_true", help="run on the GPU; an error if there is none")
    add(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "int8"),
        help="generate and prompt: float32, the default, runs llama.py as it is; the others pack its weights and are "
        "faster. finetune and lora: float32, or bfloat16 for autocast (default: float32 on a CPU, where bfloat16 is "
        "slower unless the processor computes in it; bfloat16 on a GPU that does)",
    )


def _add_generate(add: Add) -> None:
    add("--prompt", default=VICTOR, help="text to continue (default: a sentence about Victor Frankenstein)")
    add("--max_new_tokens", type=between(int, 0, MANY), default=75, metavar="N", help="at most this many tokens")
    add(
        "--temperature",
        type=between(float, 0, 100),
        metavar="T",
        help="one continuation, printed: 0 is greedy, 1 the model's own distribution "
        "(default: two continuations, at 0 and at 1, also written to the two files)",
    )
    add("--epsilon", type=between(float, 0, 0.999), metavar="P", help="drop tokens less likely than P")
    add("--top_k", type=between(int, 1, MANY), metavar="K", help="keep the K most likely tokens")
    add("--top_p", type=between(float, 1e-9, 1), metavar="P", help="keep the most likely tokens that together reach P")
    add("--stream", action=argparse.BooleanOptionalAction, help="show text as it comes (default: on a terminal)")
    add("--generated_sentence_low_temp_out", default="generated-sentence-temp-0.txt", metavar="FILE")
    add("--generated_sentence_high_temp_out", default="generated-sentence-temp-1.txt", metavar="FILE")


def _add_data(add: Add) -> None:
    for name in ("train", "dev", "test"):
        add(f"--{name}", default=places.default(f"data/cfimdb-{name}.txt"), metavar="FILE", help="labelled sentences")
    names = places.default("data/cfimdb-label-mapping.json")
    add("--label-names", default=names, metavar="FILE", help="what the labels are called")
    where = "predictions on dev (default: by data and option, such as cfimdb-dev-prompting-output.txt)"
    add("--dev_out", metavar="FILE", help=where)
    add("--test_out", metavar="FILE", help="predictions on test (default: likewise)")
    window = "crop to N tokens (default: the model's window)"
    add("--max_sentence_len", type=between(int, 1, MANY), metavar="N", help=window)
    add("--batch_size", type=between(int, 1, MANY), default=8, metavar="N", help="sentences at a time")
    add("--report", metavar="DIR", help="also write figures as JSON and plots as PNG into this folder")


def _add_prompt(add: Add) -> None:
    add(
        "--prompt_scoring",
        choices=("course", "full"),
        default="course",
        help="course: a label's tokens, all at the last position; full: the log-probability of the label's whole name "
        "after the prompt",
    )
    add("--calibrate", action="store_true", help="subtract what the model says of the question without a sentence")


def _add_learning(add: Add) -> None:
    add("--epochs", type=between(int, 1, MANY), default=10, metavar="N", help="how often to see the training file")
    add("--lr", type=between(float, 0, 1_000), default=1e-5, metavar="RATE", help="learning rate")
    add("--hidden_dropout_prob", type=between(float, 0, 0.999), default=0.3, metavar="P", help="before the head")
    add("--grad_accum", type=between(int, 1, MANY), default=1, metavar="N", help="batches a step; saves memory")
    add("--seeds", type=_seeds, metavar="1,2,3", help="train once for each and print mean and standard deviation")
    add("--run_dir", metavar="DIR", help="log and weights (default: runs/OPTION-DATA-seedN)")
    add("--resume", action="store_true", help="go on with the run in that folder where it stopped")


def _add_lora(add: Add) -> None:
    add("--lora_rank", type=between(int, 1, MANY), default=4, metavar="R", help="rank of the adapters")
    add("--lora_alpha", type=between(float, 0, MANY), default=1.0, metavar="A", help="their strength")
    add(
        "--lora_targets",
        type=lambda text: text.split(","),
        default=["compute_query", "compute_key", "compute_value", "compute_output"],
        metavar="A,B",
        help="layers to adapt; w1, w2 and w3 are possible too (default: the four projections of attention)",
    )


GROUPS = {
    "generate": [_add_generate],
    "prompt": [_add_data, _add_prompt],
    "finetune": [_add_data, _add_learning],
    "lora": [_add_data, _add_learning, _add_lora],
}


def _seeds(text: str) -> list[int]:
    seeds = [int(seed) for seed in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text} names a seed twice")
    return seeds


def _run(options: argparse.Namespace) -> None:
    if options.option in ("finetune", "lora") and options.dtype not in (None, "float32", "bfloat16"):
        raise Misuse(f"--dtype {options.dtype} cannot be trained; take float32 or bfloat16")
    if options.option == "generate":
        return generate(options)
    from llamalab import classification

    run = classification.prompt if options.option == "prompt" else classification.finetune
    return run(options)


def generate(args: argparse.Namespace) -> None:
    """Continue the prompt: once at ``--temperature``, or at 0 and at 1 and into the two files."""
    from llamalab import files, generation, models

    loaded = models.open_model(args.pretrained_model_path, args.dtype or "float32", args.use_gpu)
    stream = sys.stdout.isatty() if args.stream is None else args.stream
    sampling = {name: value for name in ("epsilon", "top_k", "top_p") if (value := getattr(args, name)) is not None}
    runs = {0.0: args.generated_sentence_low_temp_out, 1.0: args.generated_sentence_high_temp_out}
    if args.temperature is not None:
        runs = {args.temperature: None}

    for temperature, path in runs.items():
        if path is not None:
            print(f"Temperature is {temperature}")
        timing = generation.Timing()
        [completion] = generation.complete(
            loaded.llama,
            loaded.tokenizer,
            [args.prompt],
            args.max_new_tokens,
            seed=args.seed,
            on_text=(lambda text: print(text, end="", flush=True)) if stream else None,
            timing=timing,
            temperature=temperature,
            **(sampling if temperature > 0 else {}),
        )
        print("" if stream else completion.text)
        print(timing.summary(), file=sys.stderr)
        if path is not None:
            print("---------------")
            files.write_text(path, completion.text)
            print(f"Wrote generated sentence to {path}.", file=sys.stderr)
