"""Calls of the service, one at a time, and what it answers to those that are wrong."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from predict_cases import LeftHalf
from serve_cases import Slow, bomb, encoded, noise

pytest.importorskip("fastapi", reason="needs dmaskrcnn[serve]")
testclient = pytest.importorskip("starlette.testclient", reason="needs httpx")

from dmaskrcnn.haze.switch import HazeSwitch  # noqa: E402
from dmaskrcnn.serve.http import make_app  # noqa: E402
from dmaskrcnn.serve.limits import Limits  # noqa: E402
from dmaskrcnn.serve.service import ClearAir, Service  # noqa: E402

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """A client of a service with these detectors and limits."""
    with ExitStack() as stack:

        def make(runs: dict[str, Any] | None = None, clear: Any = None, **limits: Any) -> Any:
            service = Service(runs or {"a": LeftHalf()}, Limits(**limits), clear)
            return stack.enter_context(testclient.TestClient(make_app(service)))

        yield make


def refused(response: Any, status: int) -> str:
    """The one line of a refusal."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    line = response.json()["error"]
    assert line
    assert "\n" not in line
    assert "Traceback" not in line
    return line


def test_three_ways_to_send_a_picture(start):
    client = start()
    data = encoded()
    text = base64.b64encode(data).decode()
    answers = [
        client.post("/predict", content=data, headers=JPEG),
        client.post("/predict", files={"image": ("../../etc/passwd", data)}),
        client.post("/predict", json={"image": text}),
        client.post("/predict", json={"image": f"data:image/jpeg;base64,{text}"}),
        client.post("/predict", content=data),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json() == answers[0].json()
    said = answers[0].json()
    assert (said["run"], said["threshold"], said["width"], said["height"]) == ("a", 0.5, 40, 30)
    assert 0 <= said["haze"] <= 1
    (found,) = said["detections"]
    assert (found["class"], found["score"], found["box"]) == ("car", 0.75, [0, 0, 20, 30])
    assert coco_mask.decode(found["mask"]).sum() == 20 * 30


def test_options_come_in_the_query_the_form_and_the_json(start):
    client = start({"a": LeftHalf(), "b": LeftHalf(score=0.9)})
    data = encoded()
    wanted = {"run": "b", "threshold": "0.8", "masks": "no"}
    text = base64.b64encode(data).decode()
    for answer in (
        client.post("/predict", params=wanted, content=data, headers=JPEG),
        client.post("/predict", data=wanted, files={"image": data}),
        client.post("/predict", json={"run": "b", "threshold": 0.8, "masks": False, "image": text}),
    ):
        said = answer.json()
        assert (said["run"], said["threshold"]) == ("b", 0.8)
        assert [sorted(found) for found in said["detections"]] == [["box", "class", "score"]]
    nothing = client.post("/predict", params={"threshold": 0.8}, content=data, headers=JPEG)
    assert nothing.json()["detections"] == []


def test_the_annotated_picture_alone_and_in_the_json(start):
    client = start()
    alone = client.post("/predict?answer=picture", content=encoded((80, 60)), headers=JPEG)
    assert alone.headers["content-type"] == "image/jpeg"
    assert alone.headers["x-run"] == "a"
    both = client.post("/predict?answer=both", content=encoded((80, 60)), headers=JPEG).json()
    assert len(both["detections"]) == 1
    kind, _, text = both["picture"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(text) == alone.content
    with Image.open(io.BytesIO(alone.content)) as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (60, 80, 3)
    assert abs(pixels[50, 20] - 128).max() > 30  # the left half is tinted, the right is not
    assert abs(pixels[50, 70] - 128).max() < 5


def test_pictures_of_every_kind(start):
    client = start()
    deep = io.BytesIO()
    Image.fromarray((np.arange(600).reshape(20, 30) * 100).astype(np.uint16)).save(deep, "PNG")
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(turned, "JPEG", exif=exif)
    palette = io.BytesIO()
    Image.new("P", (30, 20)).save(palette, "PNG", transparency=bytes(range(256)))
    for data, size in (
        (deep.getvalue(), (30, 20)),
        (turned.getvalue(), (20, 30)),
        (palette.getvalue(), (30, 20)),
        (encoded((1, 1), "PNG"), (1, 1)),
        (encoded((30, 20), "WEBP"), (30, 20)),
        (encoded((30, 20), "GIF"), (30, 20)),
    ):
        said = client.post("/predict", content=data, headers={"Content-Type": "image/x"}).json()
        assert (said["width"], said["height"]) == size


def test_bodies_that_are_wrong(start):
    client = start(max_upload=0.01, max_pixels=0.1)
    post = client.post
    half = encoded((200, 200), "PNG", "red")
    for response, status, words in (
        (post("/predict", content=b""), 400, "the body is empty"),
        (post("/predict", content=b"{", headers={"Content-Type": "application/json"}), 400, "JSON"),
        (post("/predict", json=[1]), 400, "no object"),
        (post("/predict", json={"threshold": 0.5}), 400, "image: missing"),
        (post("/predict", json={"image": "%%%"}), 400, "base64"),
        (post("/predict", data={"image": "text"}, files={"other": b"x"}), 400, "image: missing"),
        (
            post("/predict", content=b"x", headers={"Content-Type": "multipart/form-data"}),
            400,
            "form cannot be read",
        ),
        (post("/predict", content=b"x", headers={"Content-Type": "text/html"}), 415, "text/html"),
        (post("/predict", content=b"no picture", headers=JPEG), 415, "no picture"),
        (post("/predict", content=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9"), 415, "no"),
        (post("/predict", content=half[: len(half) // 2], headers=JPEG), 422, "broken"),
        (post("/predict", content=noise((90, 90)), headers=JPEG), 413, "more than 0.01 MB"),
        (post("/predict", content=iter([b"x" * 9000] * 3), headers=JPEG), 413, "0.01 MB"),
        (post("/predict", content=encoded((400, 300)), headers=JPEG), 413, "0.1 megapixels"),
    ):
        assert words in refused(response, status)
    assert post("/predict", content=encoded(), headers=JPEG).status_code == 200


def test_a_picture_that_would_fill_the_memory_is_not_decoded(start):
    line = refused(start().post("/predict", content=bomb(), headers=JPEG), 413)
    assert "40 megapixels" in line


def test_options_that_are_wrong(start):
    client = start({"a": LeftHalf(), "b": LeftHalf()})
    for query, words in (
        ("threshold=2", "threshold: '2' is no score"),
        ("threshold=nan", "threshold"),
        ("masks=perhaps", "masks"),
        ("answer=xml", "answer: 'xml'; choose json, picture or both"),
        ("run=/etc/passwd", "run: there is no '/etc/passwd'; choose from a, b"),
        ("color=red", "color: no such option; there are run, threshold, masks"),
        (f"source={'x' * 300}", "source"),
    ):
        response = client.post(f"/predict?{query}", content=encoded(), headers=JPEG)
        assert words in refused(response, 422)
    nested = {"image": "", "threshold": {"a": 1}}
    assert "threshold" in refused(client.post("/predict", json=nested), 422)


def test_other_paths_and_methods(start):
    client = start()
    for path in ("/nothing", "/predict/../../etc/passwd", "/docs"):
        refused(client.get(path), 404)
    assert "POST" in client.get("/predict").headers["allow"]
    refused(client.get("/predict"), 405)


def test_description_health_and_openapi(start):
    client = start({"a<b": LeftHalf()})
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "a&lt;b" in page.text
    assert "://" not in page.text.replace("http://HOST:PORT", "")  # it fetches nothing
    assert client.get("/healthz").json()["status"] == "ok"
    predict = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert {one["name"] for one in predict["parameters"]} == {
        "run",
        "threshold",
        "masks",
        "answer",
        "source",
    }


def test_metrics_are_prometheus_text(start):
    parser = pytest.importorskip("prometheus_client.parser", reason="needs dmaskrcnn[serve]")
    client = start()
    for content in (encoded(), encoded(), b"no picture"):
        client.post("/predict", content=content, headers=JPEG)
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert values["dmaskrcnn_calls_total", "200"] == 2
    assert values["dmaskrcnn_calls_total", "415"] == 1
    assert values["dmaskrcnn_pictures_total", "a"] == values["dmaskrcnn_objects_total", "a"] == 2
    assert values["dmaskrcnn_batch_pictures_count",] == 2
    assert values["dmaskrcnn_calls_in_flight",] == 0
    assert values["process_resident_memory_bytes",] > 1e6


def test_a_late_answer_and_a_failing_detector(start):
    late = start({"a": Slow(1.0)}, timeout=0.2)
    line = refused(late.post("/predict", content=encoded(), headers=JPEG), 504)
    assert line == "no answer within 0.2 s; try again later"
    broken = start({"a": LeftHalf(fail_at=MemoryError("lots\nof lines"), fail_after=0)})
    assert refused(broken.post("/predict", content=encoded(), headers=JPEG), 500) == (
        "the detector failed (MemoryError)"
    )
    assert broken.get("/healthz").status_code == 200


def test_clear_and_hazy_frames_go_to_their_detectors(start, street):
    hazy, clear = (_png(picture) for picture in street)
    client = start(
        {"fog": LeftHalf(), "clear": LeftHalf(score=0.9)}, ClearAir("clear", HazeSwitch(0.45, 0.55))
    )

    def run(data: bytes, **query: str) -> str:
        return client.post("/predict", params=query, content=data, headers=JPEG).json()["run"]

    hazes = [client.post("/predict", content=d, headers=JPEG).json()["haze"] for d in (hazy, clear)]
    assert hazes[0] > 0.55 > 0.45 > hazes[1]
    assert [run(d, source="x") for d in (hazy, clear, hazy)] == ["fog", "clear", "fog"]
    assert run(hazy, run="clear") == "clear"


def test_each_source_remembers_its_own_weather(start, street):
    hazy, _ = (_png(picture) for picture in street)
    haze = start().post("/predict", content=hazy, headers=JPEG).json()["haze"]
    client = start(
        {"fog": LeftHalf(), "clear": LeftHalf()},
        ClearAir("clear", HazeSwitch(haze - 0.3, haze + 0.01)),
    )

    def run(data: bytes, source: str) -> str:
        return client.post(
            "/predict", params={"source": source}, content=data, headers=JPEG
        ).json()["run"]

    assert run(encoded((64, 64), colour="black"), "east") == "clear"
    assert run(hazy, "east") == "clear"  # between the thresholds: as it was
    assert run(hazy, "west") == "fog"  # the first frame: nearer to the upper one


def _png(picture: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(data, "PNG")
    return data.getvalue()


def test_limits_are_checked():
    from dmaskrcnn.errors import UserError

    for values in ({"queue": 0}, {"timeout": 0}, {"max_upload": 2000}, {"threshold": 2}):
        with pytest.raises(UserError, match=f"--{next(iter(values)).replace('_', '-')} must"):
            Limits(**values)
    assert json.dumps(Limits().most_bytes) == "20000000"
