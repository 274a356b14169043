"""open_clip's side of tests/system/open_clip.rs; prints JSON."""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path


def compare(checkpoint: str, vectors: str) -> dict:
    """How far the rows of a .npy file of `twinspan embed` are from open_clip's own embeddings."""
    import numpy as np
    import open_clip
    import torch
    from PIL import Image

    name = f"local-dir:{checkpoint}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    keys = Path(vectors).with_suffix(".keys.txt").read_text(encoding="utf-8").splitlines()
    ours = np.load(vectors).astype(np.float64)
    assert len(keys) == len(ours), (len(keys), ours.shape)
    cosine, absolute = 1.0, 0.0
    with torch.no_grad():
        for key, row in zip(keys, ours):
            kind, key = key.split("\t", 1)
            if kind == "image":
                theirs = model.encode_image(preprocess(Image.open(key))[None], normalize=True)
            else:
                theirs = model.encode_text(tokenizer([key]), normalize=True)
            theirs = theirs[0].double().numpy()
            norms = np.linalg.norm(row) * np.linalg.norm(theirs)
            cosine = min(cosine, float(row @ theirs / norms))
            absolute = max(absolute, float(np.abs(row - theirs).max()))
    return {"rows": len(keys), "cosine_distance": 1.0 - cosine, "absolute": absolute}


def write(name: str, folder: str) -> dict:
    """Writes a model with random weights as open_clip does: for the hub, and as its training does."""
    import open_clip
    import torch
    from open_clip.push_to_hf_hub import save_for_hf

    class NoTokenizer:
        def save_pretrained(self, directory: Path) -> None:
            """open_clip's own tokeniser has no files."""

    torch.manual_seed(0)
    model = open_clip.create_model(name)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            # What begins as all zeros or ones would hide a mistake.
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor += 0.1 * torch.rand_like(tensor)
    folder = Path(folder)
    save_for_hf(model, NoTokenizer(), open_clip.get_model_config(name), folder, "both")
    checkpoint = {
        "epoch": 1,
        "name": "fixture",
        "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()},
        "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
    }
    torch.save(checkpoint, folder / "epoch_1.pt")
    return {file.name: file.stat().st_size for file in folder.iterdir()}


def peak(command: list) -> dict:
    """The most memory that a process had, in bytes."""
    status = subprocess.run(command, stdout=sys.stderr).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"status": status, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("deed", choices=["compare", "write", "peak"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    deeds = {"compare": compare, "write": write, "peak": lambda *command: peak(list(command))}
    print(json.dumps(deeds[given.deed](*given.arguments)))


if __name__ == "__main__":
    main()
