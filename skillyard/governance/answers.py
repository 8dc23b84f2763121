"""Is what a scanner answered what a scanner answers? Plug-ins are other people's code, and Python checks no types."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from skillyard.governance.errors import GovernanceError
from skillyard.governance.report import Evidence, Finding

Answer = tuple[tuple[Finding, ...], Evidence]

_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


class WrongAnswerError(GovernanceError):
    """A scanner's answer is not a pair of findings and evidence with the right fields."""

    code = "scanner_answer"


def checked(answer: object) -> Answer:
    """The answer as values of our own, by way of JSON, so that whatever passes can also be kept.

    Raises ``WrongAnswerError``: for other types, for words that no enumeration of ours holds, for text that is no
    Unicode, for a data date without a zone, which could not be compared with the time.
    """
    try:
        written = _ANSWER.dump_json(answer, warnings="error")  # type: ignore[arg-type]  # that is what is being found out
        findings, evidence = _ANSWER.validate_json(written)
    except (PydanticSerializationError, ValidationError, ValueError, TypeError, AttributeError) as error:
        raise WrongAnswerError(f"not findings and evidence: {type(error).__name__}") from error
    if evidence.data_date is not None and evidence.data_date.utcoffset() is None:
        raise WrongAnswerError("evidence whose data date has no time zone")
    return findings, evidence
