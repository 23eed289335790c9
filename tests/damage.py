"""Valid files, damaged at random: in their bytes, or in what they say."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, 1e300, float("nan"), float("-inf"), "", "x", "1", "\ud800"),
    *("\x1b[31m", "a\nb", [], {}, [[]], [None], {"": 0}, [1e999] * 4, "../x", "x" * 300, "\0"),
    [[[[[[[[]]]]]]]],
)
Damage = Callable[[random.Random, bytes], bytes]


def damaged_bytes(chance: random.Random, data: bytes) -> bytes:
    """Cut, flipped, doubled or replaced in places."""
    new = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(new) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            del new[at:]
        elif kind == 1 and at < len(new):
            new[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            new[at:at] = chance.randbytes(chance.choice((1, 4, 40)))
        elif kind == 3:
            del new[at : at + chance.choice((1, 4, 40))]
        elif kind == 4:
            new[at : at + 4] = b"\xff" * 4
        else:
            new[at:at] = new[at : at + 40]
    return bytes(new)


def damaged_value(chance: random.Random, value: Any) -> Any:
    """A tree of lists and dicts with something replaced, removed or doubled in it."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        kind = chance.randrange(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {chance.choice(("x", "\ud800", "", "\x1b")): chance.choice(ODD)}
        return value | {key: damaged_value(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], damaged_value(chance, value[at]), *value[at + 1 :]]
    return chance.choice(ODD)


def damaged_json(chance: random.Random, data: bytes) -> bytes:
    kind = chance.randrange(6)
    if kind == 0:
        return damaged_bytes(chance, data)
    if kind == 1:
        return data.decode().encode(chance.choice(("utf-16", "utf-8-sig", "cp037")))
    if kind == 2:
        return data.replace(b":", b":" + b"[" * 100_000, 1)
    return json.dumps(damaged_value(chance, json.loads(data))).encode()


def damaged_yaml(chance: random.Random, data: bytes) -> bytes:
    if chance.random() < 0.4:
        return damaged_bytes(chance, data)
    tags = ("!!binary x", "!!timestamp x", "!!float ''", "!!bool x", "!!set {a}", "2020-13-45")
    tags += ("2020-01-02", "&a [*a]", "!!python/object:os.system x", "0b", "1:30", "{[a]: b}")
    lines = data.decode().splitlines()
    at = chance.randrange(len(lines))
    if chance.random() < 0.5:
        lines[at] = f"{lines[at].partition(':')[0]}: {chance.choice(tags)}"
    else:
        lines[at] = f"{lines[at].partition(':')[0]}: {json.dumps(chance.choice(ODD))}"
    return "\n".join(lines).encode(errors="surrogatepass")


def damaged_torch(chance: random.Random, data: bytes) -> bytes:
    if chance.random() < 0.3:
        return damaged_bytes(chance, data)
    state = torch.load(io.BytesIO(data), weights_only=True)
    new = io.BytesIO()
    torch.save(damaged_value(chance, state), new)
    return new.getvalue()


def damaged_npz(chance: random.Random, data: bytes) -> bytes:
    if chance.random() < 0.5:
        return damaged_bytes(chance, data)
    shape = chance.choice(((4, 6), (4, 6, 1), (6, 4), (), (0,), (400, 60), (4, 6, 2)))
    kinds = (*(1.0, 1e300, -1.0, np.nan, np.inf, 1, 1j, "a", b"a", True), np.float16(1))
    array = np.full(shape, chance.choice(kinds))
    new = io.BytesIO()
    np.savez_compressed(new, **{chance.choice(("depth", "x")): array})
    return new.getvalue()
