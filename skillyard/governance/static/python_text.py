"""Texts that code computes: joined, decoded, spelled letter by letter. Nothing of it is executed."""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import codecs
import lzma
import zlib
from dataclasses import replace

from skillyard.governance.static.limits import MAX_UNPACKED
from skillyard.governance.static.python_call import Call
from skillyard.governance.static.python_flow import Flow, Scope
from skillyard.governance.static.python_values import UNKNOWN, Tag, Value, concatenated, known, mixed


def stripped(texts: tuple[str, ...], method: str, given: str | None) -> tuple[str, ...]:
    """Texts without what ``strip`` and its like take away; other methods leave them as they are."""
    if given is None or method not in {"strip", "lstrip", "rstrip", "removeprefix", "removesuffix"}:
        return texts
    return tuple(str(getattr(text, method)(given)) for text in texts)


def character(value: Value) -> Value:
    if value.text is not None and value.text.isdecimal() and int(value.text) < 0x110000:
        return replace(known(chr(int(value.text))), assembled=True, tags=value.tags)
    return mixed((value,)).tagged(Tag.DECODED) if Tag.DECODED in value.tags else mixed((value,))


def bytes_of(value: Value) -> Value:
    numbers = [int(one.text) for one in value.items or () if one.text is not None and one.text.isdecimal()]
    if numbers and len(numbers) == len(value.items or ()) and all(number < 256 for number in numbers):
        return replace(known(bytes(numbers).decode("utf-8", "replace")), assembled=True, tags=frozenset({Tag.DECODED}))
    return mixed((value,))


def joined_text(flow: Flow, call: Call) -> Value:
    """``"".join(...)``, also over characters that are computed one by one."""
    argument = call.node.args[0] if call.node.args else None
    if (
        isinstance(argument, ast.GeneratorExp | ast.ListComp)
        and len(argument.generators) == 1
        and not argument.generators[0].ifs
    ):
        spelled = _spelled(flow, argument.elt, argument.generators[0], call.scope)
        if spelled is not None:
            return spelled.tagged(Tag.DECODED)
    value = call.arg(0, "")
    if value.items and call.base.text is not None:
        made = concatenated(value.items, call.base.text)
        return replace(made, tags=made.tags | value.tags, assembled=True)
    return mixed((value, call.base))


def _spelled(flow: Flow, elt: ast.expr, generator: ast.comprehension, scope: Scope) -> Value | None:
    source = flow.value(generator.iter, scope)
    if source.items is not None:
        items = source.items
    elif source.text is not None and 4 <= len(source.text) <= 4000:
        as_letters = any(isinstance(node, ast.Name) and node.id == "ord" for node in ast.walk(elt))
        as_letters = as_letters or not any(isinstance(node, ast.BinOp | ast.Call) for node in ast.walk(elt))
        items = tuple(known(c if as_letters else str(ord(c))) for c in source.text)
    else:
        return None
    inner = Scope(scope.module, {}, parent=scope, depth=scope.depth)
    made = []
    for one in items[:4000]:
        flow.assign(generator.target, one, inner)
        letter = flow.value(elt, inner)
        if letter.text is None:
            return None
        made.append(letter.text)
    return replace(mixed((source,)), texts=("".join(made),), assembled=True)


def filled(base: Value, call: Call) -> Value:
    made = mixed((base, *call.args, *call.named.values()))
    texts = []
    for text in base.texts:
        filled = text
        for value in call.args:
            filled = filled.replace("{}", (value.texts or (UNKNOWN,))[0], 1)
        for name, value in call.named.items():
            filled = filled.replace(f"{{{name}}}", (value.texts or (UNKNOWN,))[0])
        for number, value in enumerate(call.args):
            filled = filled.replace(f"{{{number}}}", (value.texts or (UNKNOWN,))[0])
        texts.append(filled)
    return replace(made, texts=tuple(texts), assembled=True, open_start=False)


def decoded(symbol: str, call: Call) -> Value:
    value = call.arg(0, "s")
    text = value.text
    plain = _plain(symbol, text, call.arg(1, "encoding").text or "") if text is not None and text else None
    made = Value(
        tags=value.everything().tags | {Tag.DECODED}, urls=value.urls, variables=value.variables, assembled=True
    )
    return made if plain is None else replace(made, texts=(plain,))


def _plain(symbol: str, text: str, codec: str) -> str | None:  # noqa: C901 - one case a codec
    data = text.encode("latin-1", "ignore") if all(ord(c) < 256 for c in text) else text.encode()
    name = symbol.rpartition(".")[2]
    try:
        match name:
            case "b64decode" | "standard_b64decode" | "decodebytes" | "decodestring" | "a2b_base64":
                plain = base64.b64decode(data)
            case "urlsafe_b64decode":
                plain = base64.urlsafe_b64decode(data)
            case "b32decode":
                plain = base64.b32decode(data)
            case "b16decode" | "fromhex" | "unhexlify" | "a2b_hex":
                plain = bytes.fromhex(text)
            case "b85decode":
                plain = base64.b85decode(data)
            case "a85decode":
                plain = base64.a85decode(data)
            case "decompress":
                plain = _inflated(symbol, data)
            case "decode" if codec.replace("_", "").replace("-", "") == "rot13":
                return codecs.encode(text, "rot13")
            case "decode" if codec == "hex":
                plain = bytes.fromhex(text)
            case "decode" if codec == "base64":
                plain = base64.b64decode(data)
            case _:
                return None
    except (binascii.Error, ValueError, zlib.error, OSError, EOFError, lzma.LZMAError):
        return None
    if len(plain) > MAX_UNPACKED:
        return None
    try:
        return plain.decode("ascii")
    except UnicodeDecodeError:
        return plain.decode("latin-1") if len(plain) < 100_000 else None


def _inflated(symbol: str, data: bytes) -> bytes:
    module = symbol.partition(".")[0]
    if module == "zlib":
        return zlib.decompressobj().decompress(data, MAX_UNPACKED)
    if module == "gzip":
        return zlib.decompressobj(wbits=31).decompress(data, MAX_UNPACKED)
    if module == "bz2":
        return bz2.BZ2Decompressor().decompress(data, MAX_UNPACKED)
    return lzma.LZMADecompressor().decompress(data, MAX_UNPACKED)
