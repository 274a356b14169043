"""open_clip's side of worker/benches/step: the same steps, decoding left out; prints one line of JSON.

    python tests/gpu/open_clip_step.py --model ViT-B-32 --batch 1024 --precision amp_bf16

The model, the batch, the number of tokens in a caption and the optimiser are the benchmark's. open_clip
pads captions to 77 tokens, as it does in training.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--precision", choices=["fp32", "amp_bf16"], default="amp_bf16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile, as open_clip's --torchcompile")
    parser.add_argument("--grad-checkpointing", action="store_true")
    args = parser.parse_args()

    import open_clip
    import torch

    torch.manual_seed(0)
    if args.device == "cuda":
        # open_clip's own settings in training.
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    model = open_clip.create_model(args.model, device=args.device)
    if args.grad_checkpointing:
        model.set_grad_checkpointing()
    model.train()
    no_decay = [p for n, p in model.named_parameters() if p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n]
    kept = {id(p) for p in no_decay}
    decay = [p for p in model.parameters() if id(p) not in kept]
    optimizer = torch.optim.AdamW(
        [{"params": no_decay, "weight_decay": 0.0}, {"params": decay, "weight_decay": 0.2}],
        lr=5e-4, betas=(0.9, 0.98), eps=1e-6, fused=args.device == "cuda",
    )
    size = model.visual.image_size
    side = size if isinstance(size, int) else size[0]
    # Pictures come from the host in each step, as they do in training.
    images = torch.randint(0, 256, (args.batch, 3, side, side), dtype=torch.uint8).float().div_(255).sub_(0.5)
    images = images.pin_memory() if args.device == "cuda" else images
    texts = torch.zeros(args.batch, 77, dtype=torch.long)
    for row in texts:
        length = int(torch.randint(6, 25, ()))
        row[0], row[1 : length + 1], row[length + 1] = 49406, torch.randint(0, 49406, (length,)), 49407
    compiled = torch.compile(model) if args.compile else model
    loss_of = open_clip.ClipLoss()
    autocast = (
        torch.autocast(args.device, dtype=torch.bfloat16)
        if args.precision == "amp_bf16"
        else contextlib.nullcontext()
    )
    seconds, loss = [], float("nan")
    for step in range(args.warmup + args.steps):
        begun = time.perf_counter()
        on_device = images.to(args.device, non_blocking=True)
        tokens = texts.to(args.device, non_blocking=True)
        optimizer.zero_grad()
        with autocast:
            image, text, scale = compiled(on_device, tokens)[:3]
            total = loss_of(image, text, scale)
        total.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        # The loss is read in each step, as ours is.
        loss = float(total)
        took = time.perf_counter() - begun
        print(f"step {step}: loss {loss:.4f}, {took:.3f} s", file=sys.stderr)
        if step >= args.warmup:
            seconds.append(took)
    median = statistics.median(seconds)
    print(
        json.dumps(
            {
                "program": f"open_clip {open_clip.__version__}, PyTorch {torch.__version__}",
                "model": args.model,
                "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
                "precision": args.precision,
                "compiled": args.compile,
                "batch": args.batch,
                "steps": args.steps,
                "samples_per_second": args.batch / median,
                "step_seconds": {"least": min(seconds), "median": median, "most": max(seconds)},
                "last_loss": loss,
            }
        )
    )


if __name__ == "__main__":
    main()
