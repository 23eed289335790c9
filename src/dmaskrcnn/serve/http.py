"""The routes of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
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

    @app.post("/predict", openapi_extra=_CALL, response_class=Response)
    async def predict(request: Request) -> Response:
        """Find the objects in a picture."""
        return await service.answer(request)

    return app


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
