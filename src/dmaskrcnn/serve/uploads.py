"""What a call of ``POST /predict`` brings: a body of limited size, and the picture and options in
it. Nothing of it reaches the disk."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from dmaskrcnn.arrays import as_image
from dmaskrcnn.data.image import upright_pixels
from dmaskrcnn.errors import first_line
from dmaskrcnn.serve.limits import Limits, RefusedError

if TYPE_CHECKING:
    from torch import Tensor

Answer = Literal["json", "picture", "both"]
# Not all that Pillow opens: some of its readers start other programs, or are seldom used.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
LINGER = 10.0  # seconds that the rest of a refused body is read for, so that its sender looks up
PICTURE_FIELDS = ("image", "file")
FORM_FIELDS = 16  # more than there are options
JSON_PARTS = 64  # brackets and braces: base64 has none, and what is nested takes 24 times its size


@dataclass(frozen=True)
class Options:
    """What a call may ask for, as query parameters or beside the picture.

    Attributes:
        run: the name of a run; None: the first, or with ``--clear`` the one that suits the haze.
        threshold: the lowest score of an object; None: the service's.
        masks: whether the JSON has masks.
        answer: JSON, the annotated picture, or both.
        source: whose frame it is: each source has its own memory of clear and hazy.
    """

    run: str | None = None
    threshold: float | None = None
    masks: bool = True
    answer: Answer = "json"
    source: str = ""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Of text, or of JSON's types. Raises RefusedError where one is unknown or out of range."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise RefusedError(422, f"{unknown[0]}: no such option; there are {', '.join(known)}")
        read: dict[str, Any] = {}
        for name, value in values.items():
            if not isinstance(value, (str, int, float, bool)):
                raise RefusedError(422, f"{name}: {str(value)[:40]!r} is no value for it")
            read[name] = value if name == "masks" else str(value)
        if "threshold" in read:
            read["threshold"] = _score(read["threshold"])
        if "masks" in read:
            read["masks"] = _yes_or_no(read["masks"])
        if read.get("answer", "json") not in get_args(Answer):
            raise RefusedError(
                422, f"answer: {read['answer'][:40]!r}; choose json, picture or both"
            )
        if len(read.get("source", "")) > 200:
            raise RefusedError(422, "source: has more than 200 letters; choose a shorter name")
        return cls(**read)


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise RefusedError(422, f"threshold: {text[:40]!r} is no score; give a number from 0 to 1")
    return value


def _yes_or_no(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if (word := str(value).lower()) not in words:
        raise RefusedError(422, f"masks: {str(value)[:40]!r} is neither true nor false")
    return words[word]


# --- the body -------------------------------------------------------------------------------------


async def read_body(request: Request, limits: Limits, hold: Callable[[int], None]) -> bytes:
    """The body of a call, at most ``limits.max_upload``.

    Args:
        request: not read yet.
        limits: of the service.
        hold: told of the bytes as they arrive; may raise.

    Raises:
        RefusedError: it is too large, ``hold`` does not want it, or the caller went away.
    """
    declared = request.headers.get("content-length", "")
    _check_size(int(declared) if declared.isdigit() else 0, limits)
    body = bytearray()
    try:
        async for chunk in request.stream():
            hold(len(chunk))
            body += chunk
            _check_size(len(body), limits)
    except ClientDisconnect:
        raise RefusedError(400, "the caller went away before the end of the body") from None
    return bytes(body)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.most_bytes:
        raise RefusedError(
            413, f"the body has more than {limits.max_upload:g} MB; send a smaller one"
        )


async def drop_rest(request: Request) -> None:
    """Read on and keep nothing: most callers look for an answer only once they have sent all."""

    async def read() -> None:
        async for _ in request.stream():
            pass

    if request.headers.get("expect", "").lower() != "100-continue":  # those look before
        with suppress(asyncio.TimeoutError, ClientDisconnect, RuntimeError):  # all is read
            await asyncio.wait_for(read(), LINGER)


async def read_call(request: Request, body: bytes) -> tuple[bytes, Options]:
    """The encoded picture and the options of a call: of its query, and of the JSON or form.

    Raises:
        RefusedError: 400 for a body that is not what its type says, 415 for another type, 422 for
            options.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    values: dict[str, Any] = dict(request.query_params)
    if not body:
        raise RefusedError(400, "the body is empty; send a picture")
    if kind == "application/json":
        data, more = await asyncio.to_thread(_from_json, body)
    elif kind == "multipart/form-data":
        data, more = await _from_form(request, body)
    elif kind.startswith("image/") or kind in ("application/octet-stream", ""):
        data, more = body, {}
    else:
        raise RefusedError(
            415,
            f"content type {kind[:60]!r}; send image/*, multipart/form-data with a file named "
            "image, or application/json with base64 in image",
        )
    return data, Options.read(values | more)


def _from_json(body: bytes) -> tuple[bytes, dict[str, Any]]:
    if body.count(b"{") + body.count(b"[") > JSON_PARTS:
        raise RefusedError(400, 'the JSON has too many parts; send {"image": base64}')
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is no JSON ({first_line(error)})") from None
    if not isinstance(values, dict):
        raise RefusedError(400, 'the JSON is no object; send {"image": base64}')
    text = next((values.pop(name) for name in PICTURE_FIELDS if name in values), None)
    if not isinstance(text, str):
        raise RefusedError(400, "image: missing; send the picture's base64 in it")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True), values
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, f"image: is no base64 ({first_line(error)})") from None


class _InMemory(MultiPartParser):
    spool_max_size = sys.maxsize  # starlette's own writes files of more than 1 MB to the disk


async def _from_form(request: Request, body: bytes) -> tuple[bytes, dict[str, Any]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = _InMemory(request.headers, stream(), max_files=1, max_fields=FORM_FIELDS)
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", "") or first_line(error)
        raise RefusedError(400, f"the form cannot be read ({reason})") from None
    try:
        values = dict(form)
        file = next((values.pop(name) for name in PICTURE_FIELDS if name in values), None)
        if not isinstance(file, UploadFile):
            raise RefusedError(400, "image: missing; send the picture as a file of this name")
        return await file.read(), values
    finally:
        await form.close()


# --- the picture ----------------------------------------------------------------------------------


def decode_upload(data: bytes, limits: Limits) -> Tensor:
    """The picture in the bytes of a file, EXIF rotation applied: uint8 ``(3, H, W)``, RGB.

    Raises:
        RefusedError: 415 where it is no picture, 413 where it has too many pixels (before memory is
            taken for them), 422 where it is broken.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(limits) from None
    except Exception:  # Pillow's readers raise many kinds on what is no picture
        known = ", ".join(FORMATS)
        raise RefusedError(415, f"this is no picture that can be read ({known})") from None
    with picture:
        if picture.width * picture.height > limits.max_pixels * 1e6:
            raise _too_large(limits)
        try:
            pixels = upright_pixels(picture, io.BytesIO(data))
        except Exception as error:  # as above, on broken files
            raise RefusedError(422, f"the picture is broken ({first_line(error)})") from None
    return as_image(pixels)


def _too_large(limits: Limits) -> RefusedError:
    return RefusedError(
        413, f"the picture has more than {limits.max_pixels:g} megapixels; send a smaller one"
    )
