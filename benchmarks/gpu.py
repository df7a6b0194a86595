"""Local training on a GPU: a LLaMA-shaped model of a billion parameters, in bfloat16, from its config alone.

    python benchmarks/gpu.py              # on a GPU
    python benchmarks/gpu.py --tiny       # a small model, on whatever there is: does it run?

Optimiser batches of 1, 4 and 16 examples, 1, 4 and 16 clients at once, beside `transformers.Trainer` with one
client at a time, the same dtype and the same attention. MFU is the share of a peak (`--peak`, in TFLOP/s), by
default of the best product this GPU was seen to do in the same run; tokens are real ones, without padding.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from work import matrix_rate, synchronise, training_work

from shepherd.data.encoding import EncodedExamples
from shepherd.machine import describe_machine
from shepherd.model.adapted import AdaptedModel
from shepherd.model.base import Base, BaseModelConfig, choose_device, choose_dtype, load_tokenizer
from shepherd.model.batch import load
from shepherd.model.kinds import Lora
from shepherd.training import Engine, LocalTask, Training, TransformersTraining

#: TinyLlama's shape, with a vocabulary the shipped tokenizer fits into.
BILLION = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
}


def build(shape: dict[str, int], device: torch.device, rank: int) -> AdaptedModel:
    """Return an adapted model of random weights."""
    with torch.device(device):
        base = LlamaForCausalLM(LlamaConfig(**shape)).to(choose_dtype("auto", device))
    base.requires_grad_(False).eval()
    return AdaptedModel(
        Base(base, load_tokenizer(BaseModelConfig()), device, "random", ""), Lora(rank=rank), 0
    )


def dolly_like(count: int) -> EncodedExamples:
    """Return examples as long as Dolly's: log-normal around 150 tokens, half of them labelled."""
    draw = np.random.default_rng(0)
    lengths = np.clip(np.exp(draw.normal(5.0, 0.6, count)), 32, 512).astype(np.int64)
    tokens = draw.integers(3, 4000, lengths.sum()).astype(np.uint16)
    return EncodedExamples(tokens, np.concatenate([[0], np.cumsum(lengths)]), lengths // 2, 0, "")


def seconds(training: Training, model: AdaptedModel, tasks: list[LocalTask], at_once: int) -> float:
    """Train all clients, some at once, and return how long it took."""
    synchronise(model.device)
    began = time.perf_counter()
    for first in range(0, len(tasks), at_once):
        group = tasks[first : first + at_once]
        list(training.train_together(model, [model.initial] * len(group), group))
    synchronise(model.device)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8, help="optimiser steps of every client")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--peak", type=float, help="TFLOP/s to take the share of")
    parser.add_argument("--compile", action="store_true", help="compile the layers, one client at a time")
    options = parser.parse_args()

    device = choose_device("auto")
    model = build(TINY if options.tiny else BILLION, device, options.rank)
    dtype = model.base.model.dtype
    size = 512 if options.tiny else 8192
    square = torch.randn(size, size, device=device, dtype=dtype)
    peak = options.peak * 1e12 if options.peak else matrix_rate(square, square)
    print(describe_machine(device), dtype, f"{model.counts()[0]:,} frozen parameters")
    print(f"peak taken: {peak / 1e12:.1f} TFLOP/s\n")
    print("| batch | trainer | at once | tokens/s | times Trainer | MFU | peak memory, GiB |")
    print("|---|---|---|---|---|---|---|")
    found: list[dict[str, Any]] = []
    for batch_size in options.batch_sizes:
        count = batch_size * options.steps
        examples = dolly_like(count * options.clients)
        tasks = [
            LocalTask(examples, np.arange(client * count, (client + 1) * count), 0, 0, 1, client)
            for client in range(options.clients)
        ]
        tokens = int(examples.lengths().sum())
        work = training_work(model, load(examples, range(len(examples))))
        settings = {"lr": 1e-4, "batch_size": batch_size}
        ways: list[tuple[str, Training, int]] = [
            ("Trainer", TransformersTraining.model_validate({**settings, "micro_batch_size": 16}), 1)
        ]
        for at_once in options.at_once:
            own = {**settings, "compile": options.compile and at_once == 1}
            ways.append(("engine", Engine.model_validate(own), at_once))
        baseline = 0.0
        for name, training, at_once in ways:
            model.most_clients = model.most_tokens = (
                sys.maxsize
            )  # what did not fit another way may fit this one
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            times = [seconds(training, model, tasks, at_once) for _ in range(options.turns + 1)][1:]
            median = statistics.median(times)
            speed = tokens / median
            baseline = baseline or speed
            memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
            mfu = work / median / peak
            line = {
                "batch": batch_size,
                "trainer": name,
                "at_once": at_once,
                "tokens_per_second": speed,
                "times_trainer": speed / baseline,
                "mfu": mfu,
                "peak_memory_gib": memory,
            }
            found.append(line)
            print(
                f"| {batch_size} | {name} | {at_once} | {speed:,.0f} | {speed / baseline:.2f} | {mfu:.0%} | "
                f"{memory:.1f} |",
                flush=True,
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
