"""Prints samples a second: webdataset, open_clip's training transform and tokeniser, batches of 64."""

import sys
import time

import open_clip
import torch
import webdataset
from open_clip.transform import image_transform

torch.set_num_threads(1)
batches, shards = int(sys.argv[1]), sys.argv[2:]
transform = image_transform(224, is_train=True)
tokenizer = open_clip.get_tokenizer("ViT-B-32")
tokenizer("warm up")

dataset = (
    webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    .repeat()
    .shuffle(128)
    .decode("pilrgb")
    .rename(image="jpg", text="txt")
    .map_dict(image=transform, text=lambda text: tokenizer(text)[0])
    .to_tuple("image", "text")
    .batched(64, partial=False)
)
begun = time.perf_counter()
for number, (images, texts) in enumerate(dataset, 1):
    assert images.shape == (64, 3, 224, 224) and texts.shape == (64, 77)
    if number == batches:
        break
print(64 * batches / (time.perf_counter() - begun))
