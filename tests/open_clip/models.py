"""Three toy models: embeddings, loss, gradients and one AdamW step of open_clip's own code.

Everything is computed in float64 from float32 weights and rounded to float32 at the end, so the
numbers are open_clip's formulas without its rounding.
"""

import json
import math
from pathlib import Path

import open_clip
import torch
from open_clip.loss import ClipLoss

from versions import save

TEXT = {"context_length": 12, "vocab_size": 512, "width": 16, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}
RESNET = {"image_size": 64, "layers": [2, 1, 1, 1], "width": 4, "head_width": 32}

MODELS = {
    "vit": {"embed_dim": 12, "vision_cfg": VIT, "text_cfg": TEXT},
    "vit-quickgelu": {
        "embed_dim": 12,
        "quick_gelu": True,
        "vision_cfg": {**VIT, "mlp_ratio": 3.0, "patch_size": 16},
        "text_cfg": {**TEXT, "heads": 4, "layers": 1},
    },
    "resnet": {"embed_dim": 12, "vision_cfg": RESNET, "text_cfg": TEXT},
}
# Beyond ln 100, so that the clamp after the update shows.
LOGIT_SCALE = {"vit": 2.7, "vit-quickgelu": 4.61, "resnet": 3.0}
# open_clip's defaults: one set for ViT, one for all else.
ADAMW = {
    "vit": {"lr": 5e-4, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.2},
    "vit-quickgelu": {"lr": 1e-3, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.2},
    "resnet": {"lr": 5e-4, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.2},
}
ROWS = 8


def write(folder: Path) -> None:
    for seed, (name, config) in enumerate(MODELS.items()):
        write_model(folder / name, name, config, seed)


def write_model(folder: Path, name: str, config: dict, seed: int) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    randomise(model, LOGIT_SCALE[name], generator)
    save(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    write_json(
        folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess}
    )

    model = model.double()
    pixels = torch.randint(0, 256, (ROWS, *[config["vision_cfg"]["image_size"]] * 2, 3),
                           generator=generator, dtype=torch.uint8)
    tokens = captions(config["text_cfg"], generator)
    images = normalised(pixels)
    batch = {"pixels": pixels, "tokens": tokens}
    model.eval()
    with torch.no_grad():
        batch["eval.image"] = model.encode_image(images, normalize=True)
        batch["eval.text"] = model.encode_text(tokens, normalize=True)

    model.train()
    image, text, scale = model(images, tokens)[:3]
    loss = ClipLoss()(image, text, scale)
    loss.backward()
    batch |= {"train.image": image, "train.text": text, "train.loss": loss}
    save({key: in_float32(value) for key, value in batch.items()}, folder / "batch.safetensors")
    gradients = {key: in_float32(value.grad) for key, value in model.named_parameters()}
    save(gradients, folder / "gradients.safetensors")

    step(model, ADAMW[name])
    updated = {key: in_float32(value) for key, value in model.state_dict().items()}
    save(updated, folder / "updated.safetensors")
    write_json(folder / "adamw.json", ADAMW[name])


def step(model: torch.nn.Module, adamw: dict) -> None:
    """One update with the parameter groups and the clamp of open_clip_train's main.py, train.py."""
    exclude = (
        lambda n, p: p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n or "logit_scale" in n
    )
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if exclude(n, p)], "weight_decay": 0.0},
            {
                "params": [p for n, p in named if not exclude(n, p)],
                "weight_decay": adamw["weight_decay"],
            },
        ],
        lr=adamw["lr"],
        betas=tuple(adamw["betas"]),
        eps=adamw["eps"],
    )
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))


def randomise(model: torch.nn.Module, logit_scale: float, generator: torch.Generator) -> None:
    """Noise on every weight and statistic, so that none is 0 or 1 and none can be forgotten."""
    with torch.no_grad():
        for _, tensor in sorted(model.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
        for key, tensor in sorted(model.state_dict().items()):
            if key.endswith("running_var"):
                tensor.copy_(tensor.abs() + 0.1)
        model.logit_scale.fill_(logit_scale)


def captions(text: dict, generator: torch.Generator) -> torch.Tensor:
    """Of every length: start, ids, the end as the largest id, zeros."""
    length, end = text["context_length"], text["vocab_size"] - 1
    tokens = torch.zeros(ROWS, length, dtype=torch.long)
    for row in range(ROWS):
        ids = min(row, length - 2) if row < ROWS - 1 else length - 2
        tokens[row, 0] = end - 1
        tokens[row, 1:1 + ids] = torch.randint(1, end - 1, (ids,), generator=generator)
        tokens[row, 1 + ids] = end
    return tokens


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN, dtype=torch.float64)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD, dtype=torch.float64)
    return ((pixels.double() / 255 - mean) / std).permute(0, 3, 1, 2)


def in_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def write_json(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=4) + "\n")
