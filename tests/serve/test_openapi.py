"""What `/openapi.json` says of an answer is what callers get."""

from __future__ import annotations

from typing import Any

import pytest
from predict_cases import LeftHalf
from serve_cases import JPEG, encoded

pytest.importorskip("fastapi", reason="needs dmaskrcnn[serve]")
testclient = pytest.importorskip("starlette.testclient", reason="needs httpx")

from dmaskrcnn.serve.http import make_app  # noqa: E402
from dmaskrcnn.serve.limits import Limits  # noqa: E402
from dmaskrcnn.serve.service import Service  # noqa: E402

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Of the keywords that the schemas of the answers have."""
    if not isinstance(value, KINDS[schema["type"]]):
        return False
    if isinstance(value, dict):
        parts = schema["properties"]
        whole = set(schema["required"]) <= set(value) <= set(parts)
        return whole and all(fits(part, parts[name]) for name, part in value.items())
    if isinstance(value, list):
        few, many = schema.get("minItems", 0), schema.get("maxItems", len(value))
        return few <= len(value) <= many and all(fits(part, schema["items"]) for part in value)
    if isinstance(value, (int, float)):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def test_answers_are_as_they_are_described():
    with testclient.TestClient(make_app(Service({"a": LeftHalf()}, Limits()))) as client:
        said = client.get("/openapi.json").json()
        assert said["openapi"].startswith("3.")
        answers = said["paths"]["/predict"]["post"]["responses"]
        found = answers["200"]["content"]["application/json"]["schema"]
        for query in ("", "?answer=both", "?masks=no", "?threshold=0.9"):
            answer = client.post(f"/predict{query}", content=encoded(), headers=JPEG).json()
            assert fits(answer, found), answer
        assert not fits({**answer, "haze": 2}, found)
        assert not fits({"run": "a"}, found)
        for body, query, status in (
            (b"", "", 400),
            (b"x", "", 415),
            (encoded(), "?run=b", 422),
            (encoded((9000, 9000), "PNG"), "", 413),
        ):
            refused = client.post(f"/predict{query}", content=body, headers=JPEG)
            assert refused.status_code == status
            schema = answers[str(status)]["content"]["application/json"]["schema"]
            assert fits(refused.json(), schema)
        documented = {int(code) for code in answers}
        assert {400, 408, 413, 415, 422, 500, 503, 504} <= documented
