"""The routes of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from dmaskrcnn.serve.metrics import CONTENT_TYPE
from dmaskrcnn.serve.service import Service, refusal
from dmaskrcnn.version import __version__


def make_app(service: Service) -> FastAPI:
    """The routes ``/``, ``/predict``, ``/healthz``, ``/metrics`` and ``/openapi.json``. It closes
    the service when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # FastAPI's own pages of documentation fetch their scripts from elsewhere
    app = FastAPI(
        title="dmaskrcnn serve", version=__version__, docs_url=None, redoc_url=None, lifespan=life
    )

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        response = refusal(error.status_code, f"{request.url.path[:80]}: {error.detail}")
        response.headers.update(error.headers or {})
        return response

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def description() -> str:
        return _description(service)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """Calls are taken."""
        return JSONResponse({"status": "ok", "runs": list(service.runs), "version": __version__})

    @app.get("/metrics")
    async def metrics() -> Response:
        """What the service counts, for Prometheus."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @app.post("/predict", openapi_extra=_CALL, response_class=Response, responses=_ANSWERS)
    async def predict(request: Request) -> Response:
        """Find the objects in a picture."""
        return await service.answer(request)

    return app


def _object(said: str, maybe: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """The schema of a JSON object, all of whose properties are there but those that ``maybe``."""
    required = [name for name in properties if name not in maybe]
    return {
        "type": "object",
        "description": said,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _parameter(name: str, schema: dict[str, Any], said: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": said}


_PICTURE = {"type": "string", "format": "binary"}
_CALL: dict[str, Any] = {
    "parameters": [
        _parameter("run", {"type": "string"}, "The name of a run."),
        _parameter(
            "threshold",
            {"type": "number", "minimum": 0, "maximum": 1},
            "Lowest score to tell.",
        ),
        _parameter("masks", {"type": "boolean", "default": True}, "Whether the JSON has masks."),
        _parameter(
            "answer",
            {"type": "string", "enum": ["json", "picture", "both"], "default": "json"},
            "JSON, the annotated picture, or JSON with the picture in it.",
        ),
        _parameter("source", {"type": "string"}, "Whose frame it is, for --clear."),
    ],
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": _PICTURE},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": _PICTURE}}
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "string", "format": "byte"}},
                }
            },
        },
    },
}


_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_PIXELS = {"type": "integer", "minimum": 1}
_MASK = _object(
    "COCO's compressed run lengths.",
    size={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    counts={"type": "string"},
)
_FOUND = _object(
    "One object; its box is x1, y1, x2, y2 in pixels.",
    ["mask"],
    **{"class": {"type": "string"}},
    score=_SHARE,
    box={"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    mask=_MASK,
)
_JSON = _object(
    "What was found.",
    ["picture"],
    run={"type": "string"},
    threshold=_SHARE,
    haze=_SHARE,
    width=_PIXELS,
    height=_PIXELS,
    detections={"type": "array", "items": _FOUND},
    picture={"type": "string", "description": "A data URL, for answer=both."},
)
_REFUSED = {"application/json": {"schema": _object("Why.", error={"type": "string"})}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON, or the annotated picture for answer=picture.",
        "content": {"application/json": {"schema": _JSON}, "image/jpeg": {"schema": _PICTURE}},
    },
    **{
        status: {"description": said, "content": _REFUSED}
        for status, said in {
            400: "The body is not what its type says.",
            408: "The body came too late.",
            413: "Too many bytes, or pixels.",
            415: "No type, or no picture, that is read.",
            422: "A broken picture, or an option that is wrong.",
            500: "The detector failed.",
            503: "Too many calls are waiting.",
            504: "The answer came too late.",
        }.items()
    },
}


def _description(service: Service) -> str:
    limits = service.limits
    runs = "".join(f"<li>{escape(name)}</li>" for name in service.runs)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>dmaskrcnn serve</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto;
padding: 0 1em }} pre {{ background: #f2f4f6; padding: .8em; overflow-x: auto }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16191d; color: #e4e7ea }}
a {{ color: #8ab8ff }} pre {{ background: #22272d }} }}</style>
<h1>dmaskrcnn serve</h1>
<p>Finds objects in pictures. Runs:</p><ul>{runs}</ul>
<pre>curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' \\
  'http://HOST:PORT/predict?threshold=0.5'
curl -F image=@photo.jpg -F answer=picture http://HOST:PORT/predict -o found.jpg</pre>
<p>Options, in the query or beside the picture: <code>run</code>, <code>threshold</code>,
<code>masks</code> (true, false), <code>answer</code> (json, picture, both), <code>source</code>.
At most {limits.max_upload:g} MB and {limits.max_pixels:g} megapixels.</p>
<p><a href="healthz">healthz</a> · <a href="metrics">metrics</a> ·
<a href="openapi.json">openapi.json</a></p></html>"""
