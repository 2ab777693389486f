"""Trains one of the two small models that the project carries, tokenizer and all.

Run:  python -m macsmith.experiments.models.train llama --wikitext DIR -o OUT
      python -m macsmith.experiments.models.train opt --steps 1000 --wikitext DIR -o OUT
Time: 54 and 19 minutes on a shared CPU core with bfloat16 matrix instructions, two to three times
      that without them; a GPU is used if there is one. The folders in the package were made so
      (training.json has the exact record, and of dropout, which LLaMA does not have, an old
      default); OPT gains from more steps.

A step's batch, dropout and learning rate depend on the seed and the step alone, so a run that was
killed goes on from its checkpoint (`DIR.checkpoint.tmp`) as if nothing had happened. The folder
appears at the end, complete, with `training.json` saying what the weights came from.
"""

import argparse
import math
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from macsmith.experiments.models.data import Batches, train_tokenizer
from macsmith.experiments.models.publish import publish
from macsmith.experiments.models.text import documentation, wikitext
from macsmith.quant.evaluate import TokenText, perplexity

__all__ = ["ARCHITECTURES", "Config", "build", "main", "train"]


CHECKPOINT_EVERY = 100  # steps, about a minute; a killed run loses no more


@dataclass(frozen=True)
class Config:
    """What decides the weights. Defaults: what half an hour of one core can teach."""

    architecture: str = "opt"
    vocab: int = 4096  # words of code and prose stay whole; the embedding is a quarter of the model
    hidden: int = 256  # a multiple of 64 and 128, so group-wise scales divide every layer
    layers: int = 4
    heads: int = 4  # of 64, as in the large models
    context: int = 512
    batch: int = 8  # windows per step; more steps beat larger ones at this size
    steps: int = 2400
    warmup: int = 120
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    dropout: float = 0.0  # OPT only, Llama has none of this kind; neither learns its text by heart
    docs_share: float = 0.2  # of the windows; some 20 passes over the documentation
    docs_keep: float = 0.5  # of a topic's paragraphs each time: the held-out text has gaps as well
    seed: int = 1


def build(config: Config) -> torch.nn.Module:
    """A freshly initialised model; weights depend on `config.seed` alone."""
    torch.manual_seed(config.seed)
    return ARCHITECTURES[config.architecture](config)


def _opt(c: Config) -> torch.nn.Module:
    config = OPTConfig(
        **_common(c),
        ffn_dim=4 * c.hidden,
        word_embed_proj_dim=c.hidden,
        dropout=c.dropout,
        attention_dropout=0.0,
    )
    model = OPTForCausalLM(config)
    _look_back(model.model.decoder)
    return model


@torch.no_grad()
def _look_back(decoder: torch.nn.Module) -> None:
    """Start OPT's first layer with heads that look 1, 2, ... tokens back; training goes on freely.

    Learned positions give attention no notion of "the token before": it would have to be learned
    for each of 512 positions, and 10 million tokens are not enough for that (measured: all heads
    still uniform after 4 million, and 0.6 nats behind LLaMA, whose rotations have the notion built
    in). So positions start as sinusoids, head h's keys as the fastest of them, and its queries as
    the keys of h + 1 positions before, in a random basis that spreads the weights evenly.
    """
    for layer in decoder.layers:  # a branch says nothing until it has learned what to say
        layer.self_attn.out_proj.weight.zero_()
        layer.fc2.weight.zero_()
    positions, attention = decoder.embed_positions.weight, decoder.layers[0].self_attn
    half, pairs = positions.shape[1] // 2, attention.head_dim // 2
    rate = torch.pi * 1e-4 ** (torch.arange(half) / half)  # radians per token, pi the fastest
    at = torch.arange(len(positions))[:, None] * rate
    positions.copy_(0.028 * torch.cat([at.sin(), at.cos()], dim=1))  # as strong as the tokens
    pick = torch.zeros(2 * pairs, 2 * half)  # reads the sines, then the cosines
    pick[range(2 * pairs), [*range(pairs), *range(half, half + pairs)]] = 1.0
    for head in range(attention.num_heads):
        back = rate[:pairs] * (head + 1)
        turn = torch.cat([
            torch.cat([back.cos().diag(), -back.sin().diag()], dim=1),
            torch.cat([back.sin().diag(), back.cos().diag()], dim=1),
        ])
        basis = torch.linalg.qr(torch.randn(2 * pairs, 2 * pairs))[0]
        rows = slice(head * 2 * pairs, (head + 1) * 2 * pairs)
        attention.k_proj.weight[rows] = 1.2 * basis @ pick
        attention.q_proj.weight[rows] = 1.2 * basis @ turn @ pick


def _llama(c: Config) -> torch.nn.Module:
    # 3 * hidden: about the 8/3 of the large models, and a multiple of 128.
    return LlamaForCausalLM(LlamaConfig(**_common(c), intermediate_size=3 * c.hidden))


ARCHITECTURES = {"opt": _opt, "llama": _llama}


def _common(c: Config) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab,
        "hidden_size": c.hidden,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "max_position_embeddings": c.context,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 1,
    }


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, then a cosine down to a twentieth of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    t = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * t)))


def train(config: Config, wikitext_folder: str, out: Path, log: Any = sys.stderr) -> Path:
    """Train, resuming from the checkpoint beside `out` if it has the same config; write `out`."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    docs, wiki = documentation(), wikitext(wikitext_folder)
    tokenizer = train_tokenizer((docs.text("train"), wiki.text("train")), config.vocab)
    batches = Batches(tokenizer, docs, wiki, config.context, config.docs_share, config.docs_keep)
    held = TokenText.from_text(tokenizer, docs.text("held_out"), "").ids
    model = build(config).to(device)
    optimizer = _optimizer(model, config)
    checkpoint = out.with_name(out.name + ".checkpoint.tmp")
    step, seconds, curve = _resume(checkpoint, config, model, optimizer)
    while step < config.steps:
        begin = time.perf_counter()
        model.train()
        torch.manual_seed(config.seed * 1_000_003 + step)  # dropout of this step, resumed or not
        x = torch.from_numpy(batches(config.seed, step, config.batch)).to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        with torch.autocast(device, torch.bfloat16):
            logits = model(input_ids=x, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), x[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seconds += time.perf_counter() - begin
        if step % CHECKPOINT_EVERY == 0 or step == config.steps:
            curve.append([step, loss.item(), perplexity(model, held, window=config.context).loss])
            rate = step * x.numel() / seconds
            left = (config.steps - step) * x.numel() / rate
            print(
                f"step {step}/{config.steps}  loss {loss.item():.3f}  held-out documentation "
                f"{curve[-1][2]:.3f}  {rate:.0f} tokens/s  {left / 60:.0f} min left",
                file=log,
                flush=True,
            )
            _save(checkpoint, config, model, optimizer, step, seconds, curve)
    record = {
        "config": asdict(config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_seen": config.steps * config.batch * config.context,
        "seconds": round(seconds, 1),
        "device": device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "curve": [[s, round(a, 4), round(b, 4)] for s, a, b in curve],
    }
    publish(model.cpu(), tokenizer, docs, wiki, record, out)
    checkpoint.unlink(missing_ok=True)
    return out


def _optimizer(model: torch.nn.Module, config: Config) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},  # norms and biases are not decayed
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)


def _save(path: Path, config: Config, model: Any, optimizer: Any, *progress: Any) -> None:
    state = (asdict(config), model.state_dict(), optimizer.state_dict(), *progress)
    partial = path.with_name(path.name + ".partial.tmp")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path, config: Config, model: Any, optimizer: Any) -> tuple[int, float, list]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0, 0.0, []
    saved, weights, moments, step, seconds, curve = torch.load(path, weights_only=True)
    if saved != asdict(config):
        raise ValueError(f"checkpoint {path} is of another configuration: remove it to start anew")
    model.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    return step, seconds, curve


def main(argv: list[str] | None = None) -> int:
    """Command line; 2 and one line on standard error when an input is wrong."""
    parser = argparse.ArgumentParser(prog="train", description=__doc__.split("\n")[0])
    parser.add_argument("architecture", choices=sorted(ARCHITECTURES))
    parser.add_argument("--wikitext", required=True, help="folder with WikiText-2's train.txt")
    parser.add_argument("-o", "--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--steps", type=int, default=Config.steps)
    parser.add_argument("--seed", type=int, default=Config.seed)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    config = replace(Config(args.architecture), steps=args.steps, seed=args.seed)
    try:
        train(config, args.wikitext, args.output)
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
