"""Make thumbnails of images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
MAX_SIZE = 2048


def run(images: list[str] | None = None, size: int = 128, folder: str = "thumbnails") -> dict[str, Any]:
    """Fit each image into a square of so many pixels and write it as PNG into a folder."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size must be between 1 and {MAX_SIZE} pixels, not {size}")
    paths = [Path(name) for name in images] if images else all_images(Path())
    target = Path(folder)
    target.mkdir(exist_ok=True)
    return {"thumbnails": [thumbnail(path, target, size) for path in paths]}


def all_images(folder: Path) -> list[Path]:
    """Every image of a folder by name; none at all is an error."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError("there is no image in the working directory")
    return paths


def thumbnail(path: Path, target: Path, size: int) -> dict[str, Any]:
    """One thumbnail: what was read, what was written, both sizes in pixels."""
    with Image.open(path) as image:
        original = image.size
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    upright.thumbnail((size, size), Image.Resampling.LANCZOS)
    file = target / f"{path.stem}.png"
    if file.exists():
        raise FileExistsError(f"two images would both become {file}")
    upright.save(file, optimize=True)
    return {
        "image": str(path),
        "original": {"width": original[0], "height": original[1]},
        "file": str(file),
        "width": upright.width,
        "height": upright.height,
    }


def main() -> None:
    """Run as a script: what was made goes to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", help="images; all of the working directory if none is named")
    parser.add_argument("--size", type=int, default=128, help="side of the square, in pixels")
    parser.add_argument("--folder", default="thumbnails", help="where thumbnails are written")
    options = parser.parse_args()
    print(json.dumps(run(options.images, options.size, options.folder), indent=2))


if __name__ == "__main__":
    main()
