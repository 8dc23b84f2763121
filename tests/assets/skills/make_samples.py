"""Makes the sample files that the bundled skills ship, with the standard library alone.

``python tests/assets/skills/make_samples.py`` writes them again; a test checks that they are what this script makes.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
import zlib
from pathlib import Path

SKILLS = Path(__file__).resolve().parents[3] / "skills"


def coffee_bar() -> bytes:
    """Three weeks of takings at a made-up coffee bar: a date, a product, cups, revenue, temperature, a note."""
    products = (("espresso", 2.2, 46), ("cappuccino", 3.4, 61), ("tea", 2.6, 18))
    lines = ["date,product,cups,revenue,temperature,market_day"]
    for day in range(21):
        date = dt.date(2024, 3, 4) + dt.timedelta(days=day)
        temperature = round(9 + 5 * math.sin(day / 3.3) + (day * 7919 % 13) / 10, 1)
        market = date.weekday() in {2, 5}
        for index, (product, price, usual) in enumerate(products):
            swing = (day * 104729 + index * 1299709) % 17 - 8
            busy = 1.3 if market else 0.6 if date.weekday() == 6 else 1.0
            cups = round((usual + swing) * busy)
            shown = "" if (day, index) in {(6, 0), (15, 2)} else f"{temperature}"
            lines.append(f"{date},{product},{cups},{cups * price:.2f},{shown},{'yes' if market else 'no'}")
    return ("\n".join(lines) + "\n").encode()


def frame(step: int, steps: int, size: int = 96) -> bytes:
    """A PNG (ISO/IEC 15948) of a ball on its way round a circle, before a background that gets lighter downwards."""
    angle = 2 * math.pi * step / steps
    x0, y0 = size / 2 + size / 4 * math.cos(angle), size / 2 + size / 4 * math.sin(angle)
    rows = bytearray()
    for y in range(size):
        rows.append(0)
        for x in range(size):
            inside = (x - x0) ** 2 + (y - y0) ** 2 < (size / 9) ** 2
            rows += bytes((222, 92, 48)) if inside else bytes((24 + y // 2, 48 + y // 2, 96 + y // 2))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def letter() -> bytes:
    """A PDF 1.4 (ISO 32000) of two pages of text and a title."""
    pages = (
        (
            "To whom it may concern",
            "The order of 14 March arrived complete: 12 boxes, 240 cups.",
            "Two cups were broken.",
        ),
        (
            "Second page",
            "Please credit the two cups, 7.80 in all, to our account.",
            "With kind regards, the coffee bar",
        ),
    )
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [4 0 R 6 0 R] /Count 2 >>"]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for index, lines in enumerate(pages):
        shown = " ".join(f"({line}) Tj 0 -24 Td" for line in lines)
        stream = f"BT /F1 14 Tf 72 760 Td {shown} ET".encode()
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * index} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
    objects.append(b"<< /Title (A letter about cups) /Author (The coffee bar) >>")
    return _pdf(objects, root=1, info=len(objects))


def samples() -> dict[str, bytes]:
    """Every sample by its path below ``skills``."""
    frames = {f"image-tools/assets/frame-{step + 1}.png": frame(step, 4) for step in range(4)}
    return {"csv-report/assets/sample.csv": coffee_bar(), "pdf-text/assets/letter.pdf": letter()} | frames


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pdf(objects: list[bytes], *, root: int, info: int) -> bytes:
    data = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(data)
    size = len(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    data += b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\n" % (size, root, info)
    return data + b"startxref\n%d\n%%%%EOF\n" % start


if __name__ == "__main__":
    for name, content in samples().items():
        (SKILLS / name).parent.mkdir(exist_ok=True)
        (SKILLS / name).write_bytes(content)
