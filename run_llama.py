"""Run the model: generate text, classify sentences by asking it, finetune it, all of it or with LoRA.

    python run_llama.py --option generate --prompt "Once upon a time" --temperature 0.8 --top_p 0.9
    python run_llama.py --option prompt   --dev data/sst-dev.txt --test data/sst-test.txt \\
                                          --label-names data/sst-label-mapping.json
    python run_llama.py --option finetune --train data/sst-train.txt ... --epochs 5 --lr 2e-5 --batch_size 80
    python run_llama.py --option lora     --train data/sst-train.txt ... --lora_rank 4 --lora_alpha 1.0
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback

from llamalab import places

VICTOR = (
    "Victor Frankenstein, a young scientist obsessed with uncovering the secrets of life, "
    "succeeds in animating a creature assembled from"
)

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

LIMITS = (
    ("max_new_tokens", 0, 1_000_000),
    ("temperature", 0, 100),
    ("epsilon", 0, 0.999),
    ("top_k", 1, 1_000_000),
    ("top_p", 1e-9, 1),
    ("max_sentence_len", 1, 1_000_000),
    ("batch_size", 1, 100_000),
    ("epochs", 1, 100_000),
    ("grad_accum", 1, 100_000),
    ("lr", 0, 1_000),
    ("hidden_dropout_prob", 0, 0.999),
    ("lora_rank", 1, 100_000),
    ("lora_alpha", 0, 1_000_000),
)


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Names and defaults are those of the existing courses; new options are optional."""
    parser = argparse.ArgumentParser(
        description="Run the Llama in llama.py.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--option", choices=COMMANDS, default="generate", help="what to do (default: %(default)s)")
    add("--pretrained-model-path", metavar="PATH", help="checkpoint to use (default: the first that has been fetched)")
    add("--seed", type=int, default=1337, help="of everything random (default: %(default)s)")
    add("--use_gpu", action="store_true", help="run on the GPU; an error if there is none")

    text = parser.add_argument_group("generate")
    add = text.add_argument
    add("--prompt", default=VICTOR, help="text to continue (default: a sentence about Victor Frankenstein)")
    add("--max_new_tokens", type=int, default=75, metavar="N", help="at most this many tokens (default: %(default)s)")
    add(
        "--temperature",
        type=float,
        metavar="T",
        help="one continuation, printed: 0 is greedy, 1 the model's own distribution "
        "(default: two continuations, at 0 and at 1, also written to the two files)",
    )
    add("--epsilon", type=float, metavar="P", help="drop tokens less likely than P")
    add("--top_k", type=int, metavar="K", help="keep the K most likely tokens")
    add("--top_p", type=float, metavar="P", help="keep the most likely tokens that together reach P")
    add(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "int8"),
        help="generate and prompt: float32, the default, runs llama.py as it is; the others pack its weights and are "
        "faster. finetune and lora: float32, or bfloat16 for autocast (default: float32 on a CPU, where bfloat16 is "
        "slower unless the processor computes in it; bfloat16 on a GPU that does)",
    )
    add("--stream", action=argparse.BooleanOptionalAction, help="show text as it comes (default: on a terminal)")
    add("--generated_sentence_low_temp_out", default="generated-sentence-temp-0.txt", metavar="FILE")
    add("--generated_sentence_high_temp_out", default="generated-sentence-temp-1.txt", metavar="FILE")
    _add_classification(parser)
    args = parser.parse_args(argv)
    for name, low, high in LIMITS:
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            parser.error(f"--{name} must be between {low} and {high}, not {value}")
    if args.option in ("finetune", "lora") and args.dtype not in (None, "float32", "bfloat16"):
        parser.error(f"--dtype {args.dtype} cannot be trained; take float32 or bfloat16")
    return args


def _add_classification(parser: argparse.ArgumentParser) -> None:
    """Options of prompt, finetune and lora."""
    data = parser.add_argument_group("prompt, finetune and lora")
    add = data.add_argument
    add("--train", default=places.default("data/cfimdb-train.txt"), metavar="FILE", help="default: %(default)s")
    add("--dev", default=places.default("data/cfimdb-dev.txt"), metavar="FILE", help="default: %(default)s")
    add("--test", default=places.default("data/cfimdb-test.txt"), metavar="FILE", help="default: %(default)s")
    names = places.default("data/cfimdb-label-mapping.json")
    add("--label-names", default=names, metavar="FILE", help="default: %(default)s")
    add(
        "--dev_out",
        metavar="FILE",
        help="predictions on dev (default: by data and option, such as cfimdb-dev-prompting-output.txt)",
    )
    add("--test_out", metavar="FILE", help="predictions on test (default: likewise)")
    add("--max_sentence_len", type=int, metavar="N", help="crop to N tokens (default: the model's window)")
    add("--batch_size", type=int, default=8, metavar="N", help="sentences at a time (default: %(default)s)")
    add("--report", metavar="DIR", help="also write figures as JSON and plots as PNG into this folder")

    asking = parser.add_argument_group("prompt")
    asking.add_argument(
        "--prompt_scoring",
        choices=("course", "full"),
        default="course",
        help="course: a label's tokens, all at the last position; full: the log-probability of the label's whole name "
        "after the prompt (default: %(default)s)",
    )
    asking.add_argument(
        "--calibrate", action="store_true", help="subtract what the model says of the question without a sentence"
    )

    learning = parser.add_argument_group("finetune and lora")
    add = learning.add_argument
    add("--epochs", type=int, default=10, metavar="N", help="default: %(default)s")
    add("--lr", type=float, default=1e-5, metavar="RATE", help="learning rate (default: %(default)s)")
    add("--hidden_dropout_prob", type=float, default=0.3, metavar="P", help="before the head (default: %(default)s)")
    add("--grad_accum", type=int, default=1, metavar="N", help="batches a step; saves memory (default: %(default)s)")
    add("--lora_rank", type=int, default=4, metavar="R", help="rank of the adapters (default: %(default)s)")
    add("--lora_alpha", type=float, default=1.0, metavar="A", help="their strength (default: %(default)s)")
    add(
        "--lora_targets",
        type=lambda text: text.split(","),
        default=["compute_query", "compute_key", "compute_value", "compute_output"],
        metavar="A,B",
        help="layers to adapt; w1, w2 and w3 are possible too (default: the four projections of attention)",
    )
    add("--seeds", type=_seeds, metavar="1,2,3", help="train once for each and print mean and standard deviation")
    add("--run_dir", metavar="DIR", help="log and weights (default: runs/OPTION-DATA-seedN)")
    add("--resume", action="store_true", help="go on with the run in that folder where it stopped")


def _seeds(text: str) -> list[int]:
    seeds = [int(seed) for seed in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text} names a seed twice")
    return seeds


def prompt(args: argparse.Namespace) -> None:
    """Classify dev and test by asking the model which label's name comes next."""
    from llamalab import classification

    classification.prompt(args)


def finetune(args: argparse.Namespace) -> None:
    """Train on train, choose the epoch by dev, answer dev and test. ``--option lora`` trains adapters only."""
    from llamalab import classification

    classification.finetune(args)


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


COMMANDS = {"generate": generate, "prompt": prompt, "finetune": finetune, "lora": finetune}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = get_args(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def run(args: argparse.Namespace) -> int:
    """Run the chosen command, with one sentence for whatever its user can put right."""
    # Imported after the arguments are parsed, so that --help and a typing error answer at once.
    from llamalab.assets import AssetError
    from llamalab.errors import Interrupted, UserError
    from llamalab.formats import FormatError

    try:
        COMMANDS[args.option](args)
    except BrokenPipeError:
        raise
    except Interrupted:
        resume = shlex.join(arg for arg in sys.argv if arg != "--resume")
        print(f"stopped, and nothing is lost; go on with\n  python {resume} --resume", file=sys.stderr)
        return 130
    except NotImplementedError as error:
        print(f"run_llama.py: {todo(error)}", file=sys.stderr)
        return 1
    except (UserError, FormatError, AssetError, OSError) as error:
        print(f"run_llama.py: {error}", file=sys.stderr)
        return 1
    return 0


def todo(error: NotImplementedError) -> str:
    """Which part of the student's code is still to be written."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"not implemented yet: {place.name} ({os.path.relpath(place.filename)}:{place.lineno})"


if __name__ == "__main__":
    sys.exit(main())
