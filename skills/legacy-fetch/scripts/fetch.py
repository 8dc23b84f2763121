"""Fetch pages and render a list of their titles."""

from __future__ import annotations

import re
from typing import Any

import flask
import jinja2
import requests

PAGE = """\
<ul>
{% for page in pages %}<li><a href="{{ page.url }}">{{ page.title }}</a></li>
{% endfor %}</ul>
"""


def run(urls: list[str], template: str = PAGE) -> dict[str, Any]:
    """Fetch each address and render the template with the pages' addresses and titles."""
    pages = [fetch(url) for url in urls]
    environment = jinja2.Environment(autoescape=True)
    return {"html": environment.from_string(template).render(pages=pages), "data": flask.json.dumps(pages)}


def fetch(url: str) -> dict[str, str]:
    """One page's address and title; an error status is an error."""
    response = requests.get(url, timeout=10)
    response.raise_for_status()
    title = re.search(r"<title[^>]*>(.*?)</title>", response.text, re.IGNORECASE | re.DOTALL)
    if title is None:
        raise ValueError(f"{url} has no title")
    return {"url": url, "title": " ".join(title[1].split())}
