"""The paths of routes with something of the caller's in them."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def model_path(model_id: str) -> str:
    """Of one segment."""
    if model_id in (".", ".."):
        raise ValueError(f"a URL cannot name the segment {model_id!r}")
    return f"/models/{quote(model_id, safe='')}"


def page_path(limit: int | None, page_token: str | None, rejected: bool) -> str:
    """Of a page of what is served."""
    query = {"limit": limit, "rejected": "true" if rejected else None, "page_token": page_token}
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return f"/models?{asked}" if asked else "/models"
