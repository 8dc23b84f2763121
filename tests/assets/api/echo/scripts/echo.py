"""Say back what was given."""


def run(text: str = "", number: int = 0) -> dict[str, object]:
    return {"text": text, "number": number}
