"""Tar archives of strangers, read so that a few bytes cannot take all the memory or all the time.

The standard library reads a header of names and attributes whole, whatever size it gives, steps back where a size is
negative (CVE-2025-8194), and calls itself for every header that describes another one.
"""

from __future__ import annotations

import tarfile
from typing import Final

MOST_HEADER: Final = 64 * 1024
"""Bytes of one header of pax or GNU, which holds a path and a few attributes."""
MOST_SHARED: Final = 4 * 1024
"""Bytes of all headers that speak for the whole archive, where ``git archive`` writes the commit."""
MOST_IN_A_ROW: Final = 8

_SPEAKING_OF_OTHERS: Final = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)


class _Member(tarfile.TarInfo):
    """Is shown to its archive before anything behind it is read."""

    def _proc_member(self, archive: StrictTarFile) -> tarfile.TarInfo:
        archive.admit(self)
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found

    def _proc_gnusparse_10(self, *_: object) -> None:
        """Its map, as long as it likes, is in the content."""
        raise tarfile.ReadError("a sparse file")


class StrictTarFile(tarfile.TarFile):
    """Open it with ``open(…, "r:")``. Raises ``tarfile.TarError`` for whatever is wrong with the archive itself.

    Sparse files with maps of any length are an error; others are told by ``issparse``. ``pax_headers`` of members are
    empty: what they say is in the members' own attributes.
    """

    tarinfo = _Member
    _in_a_row = 0
    _shared = 0

    def next(self) -> tarfile.TarInfo | None:
        self._in_a_row = 0
        try:
            member = super().next()
        except (ValueError, OverflowError, RecursionError) as error:
            raise tarfile.ReadError(f"a header that cannot be read ({type(error).__name__})") from error
        if member is not None:
            _require_size(member)
            member.pax_headers = {}
        return member

    def admit(self, header: tarfile.TarInfo) -> None:
        """Refuse what must not be read on from. Called for every header, by the header."""
        _require_size(header)
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file")
        if header.type not in _SPEAKING_OF_OTHERS:
            return
        self._in_a_row += 1
        if self._in_a_row > MOST_IN_A_ROW:
            raise tarfile.ReadError(f"more than {MOST_IN_A_ROW} headers of one member")
        if header.size > MOST_HEADER:
            raise tarfile.ReadError(f"a header larger than {MOST_HEADER // 1024} KiB")
        if header.type == tarfile.XGLTYPE:
            self._shared += header.size
            if self._shared > MOST_SHARED:
                raise tarfile.ReadError(f"headers of the whole archive larger than {MOST_SHARED // 1024} KiB")


def _require_size(member: tarfile.TarInfo) -> None:
    if member.size < 0:
        raise tarfile.ReadError("a negative size")
