"""The words after ``dmaskrcnn train`` and ``adapt`` to a configuration: every option of a training,
its architecture and all methods is a flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from tyro.conf import Suppress, arg

from dmaskrcnn.cli.arguments import parse
from dmaskrcnn.cli.training_verbs import Adapt, Resume, Train
from dmaskrcnn.config.methods import MethodSettings, find_methods
from dmaskrcnn.config.options import TrainOptions
from dmaskrcnn.config.presets import ADAPT
from dmaskrcnn.config.train import TrainConfig, complete, favoured, overlay, read_yaml, typed
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import flag

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
    """Flags that help shows together: the architecture, or settings that one class declares.

    Attributes:
        title: above them: the methods that have the settings.
        names: of the fields.
        owner: the dataclass that declares them.
        kind: what holds them for tyro.
    """

    title: str
    names: list[str]
    owner: type
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
        usual = favoured(values, ADAPT) if verb is Adapt else values
        default = _defaults(flags, groups, usual)
        parse(flags, ["--help"], program, verb.__doc__ or "", default)
    if FROM_RUN in given:
        for name in given:
            if name != FROM_RUN:
                raise UserError(
                    f"--resume continues a run with the options it began with: leave {flag(name)} "
                    "out"
                )
        return Resume(Path(given[FROM_RUN]))
    from dmaskrcnn.training.adapt import adapt_config, with_fitting_preset

    if verb is Adapt:
        return adapt_config(values)
    return TrainConfig.from_preset(**with_fitting_preset(values))


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
    """The architecture, and the settings of all methods, each once; inherited ones where they are
    declared."""
    names: dict[type, list[str]] = {}
    users: dict[type, list[str]] = {}
    for method, settings in methods.items():
        for name in (f.name for f in fields(settings)):
            owner = next(c for c in reversed(settings.__mro__) if name in _field_names(c))
            if method not in users.setdefault(owner, []):
                users[owner].append(method)
            if not any(name in taken for taken in names.values()):
                names.setdefault(owner, []).append(name)
    architecture = _field_names(DetectorConfig)
    groups = {"detector": _group("detector", architecture, DetectorConfig)}
    for number, (owner, own) in enumerate(names.items()):
        title = ", ".join(users[owner])
        groups[f"settings_{number}"] = _group(title, own, owner)
    return groups


def _flags(groups: Mapping[str, Group]) -> type:
    """The dataclass whose fields are the flags."""
    methods = find_methods()
    said = " ".join(f"`{name}`: {(m.__doc__ or '').split('.')[0]}." for name, m in methods.items())
    choice = Annotated[Literal[tuple(methods)], arg(help=said)]
    members: list[tuple[str, Any, Any]] = [("method", choice, field(default=TrainOptions.method))]
    for key, group in groups.items():
        kind = Annotated[group.kind, arg(name=group.title)]
        members.append((key, kind, field(default_factory=group.kind)))
    return make_dataclass("Flags", members, bases=(TrainFlags,), frozen=True)


def _group(title: str, names: list[str], owner: type) -> Group:
    """These fields as flags: the others are hidden, and nothing is checked before all defaults are
    known."""
    hints = get_type_hints(owner, include_extras=True)
    hidden = [
        (f.name, Annotated[hints[f.name], Suppress], _same_default(f))
        for f in fields(owner)
        if f.name not in names
    ]
    nothing = {"__post_init__": lambda self: None}
    kind = make_dataclass(owner.__name__, hidden, bases=(owner,), namespace=nothing, frozen=True)
    return Group(title, names, owner, kind)


def _same_default(of: Any) -> Any:
    if of.default is not MISSING:
        return field(default=of.default)
    return field(default_factory=of.default_factory)


def _given(parsed: Any, groups: Mapping[str, Group], words: Sequence[str]) -> dict[str, Any]:
    """The values of the flags among the words."""
    said = {word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")}
    places = [(parsed, _field_names(TrainFlags))]
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
        if key == "detector":
            own: Any = options.detector
        elif isinstance(settings, group.owner):
            own = settings
        else:  # of methods that are not chosen
            own = group.kind(**group.kind.defaults(options))
        filled[key] = group.kind(**{name: getattr(own, name) for name in group.names})
    return flags(**filled)


def _field_names(kind: type) -> list[str]:
    return [*getattr(kind, "__dataclass_fields__", ())]
