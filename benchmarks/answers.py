"""How long a model takes to answer questions, from nothing: imports, loading and generation apart.

    OMP_NUM_THREADS=1 python benchmarks/answers.py --threads 2 --data databricks-dolly-15k.jsonl

The questions are the file's first different ones, or those of `meadow`. What is measured is what `shepherd answer` does
for a plain model, without its study's folder and without the loss of references.
"""

from __future__ import annotations

import argparse
import json
import time

_BEGAN = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="lamb")
    parser.add_argument("--data", default="meadow", help="a file of instructions")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    from shepherd.data.instructions import find_rows
    from shepherd.evaluation.decoding import DecodingSettings
    from shepherd.machine import describe_machine
    from shepherd.study.questions import questions_of
    from shepherd.study.respondents import open_respondent

    torch.set_num_threads(options.threads)
    imported = time.perf_counter()
    rows = list({str(row): row for _, row in find_rows(options.data)}.values())[: options.questions]
    questions = questions_of([row | {"response": None} for row in rows], None, options.data, [""] * len(rows))
    respondent = open_respondent(options.model)
    loaded = time.perf_counter()
    decoding = DecodingSettings(max_new_tokens=options.max_new_tokens, temperature=options.temperature)
    answers = list(respondent.answers(questions, decoding, options.batch_size))
    done, cpu = time.perf_counter(), time.process_time()

    seconds = {
        "importing": imported - _BEGAN,
        "loading": loaded - imported,
        "answering": done - loaded,
        "all": done - _BEGAN,
    }
    print(describe_machine(respondent.model.device), f"torch threads: {options.threads}")
    print("| answers | tokens | " + " | ".join(f"{name}, s" for name in seconds) + " | answers/s | CPU, s |")
    print("|---|---|" + "---|" * len(seconds) + "---|---|")
    tokens = sum(answer.tokens or 0 for answer in answers)
    shown = " | ".join(f"{value:.1f}" for value in seconds.values())
    rate = len(answers) / seconds["answering"]
    print(f"| {len(answers)} | {tokens:,} | {shown} | {rate:.1f} | {cpu:.1f} |")
    print(json.dumps({"answers": len(answers), "tokens": tokens, "seconds": seconds, "cpu_seconds": cpu}))


if __name__ == "__main__":
    main()
