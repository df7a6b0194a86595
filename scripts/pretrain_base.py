"""Pretrain a small base model from scratch, such as the `lamb` that Shepherd ships.

    python scripts/pretrain_base.py corpora/ my-base --minutes 70
    python scripts/pretrain_base.py corpora/ my-base-30m --minutes 60 --hidden 512 --layers 8 --vocab 16384

`corpora/` holds plain text (.txt, .txt.gz; documents apart by blank lines) or JSON lines with a `text` column
(.jsonl, .jsonl.gz). The result is a Hugging Face model directory with its tokenizer and a README.md that says
what the model was trained on, for how long, and its loss on text it has not seen.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
#: Peak learning rates of the hidden matrices (Muon) and of everything else (AdamW).
MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
#: Shares of the time: rising from nothing, and falling to nothing at the end.
WARM_UP, COOL_DOWN = 0.01, 0.4
HELD_OUT_SEQUENCES = 200


def read_texts(folder: Path) -> Iterator[str]:
    """Yield every document of every file below `folder`."""
    for path in sorted(folder.rglob("*")):
        kind = "".join(path.suffixes[-2:]).removesuffix(".gz")
        if kind not in {".txt", ".jsonl"}:
            continue
        open_text = gzip.open if path.suffix == ".gz" else open
        with open_text(path, "rt", encoding="utf-8") as stream:
            if kind == ".jsonl":
                yield from (json.loads(line)["text"] for line in stream)
            else:
                yield from sections(stream.read())


def sections(text: str, characters: int = 4000) -> Iterator[str]:
    """Cut a long text at blank lines into pieces of about `characters`."""
    piece: list[str] = []
    for paragraph in text.split("\n\n"):
        piece.append(paragraph)
        if sum(map(len, piece)) > characters:
            yield "\n\n".join(piece)
            piece = []
    if piece:
        yield "\n\n".join(piece)


def train_tokenizer(texts: list[str], size: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE; no text is unknown to it."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    pad, begin, end, unknown = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=pad,
        bos_token=begin,
        eos_token=end,
        unk_token=unknown,
        model_max_length=context,
    )


def pack(texts: list[str], tokenizer: PreTrainedTokenizerFast, context: int) -> Tensor:
    """Return all texts end to end, `[sequences, context]`, each text begun and ended by its marks."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    tokens = np.concatenate([np.array([begin, *ids, end], dtype=np.int64) for ids in encoded])
    whole = len(tokens) // context * context
    return torch.from_numpy(tokens[:whole]).view(-1, context)


def build_model(options: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.hidden,
        intermediate_size=options.hidden * 8 // 3 // 64 * 64 or 64,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=max(1, options.heads // 2),
        max_position_embeddings=2 * options.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def rate(done: float) -> float:
    """Return the learning rate's share of its peak when the share `done` of the time is over."""
    return min(1.0, done / WARM_UP + 1e-2, (1 - done) / COOL_DOWN)


def loss_of(model: nn.Module, tokens: Tensor, device: torch.device) -> Tensor:
    tokens = tokens.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits = model(input_ids=tokens).logits[:, :-1].float()
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def pretrain(model: LlamaForCausalLM, train: Tensor, options: argparse.Namespace) -> int:
    """Train for the given time and return how many tokens were seen."""
    device = next(model.parameters()).device
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimisers = {
        torch.optim.Muon(hidden, lr=MATRIX_RATE, weight_decay=0.01): MATRIX_RATE,
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0): OTHER_RATE,
    }
    draw, began, step, shown = torch.Generator().manual_seed(options.seed), time.monotonic(), 0, 0.0
    order = torch.randperm(len(train), generator=draw).split(options.batch)
    while (done := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        if step % len(order) == 0:
            order = torch.randperm(len(train), generator=draw).split(options.batch)
        loss = loss_of(model, train[order[step % len(order)]], device)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, peak in optimisers.items():
            optimiser.param_groups[0]["lr"] = peak * rate(done)
            optimiser.step()
            optimiser.zero_grad()
        step += 1
        if done - shown >= 0.01:
            shown = done
            print(f"{done:4.0%}  step {step:,}  loss {loss.item():.3f}", flush=True)
    return step * options.batch * options.context


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, tokens: Tensor) -> float:
    device = next(model.parameters()).device
    return float(np.mean([loss_of(model, part, device).item() for part in tokens.split(8)]))


def write_card(options: argparse.Namespace, parameters: int, seen: int, loss: float, bits: float) -> None:
    sources = ", ".join(path.name for path in sorted(options.corpora.rglob("*")) if path.is_file())
    text = (
        f"# {options.out.name}\n\n"
        f"A LLaMA-shaped base model of {parameters:,} parameters, pretrained from scratch with "
        f"`scripts/pretrain_base.py` on {sources}: {seen:,} tokens in {options.minutes:g} minutes, seed "
        f"{options.seed}. On text held out: {loss:.3f} nats per token, {bits:.3f} bits per character.\n"
    )
    (options.out / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16, help="sequences a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    texts = list(read_texts(options.corpora))
    if not texts:
        parser.error(f"there is no .txt, .jsonl, .txt.gz or .jsonl.gz in {options.corpora}")
    np.random.default_rng(options.seed).shuffle(texts)
    tokenizer = train_tokenizer(texts[::4], options.vocab, options.context)
    sequences = pack(texts, tokenizer, options.context)
    if len(sequences) <= 2 * HELD_OUT_SEQUENCES:
        parser.error(f"{options.corpora} holds only {sequences.numel():,} tokens; give more text")
    held_out, train = sequences[:HELD_OUT_SEQUENCES], sequences[HELD_OUT_SEQUENCES:]
    torch.manual_seed(options.seed)
    model = build_model(options, tokenizer).to(options.device)
    print(
        f"{len(texts):,} documents, {train.numel():,} tokens, {model.num_parameters():,} parameters",
        flush=True,
    )

    seen = pretrain(model, train, options)
    loss = held_out_loss(model, held_out)
    bits = loss * held_out.numel() / math.log(2) / len(tokenizer.decode(held_out.flatten().tolist()))
    print(f"held out: {loss:.3f} nats per token, {bits:.3f} bits per character")
    model.to(device="cpu", dtype=torch.bfloat16).save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    write_card(options, model.num_parameters(), seen, loss, bits)


if __name__ == "__main__":
    main()
