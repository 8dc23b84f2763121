"""Extract the text of PDF files, page by page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pypdf import PdfReader


def run(pdfs: list[str] | None = None, first: int = 1, last: int | None = None) -> dict[str, Any]:
    """Read the named PDF files, or all of the working directory, and return text and page count of each."""
    paths = [Path(name) for name in pdfs] if pdfs else sorted(Path().glob("*.pdf"))
    if not paths:
        raise FileNotFoundError("there is no PDF file in the working directory")
    return {"documents": [read(path, first, last) for path in paths]}


def read(path: Path, first: int, last: int | None) -> dict[str, Any]:
    """One document: its page count, what it says about itself, and the text of the pages asked for."""
    reader = PdfReader(path, strict=True)
    if reader.is_encrypted:
        raise PermissionError(f"{path} is encrypted")
    count = len(reader.pages)
    end = count if last is None else last
    if not 1 <= first <= end <= count:
        raise ValueError(f"{path} has {count} pages; cannot read {first} to {end}")
    about = reader.metadata
    return {
        "file": str(path),
        "pages": count,
        "title": str(about.title) if about and about.title else None,
        "author": str(about.author) if about and about.author else None,
        "text": [page_text(reader, number) for number in range(first, end + 1)],
    }


def page_text(reader: PdfReader, number: int) -> dict[str, Any]:
    """The text of one page, counted from 1."""
    text = reader.pages[number - 1].extract_text()
    return {"page": number, "text": text, "characters": len(text)}


def main() -> None:
    """Run as a script: the text goes to standard output as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pdfs", nargs="*", help="PDF files; all of the working directory if none is named")
    parser.add_argument("--first", type=int, default=1, help="first page")
    parser.add_argument("--last", type=int, help="last page")
    options = parser.parse_args()
    print(json.dumps(run(options.pdfs, options.first, options.last), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
