"""Run the model: generate text.

    python run_llama.py --option generate
    python run_llama.py --option generate --prompt "Once upon a time" --temperature 0.8 --top_p 0.9
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback

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
"""

LIMITS = (
    ("max_new_tokens", 0, 1_000_000),
    ("temperature", 0, 100),
    ("epsilon", 0, 0.999),
    ("top_k", 1, 1_000_000),
    ("top_p", 1e-9, 1),
)


def get_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Names and defaults are those of the existing courses; new options are optional."""
    parser = argparse.ArgumentParser(
        description="Run the Llama in llama.py.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--option", choices=("generate",), default="generate", help="what to do (default: %(default)s)")
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
        default="float32",
        help="float32 runs llama.py as it is; the others pack its weights and are faster (default: %(default)s)",
    )
    add("--stream", action=argparse.BooleanOptionalAction, help="show text as it comes (default: on a terminal)")
    add("--generated_sentence_low_temp_out", default="generated-sentence-temp-0.txt", metavar="FILE")
    add("--generated_sentence_high_temp_out", default="generated-sentence-temp-1.txt", metavar="FILE")
    args = parser.parse_args(argv)
    for name, low, high in LIMITS:
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            parser.error(f"--{name} must be between {low} and {high}, not {value}")
    return args


def generate(args: argparse.Namespace) -> None:
    """Continue the prompt: once at ``--temperature``, or at 0 and at 1 and into the two files."""
    from llamalab import files, generation, models

    loaded = models.open_model(args.pretrained_model_path, args.dtype, args.use_gpu)
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
    from llamalab.errors import UserError
    from llamalab.formats import FormatError

    try:
        generate(args)
    except BrokenPipeError:
        raise
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
