"""What ``run_llama.py --option prompt|finetune|lora`` does, from the files that come in to the files that go out."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from llamalab import course, formats, models, places
from llamalab.data.sentences import UNKNOWN, Example, encode_examples, read_examples, read_label_names
from llamalab.errors import UserError
from llamalab.evaluation import prompting, results
from llamalab.evaluation.scores import Scores, score
from llamalab.files import sha256
from llamalab.speed import fuse, read_last_tokens
from llamalab.training.adapters import save_adapter
from llamalab.training.allocator import keep_freed_memory
from llamalab.training.finetune import Loop, Settings, Split, evaluate
from llamalab.training.runs import Run

if TYPE_CHECKING:
    from tokenizer import Tokenizer

OUTPUT_NAMES = {"prompt": "prompting", "finetune": "finetuning", "lora": "lora"}  # the courses' words


def prompt(options: Namespace) -> None:
    """Ask a frozen model about every sentence of dev and test."""
    names = read_label_names(options.label_names)
    splits = {name: read_examples(getattr(options, name), len(names)) for name in ("dev", "test")}
    outputs = _output_files(options)
    scoring = _scoring(options, names)
    scores: dict[str, Scores] = {}
    for name, examples in splits.items():
        found = prompting.predict(
            scoring, examples, options.batch_size, options.max_sentence_len, calibrate=options.calibrate
        )
        _note_cropped(getattr(options, name), found.cropped)
        scores[name] = _answered(name, options, examples, found.labels, names, outputs[name])
    if options.report:
        _report(options, names, scores, models.pick_device(options.use_gpu))


def finetune(options: Namespace) -> None:
    """Train a classifier, all of it or adapters only, once for each seed; then answer dev and test."""
    names = read_label_names(options.label_names)
    device = models.pick_device(options.use_gpu)
    path = models.announce(options.pretrained_model_path)
    tokenizer = models.open_tokenizer(path)
    work = Work(options, names, path, device, _read_splits(options, names, tokenizer, path), tokenizer.pad_id)
    outputs = _output_files(options)
    keep_freed_memory()
    seeds = options.seeds or [options.seed]
    scores = {seed: _one_seed(work, seed, outputs) for seed in seeds}
    if len(seeds) > 1:
        print(f"\n{len(seeds)} seeds\n{results.format_seeds(scores)}")


@dataclass(frozen=True)
class Work:
    """What all seeds of a command have in common."""

    options: Namespace
    names: list[str]  # of the labels
    path: Path  # of the pretrained model
    device: torch.device
    splits: dict[str, Split]
    pad_id: int


def _one_seed(work: Work, seed: int, outputs: dict[str, Path]) -> dict[str, Scores]:
    """Train once and write what came of it. With several seeds, each has its files in its own run's folder."""
    options, splits, pad_id = work.options, work.splits, work.pad_id
    run = Run(_run_folder(options, seed), _run_settings(options, work.path, seed))
    print(f"run: {run.folder} (seed {seed})", file=sys.stderr)
    dtype = _dtype(options.dtype, work.device)
    settings = Settings(options.epochs, options.batch_size, options.lr, seed, options.grad_accum, dtype)
    classifier = build_classifier(options, work.path, len(work.names), seed, work.device)
    learning = course.get("lora").get_lora_optimizer_params(classifier)
    optimizer = course.get("optimizer").AdamW(learning, lr=options.lr)
    Loop(classifier, optimizer, pad_id, splits["train"], splits["dev"], settings, run).train(options.resume)
    if options.option == "lora":
        save_adapter(classifier, run.folder / "adapter.safetensors")
    if options.seeds:
        outputs = {name: run.folder / output.name for name, output in outputs.items()}
    scores = {}
    for name, output in outputs.items():
        answers = evaluate(classifier, pad_id, splits[name], settings).predictions
        scores[name] = _answered(name, options, splits[name].examples, answers, work.names, output)
    if options.report:
        _report(options, work.names, scores, work.device, run)
    return scores


def _answered(
    name: str, options: Namespace, examples: list[Example], answers: list[int], names: list[str], output: Path
) -> Scores:
    """Write and print how a split was answered."""
    results.write_predictions(output, answers, [example.sentence for example in examples])
    scores = score([example.label for example in examples], answers, names)
    print(results.format_scores(f"{name} ({getattr(options, name)})", scores, names))
    print(f"predictions: {output}\n", file=sys.stderr)
    return scores


def build_classifier(options: Namespace, path: Path, n_labels: int, seed: int, device: torch.device) -> nn.Module:
    """The student's classifier over a pretrained model, with adapters if the option is "lora", on its device."""
    course.get("utils").seed_everything(seed)
    config = SimpleNamespace(pretrained_model_path=path, num_labels=n_labels, option=options.option)
    config.hidden_dropout_prob = options.hidden_dropout_prob
    classifier = course.get("classifier").LlamaEmbeddingClassifier(config)
    if options.option == "lora":
        lora = course.get("lora")
        try:
            lora.apply_lora(classifier, options.lora_rank, options.lora_alpha, options.lora_targets)
        except ValueError as error:
            raise UserError(f"--lora_targets: {error}") from error
        count = lora.count_lora_parameters(classifier)
        print(
            f"lora: {count.lora:,} numbers in adapters, {count.trainable:,} learn, of {count.total:,} "
            f"({count.trainable / count.total:.2%})",
            file=sys.stderr,
        )
    classifier.to(device)
    read_last_tokens(classifier.llama)
    return classifier


def _scoring(options: Namespace, names: list[str]) -> prompting.Scoring:
    if options.prompt_scoring == "full":
        loaded = models.open_model(options.pretrained_model_path, options.dtype or "float32", options.use_gpu)
        return prompting.FullScoring(loaded.llama, loaded.tokenizer, names)
    device = models.pick_device(options.use_gpu)
    path = models.announce(options.pretrained_model_path)
    tokenizer = models.open_tokenizer(path)
    config = SimpleNamespace(pretrained_model_path=path, num_labels=len(names))
    classifier = course.get("classifier").LlamaZeroShotClassifier(config, tokenizer, names)
    if options.dtype in (None, "float32"):
        read_last_tokens(classifier.llama)
    elif device.type == "cpu":
        fuse(classifier.llama, options.dtype)
    else:
        classifier.to(getattr(torch, options.dtype))
    return prompting.CourseScoring(classifier.to(device), tokenizer, names)


def _dtype(named: str | None, device: torch.device) -> torch.dtype:
    """float32 on a CPU, unless bfloat16 is asked for; bfloat16 on a GPU that has it."""
    if named == "bfloat16" or (named is None and device.type == "cuda" and torch.cuda.is_bf16_supported()):
        return torch.bfloat16
    return torch.float32


def _read_splits(options: Namespace, names: list[str], tokenizer: Tokenizer, model: Path) -> dict[str, Split]:
    """Read all files before any work is done; of the training file, the lines whose label is known."""
    splits = {}
    window = formats.inspect(model)["config"]["max_seq_len"]
    max_len = min(options.max_sentence_len or window, window)
    for name in ("train", "dev", "test"):
        path = getattr(options, name)
        examples = read_examples(path, len(names))
        if name == "train":
            known = [example for example in examples if example.label != UNKNOWN]
            if not known:
                raise UserError(f"{path}: every label is -1, unknown, so there is nothing to learn from")
            if len(known) < len(examples):
                print(f"{path}: left out {len(examples) - len(known)} lines without a label", file=sys.stderr)
            examples = known
        rows, cropped = encode_examples(examples, tokenizer, max_len, eos=False)
        _note_cropped(path, cropped)
        splits[name] = Split(Path(path).name, examples, rows)
    return splits


def _note_cropped(path: str, cropped: int) -> None:
    if cropped:
        print(f"{path}: {cropped} sentences are too long and lost their end (--max_sentence_len)", file=sys.stderr)


def _output_files(options: Namespace) -> dict[str, Path]:
    """Where predictions go; the courses' names unless others are given. Folders must exist before the work begins."""
    outputs = {}
    for name in ("dev", "test"):
        given, data = getattr(options, f"{name}_out"), Path(getattr(options, name))
        path = Path(given or f"{data.stem}-{OUTPUT_NAMES[options.option]}-output.txt")
        if not path.parent.is_dir():
            raise UserError(f"--{name}_out {path}: the folder {path.parent} does not exist")
        outputs[name] = path
    return outputs


def _run_folder(options: Namespace, seed: int) -> Path:
    if options.run_dir:
        return Path(options.run_dir) / f"seed{seed}" if options.seeds else Path(options.run_dir)
    return Path(places.default(f"runs/{options.option}-{Path(options.train).stem}-seed{seed}"))


def _run_settings(options: Namespace, model: Path, seed: int) -> dict[str, Any]:
    """Everything that decides the numbers of a run."""
    names = ["option", "epochs", "batch_size", "grad_accum", "lr", "hidden_dropout_prob", "max_sentence_len", "dtype"]
    if options.option == "lora":
        names += ["lora_rank", "lora_alpha", "lora_targets"]
    settings = {"model": str(model), "seed": seed, "threads": torch.get_num_threads()}
    settings |= {name: getattr(options, name) for name in names}
    return settings | {f"{name}_sha256": sha256(getattr(options, name)) for name in ("train", "dev", "label_names")}


def _report(
    options: Namespace, names: list[str], scores: Mapping[str, Scores], device: torch.device, run: Run | None = None
) -> None:
    """Write a report: in the option's folder, or in one for the seed where there are several."""
    folder, settings, history = Path(options.report), None, None
    if run:
        folder = folder / f"seed{run.settings['seed']}" if options.seeds else folder
        settings, history = run.settings, {"steps": [], "epochs": []}
        for record in run.log.records():
            history["steps" if "step" in record else "epochs"].append(record)
    report = {"command": vars(options), "settings": settings, "label_names": names, "splits": scores}
    written = results.write_report(folder, report | {"hardware": results.hardware(device)}, history)
    print(f"report: {', '.join(str(path) for path in written.values())}", file=sys.stderr)
