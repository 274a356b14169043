"""What the fixtures are made with, and what makes them the same every time."""

from importlib.metadata import version
from pathlib import Path
from typing import Dict

import torch
from safetensors.torch import save_file

PACKAGES = [
    "open_clip_torch", "torch", "torchvision", "pillow", "numpy", "safetensors", "ftfy", "regex",
]


def made_with() -> str:
    """Names and versions, in one line. A local part such as a CUDA version changes nothing here."""
    return ", ".join(f"{name} {version(name).split('+')[0]}" for name in PACKAGES)


def be_deterministic() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def save(tensors: Dict[str, torch.Tensor], file: Path) -> None:
    """One safetensors file. Of several metadata keys the order is not fixed, so there is one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, file, metadata={"made_with": made_with()})
