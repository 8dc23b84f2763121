"""Make an animated GIF of single images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MAX_FRAMES = 500


def run(
    images: list[str] | None = None, milliseconds: int = 200, loop: bool = True, file: str = "animation.gif"
) -> dict[str, Any]:
    """Join images, in the order given or by name, into one animated GIF of the first one's size."""
    if not 10 <= milliseconds <= 60_000:
        raise ValueError(f"milliseconds must be between 10 and 60000, not {milliseconds}")
    paths = [Path(name) for name in images] if images else all_frames(Path())
    if not 2 <= len(paths) <= MAX_FRAMES:
        raise ValueError(f"an animation takes 2 to {MAX_FRAMES} frames, not {len(paths)}")
    frames = read_frames(paths)
    repeat = {"loop": 0} if loop else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=milliseconds, disposal=2, **repeat)
    with Image.open(file) as animation:
        return {
            "file": file,
            "frames": getattr(animation, "n_frames", 1),
            "width": animation.width,
            "height": animation.height,
            "bytes": Path(file).stat().st_size,
        }


def all_frames(folder: Path) -> list[Path]:
    """Every still image of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def read_frames(paths: list[Path]) -> list[Image.Image]:
    """The images upright and in colour, fitted to the size of the first."""
    frames: list[Image.Image] = []
    for path in paths:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        frames.append(ImageOps.pad(upright, frames[0].size) if frames else upright)
    return frames


def main() -> None:
    """Run as a script: what was made goes to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", help="frames; all images of the working directory if none is named")
    parser.add_argument("--milliseconds", type=int, default=200, help="how long a frame is shown")
    parser.add_argument("--once", action="store_true", help="play once instead of for ever")
    parser.add_argument("--file", default="animation.gif", help="where the animation is written")
    options = parser.parse_args()
    print(json.dumps(run(options.images, options.milliseconds, not options.once, options.file), indent=2))


if __name__ == "__main__":
    main()
