"""Which detectors there are. A new one is a pure function and a line here.

``DETECTORS`` see one view at a time, ``WHOLE`` all views of a skill and what was shown so far, in this order. Imports
stand at the top, so that the worker has everything loaded before it forks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from skillyard.governance.static import (
    config,
    config_rules,
    decode,
    install_steps,
    javascript,
    javascript_rules,
    other_code,
    permissions,
    python_detect,
    python_rules,
    secrets,
    shell,
    shell_rules,
    signs,
    tool_texts,
    words,
    words_behind,
    words_orders,
    words_rules,
)
from skillyard.governance.static.hit import Shown
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import View

Detector = Callable[[View], Iterable[Shown]]
WholeDetector = Callable[[tuple[View, ...], tuple[Shown, ...]], Iterable[Shown]]

DETECTORS: Final[tuple[Detector, ...]] = (
    python_detect.mining,
    shell.detect,
    javascript.detect,
    other_code.detect,
    tool_texts.detect,
    words.detect,
    words.unseen,
    words_behind.detect,
    words_orders.detect,
    install_steps.detect,
    config.detect,
    secrets.detect,
)
WHOLE: Final[tuple[WholeDetector, ...]] = (javascript.install_scripts, signs.detect)
RULES: Final[tuple[Rule, ...]] = (
    *decode.RULES,
    *python_rules.RULES,
    *shell_rules.RULES.values(),
    *javascript_rules.RULES.values(),
    *other_code.RULES,
    *tool_texts.RULES,
    *words_rules.RULES.values(),
    *install_steps.RULES,
    *config_rules.RULES.values(),
    *secrets.RULES,
    *permissions.RULES,
    *signs.RULES,
)
"""Every rule that a detector may show, sorted into the reference page by its id."""
