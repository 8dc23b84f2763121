"""How much of a skill is looked at. Beyond a limit nothing is cut off silently: the scan says what it did not see.

Sizes are bytes before decoding, characters after it.
"""

from __future__ import annotations

from typing import Final

MAX_FILES: Final = 2048
"""Files of one folder; the bundle of a skill takes fewer."""
MAX_ENTRIES: Final = 8192
"""Entries of all folders together, so that endless empty folders end as well."""
MAX_FOLDER_DEPTH: Final = 32
MAX_FILE_BYTES: Final = 10 * 1024 * 1024
"""As large as a file of a bundle may be."""
MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
MAX_TEXT: Final = 2 * 1024 * 1024
"""Characters of one text. A longer one is data or an attack on the scanner; people do not read it either."""
MAX_LINE_TO_MATCH: Final = 200_000
MAX_VIEWS: Final = 6000
"""Texts of one skill, those found inside others included."""
MAX_DECODED: Final = 24 * 1024 * 1024
"""Characters and bytes that decoding may give, of the whole skill."""
MAX_UNPACKED: Final = 8 * 1024 * 1024
"""Bytes of one thing that is unpacked: a member of an archive, a compressed blob."""
MAX_MEMBERS: Final = 2000
"""Members of one archive."""
MAX_DECODE_DEPTH: Final = 6
"""How often something may be encoded inside of something else."""
MAX_BLOBS: Final = 1000
"""Encoded pieces of one text."""
MAX_PYTHON: Final = 1024 * 1024
"""Characters of one Python source."""
MAX_NODES: Final = 150_000
"""Nodes of one syntax tree."""
MAX_HITS: Final = 2000
"""Hits and capabilities of one scan; more of them tell nobody anything."""
