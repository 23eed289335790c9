"""The words after ``dmaskrcnn train`` and ``adapt`` to a configuration: every option of a training,
its architecture and all methods is a flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from tyro.conf import Suppress, arg

from dmaskrcnn.cli.arguments import parse
from dmaskrcnn.cli.verbs import Adapt, Resume, Train
from dmaskrcnn.config.methods import MethodSettings, find_methods
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.presets import ADAPT
from dmaskrcnn.config.train import TrainConfig, complete, overlay, read_yaml, typed
from dmaskrcnn.config.values import flag
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError

HELP = ("-h", "--help")
FROM_FILE, FROM_RUN = "config", "resume"  # the flags that are no option of the training


@dataclass(frozen=True)
class TrainFlags(TrainOptions):
    """What these verbs take beside the options of a training."""

    config: Annotated[str, arg(metavar="FILE", help_behavior_hint="")] = ""
    """YAML file with these options (config.yaml of any run is one); flags win over it."""
    resume: Annotated[str, arg(metavar="RUN", help_behavior_hint="")] = ""
    """Alone: continue the interrupted run in this folder from its last checkpoint."""


@dataclass
class Group:
    """Settings that one class declares, which one or more methods have.

    Attributes:
        methods: the names of these methods.
        names: of the settings.
        kind: for tyro, what holds them.
    """

    methods: list[str]
    names: list[str]
    kind: type


def parse_training(verb: type[Train | Adapt], arguments: Sequence[str]) -> TrainConfig | Resume:
    """The configuration that the words after the verb stand for, or the run to resume.

    Raises:
        UserError: words that are no flags or do not fit, a file that cannot be read.
        SystemExit: 0 after the help was shown, with the defaults that the other words lead to.
    """
    program = f"dmaskrcnn {verb.__name__.lower()}"
    groups = _groups(find_methods())
    flags = _flags(groups)
    words = [word for word in arguments if word not in HELP]
    given = _given(parse(flags, words, program), groups, words)
    values = _over_file(given)
    if len(words) < len(arguments):
        usual = ADAPT if verb is Adapt else {}
        default = _defaults(flags, groups, overlay(usual, values))
        parse(flags, ["--help"], program, verb.__doc__ or "", default)
    if FROM_RUN in given:
        for name in given:
            if name != FROM_RUN:
                raise UserError(
                    f"--resume continues a run with the options it began with: leave {flag(name)} "
                    "out"
                )
        return Resume(Path(given[FROM_RUN]))
    if verb is Adapt:
        from dmaskrcnn.training.adapt import adapt_config

        return adapt_config(values)
    return TrainConfig.from_dict(values)


def _over_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given as flags, over those of the file that --config names."""
    options = {n: v for n, v in given.items() if n not in (FROM_FILE, FROM_RUN)}
    if FROM_FILE not in given:
        return options
    file = Path(given[FROM_FILE])
    said = typed(read_yaml(file), str(file))
    preset, other = options.get("preset"), said.get("preset")
    if preset and other and preset != other:
        # the file of a run holds all values of its preset: nothing would be left of the flag's
        raise UserError(f"--preset {preset}: {file} has the preset {other}; change it there")
    return overlay(said, options)


# --- the flags ------------------------------------------------------------------------------------


def _groups(methods: Mapping[str, type[MethodSettings]]) -> dict[str, Group]:
    """The settings of all methods, each once; inherited ones where they are declared."""
    names: dict[type, list[str]] = {}
    users: dict[type, list[str]] = {}
    for method, settings in methods.items():
        for name in (f.name for f in fields(settings)):
            owner = next(c for c in reversed(settings.__mro__) if name in _field_names(c))
            if method not in users.setdefault(owner, []):
                users[owner].append(method)
            if not any(name in taken for taken in names.values()):
                names.setdefault(owner, []).append(name)
    return {
        f"settings_{number}": Group(users[owner], own, _unchecked(owner, own))
        for number, (owner, own) in enumerate(names.items())
    }


def _flags(groups: Mapping[str, Group]) -> type:
    """The dataclass whose fields are the flags."""
    methods = find_methods()
    said = " ".join(f"`{name}`: {(m.__doc__ or '').split('.')[0]}." for name, m in methods.items())
    architecture = _unchecked(DetectorConfig, _field_names(DetectorConfig))
    members: list[tuple[str, Any, Any]] = [
        ("method", Annotated[Literal[tuple(methods)], arg(help=said)], field(default="grl")),
        ("detector", architecture, field(default_factory=architecture)),
    ]
    for key, group in groups.items():
        title = arg(name=", ".join(group.methods))
        members.append((key, Annotated[group.kind, title], field(default_factory=group.kind)))
    return make_dataclass("Flags", members, bases=(TrainFlags,), frozen=True)


def _unchecked(kind: type, shown: Sequence[str]) -> type:
    """A dataclass as flags: what is not shown is hidden, and nothing is checked before the defaults
    are known."""
    hints = get_type_hints(kind, include_extras=True)
    hidden = [
        (f.name, Annotated[hints[f.name], Suppress], _same_default(f))
        for f in fields(kind)
        if f.name not in shown
    ]
    nothing = {"__post_init__": lambda self: None}
    return make_dataclass(kind.__name__, hidden, bases=(kind,), namespace=nothing, frozen=True)


def _same_default(of: Any) -> Any:
    if of.default is not MISSING:
        return field(default=of.default)
    return field(default_factory=of.default_factory)


def _given(parsed: Any, groups: Mapping[str, Group], words: Sequence[str]) -> dict[str, Any]:
    """The values of the flags among the words."""
    said = {word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")}
    places = [(parsed, _field_names(TrainFlags)), (parsed.detector, _field_names(DetectorConfig))]
    places += [(getattr(parsed, key), group.names) for key, group in groups.items()]
    return {
        name: getattr(place, name)
        for place, names in places
        for name in names
        if said & {flag(name), flag(f"no_{name}")}
    }


def _defaults(flags: type, groups: Mapping[str, Group], values: dict[str, Any]) -> Any:
    """The flags with the values that a training has with these options."""
    options, settings = complete(values)
    filled = {name: getattr(options, name) for name in _field_names(TrainOptions)}
    filled |= {name: values[name] for name in (FROM_FILE, FROM_RUN) if name in values}
    for key, group in groups.items():
        usual = group.kind(**group.kind.defaults(options))  # of a method that is not chosen
        own = settings if options.method in group.methods else usual
        filled[key] = group.kind(**{name: getattr(own, name) for name in group.names})
    architecture = next(f.type for f in fields(flags) if f.name == "detector")
    names = _field_names(DetectorConfig)
    filled["detector"] = architecture(**{n: getattr(options.detector, n) for n in names})
    return flags(**filled)


def _field_names(kind: type) -> list[str]:
    return [*getattr(kind, "__dataclass_fields__", ())]
