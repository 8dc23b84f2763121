"""The API's description: what FastAPI derives, and the bodies that routes read themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from skillyard.api import bodies, uploads

_TEMPLATE = "#/components/schemas/{model}"


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; made once and kept on the application, as FastAPI does."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        models = [(model, "validation") for model in (*uploads.BODY_MODELS, *bodies.BODY_MODELS)]
        _, extra = models_json_schema(models, ref_template=_TEMPLATE)  # type: ignore[arg-type]  # a literal, widened
        document["components"]["schemas"] |= extra["$defs"]
        app.openapi_schema = document
    return app.openapi_schema
