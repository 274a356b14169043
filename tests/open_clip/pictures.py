"""Small pictures of every kind, and what open_clip's evaluation transform makes of them."""

from pathlib import Path
from typing import Iterator, Tuple

import numpy as np
import torch
from open_clip.transform import image_transform
from PIL import Image

from versions import save

# Side of the squares that the transform gives.
SIDE = 32
ORIENTATION = 0x0112


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    transforms = image_transform(SIDE, is_train=False).transforms
    squares = {}
    for name, picture, options in pictures():
        file = folder / name
        picture.save(file, **options)
        tensor = Image.open(file)
        # All but the normalisation, which the models' fixtures cover.
        for transform in transforms[:-1]:
            tensor = transform(tensor)
        squares[name] = (tensor * 255).round().to(torch.uint8).permute(1, 2, 0)
    save(squares, folder / "squares.safetensors")


def scene(width: int, height: int, channels: int) -> np.ndarray:
    """Waves, an edge and a little noise in u8 [height, width, channels]."""
    noise = np.random.default_rng([width, height, channels])
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    layers = []
    for channel in range(channels):
        wave = np.sin(x / (5 + channel) + channel) + np.cos(y / (7 - channel) + x / 40)
        edge = 1.0 * (x * height > y * width + channel * 10)
        layers.append(128 + 45 * wave + 60 * (edge - 0.5) + noise.normal(0, 2, (height, width)))
    return np.clip(np.stack(layers, axis=-1), 0, 255).astype(np.uint8)


def rgb(width: int, height: int) -> Image.Image:
    return Image.fromarray(scene(width, height, 3))


def grey(width: int, height: int) -> Image.Image:
    return Image.fromarray(scene(width, height, 1)[..., 0])


def with_alpha(width: int, height: int) -> Image.Image:
    """From opaque at the left to nothing at the right."""
    picture = rgb(width, height)
    picture.putalpha(ramp(width, height))
    return picture


def ramp(width: int, height: int) -> Image.Image:
    row = np.clip(300 - 330 * np.arange(width) / max(width - 1, 1), 0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(row[None], height, axis=0))


def pictures() -> Iterator[Tuple[str, Image.Image, dict]]:
    """Name, picture and how it is saved."""
    for width, height in [(61, 43), (43, 61), (32, 32), (9, 7), (1, 1), (2, 3), (301, 5), (5, 301)]:
        yield f"rgb-{width}x{height}.png", rgb(width, height), {}
    yield "grey.png", grey(57, 40), {}
    yield "grey-transparent-colour.png", grey(41, 45), {"transparency": 128}
    greyscale_alpha = grey(45, 51).convert("LA")
    greyscale_alpha.putalpha(ramp(45, 51))
    yield "grey-alpha.png", greyscale_alpha, {}
    yield "rgba.png", with_alpha(53, 41), {}
    yield "rgba-enlarged.png", with_alpha(13, 19), {}
    yield "rgb-transparent-colour.png", rgb(39, 47), {"transparency": (128, 128, 128)}
    palette = rgb(50, 37).quantize(64)
    yield "palette.png", palette, {}
    yield "palette-transparent.png", palette.rotate(90, expand=True), {"transparency": 3}
    alphas = bytes(range(0, 256, 4))
    yield "palette-alphas.png", rgb(31, 33).quantize(64), {"transparency": alphas}
    yield "palette-4-colours.png", rgb(35, 44).quantize(4), {}
    yield "black-and-white.png", grey(51, 38).convert("1"), {}
    deep = scene(47, 39, 1)[..., 0].astype(np.uint16)
    yield "grey-16-bit.png", Image.fromarray(deep * 257), {}
    yield "grey-16-bit-dark.png", Image.fromarray(deep + 40), {}
    for width, height in [(61, 43), (43, 61), (17, 23), (203, 11)]:
        yield f"rgb-{width}x{height}.jpg", rgb(width, height), {"quality": 90}
    yield "rgb-444.jpg", rgb(59, 49), {"quality": 95, "subsampling": "4:4:4"}
    yield "rgb-422.jpg", rgb(49, 59), {"quality": 90, "subsampling": "4:2:2"}
    yield "progressive.jpg", rgb(55, 47), {"quality": 85, "progressive": True}
    yield "grey.jpg", grey(47, 55), {"quality": 90}
    yield "cmyk.jpg", Image.fromarray(scene(52, 46, 4), mode="CMYK"), {"quality": 95}
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        yield f"rotated-{orientation}.jpg", rgb(62, 41), {"quality": 90, "exif": exif}
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    yield "rotated-6.png", rgb(45, 36), {"exif": exif}
    yield "rgb-lossless.webp", rgb(57, 41), {"lossless": True}
    # Without exact=True the encoder changes colours that cannot be seen.
    yield "rgba-lossless.webp", with_alpha(41, 57), {"lossless": True, "exact": True}
    yield "rgb-lossy.webp", rgb(49, 45), {"quality": 90}
