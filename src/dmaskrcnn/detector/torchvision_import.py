"""torchvision without torch's compiler, which it imports for the sake of one function: 5 of the 9
seconds that importing the two took (torch 2.11, torchvision 0.26)."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo.utils"


class _Later(ModuleType):
    """Stands in for the module; becomes it as soon as anything else of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `inspect` asks all modules where they come from
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        return getattr(import_module(_COMPILER), name)


def _is_compile_supported(device_type: str) -> bool:
    """What torchvision asks where its RoIAlign has no kernel: answered when it does ask."""
    return import_module(_COMPILER).is_compile_supported(device_type)


def import_torchvision() -> None:
    """Import torchvision before anything does that would wait for the compiler. The compiler is
    there, as ever, for whoever imports it."""
    if "torchvision" in sys.modules or _COMPILER in sys.modules:
        return
    import torch  # noqa: F401  (itself with the real modules alone)

    if _COMPILER in sys.modules:  # another release may need it
        return
    later = sys.modules[_COMPILER] = _Later(_COMPILER)
    later.__dict__["is_compile_supported"] = _is_compile_supported
    try:
        import torchvision  # noqa: F401
    finally:
        if sys.modules.get(_COMPILER) is later:
            del sys.modules[_COMPILER]
