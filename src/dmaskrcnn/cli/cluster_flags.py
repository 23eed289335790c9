"""The flags of verbs that run on many machines. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from dmaskrcnn.errors import UserError

# `--cluster` alone, or with an address
_Address = Annotated[
    str,
    PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="[ADDRESS]",
        instance_from_str=lambda words: words[0] if words else "local",
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda value: [value],
    ),
    arg(help_behavior_hint="(default: without Ray; alone: Ray on this machine)"),
]


@dataclass(kw_only=True)
class OnCluster:
    """What verbs share that do millions of pictures on Ray (docs/cluster.md)."""

    cluster: _Address = ""
    """Do pictures of folders, lists (.txt), Parquet and buckets (s3://…) on Ray, to Parquet: on
    that of `auto` or HOST:PORT. Started again, it does what is missing."""
    actors: Annotated[int, arg(help_behavior_hint="(default: one per GPU, or else per CPU)")] = 0
    """With --cluster: how many detectors or dehazers at once."""
    column: Annotated[str, arg(help_behavior_hint="(default: the only one)")] = ""
    """With --cluster: the column of Parquet with paths or pictures."""

    def check_cluster(self) -> None:
        """Raises UserError for flags that say nothing without ``--cluster``."""
        for name in ("actors", "column", "pictures"):
            if getattr(self, name, None) and not self.cluster:
                raise UserError(f"--{name} is for --cluster; add that, or leave it out")
