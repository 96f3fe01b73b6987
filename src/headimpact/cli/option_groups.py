"""A command's options in groups, as `--help` shows them: one for each class that declares some; flags are the same."""

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Mapping
from textwrap import dedent
from typing import Annotated, Any, get_type_hints

from tyro.conf import arg

Group = list[tuple[str, Any, Any]]
"""Name, type and default of each option."""


def group_options(config_class: type, values: Mapping[str, Any]) -> type:
    """Make of a command's flat config a dataclass of groups, from which tyro makes flags and help.

    The options that a parent class declares are a group under its name (`ModelOptions` gives "model options"); the
    command's own ones stand first, under no name.

    Args:
        config_class: Dataclass of the command.
        values: Defaults that take the place of the class's own.

    Returns:
        A dataclass with a field for each group.
    """
    hints, texts = get_type_hints(config_class, include_extras=True), _help_texts(config_class)
    groups: dict[type, Group] = {}
    for field in dataclasses.fields(config_class):
        given = values.get(field.name, field.default)
        default = dataclasses.field() if given is dataclasses.MISSING else dataclasses.field(default=given)
        explained = Annotated[hints[field.name], arg(help=texts[field.name])]  # type: ignore[valid-type, name-defined]
        groups.setdefault(_declaring(config_class, field.name), []).append((field.name, explained, default))
    parts = []
    for owner, options in groups.items():
        part = dataclasses.make_dataclass(owner.__name__, options, kw_only=True)
        part.__doc__ = owner.__doc__
        title = "" if owner is config_class else _title(owner)
        parts.append((owner.__name__, Annotated[part, arg(name=title)]))
    grouped = dataclasses.make_dataclass(config_class.__name__, parts, kw_only=True)
    grouped.__doc__ = config_class.__doc__
    return grouped


def flatten(config_class: type, grouped: Any) -> Any:
    """Make of parsed groups the command's config.

    Args:
        config_class: Dataclass of the command.
        grouped: An instance of what `group_options` made.

    Returns:
        An instance of `config_class`.
    """
    parts = [getattr(grouped, field.name) for field in dataclasses.fields(grouped)]
    return config_class(
        **{field.name: getattr(part, field.name) for part in parts for field in dataclasses.fields(part)}
    )


def _declaring(config_class: type, name: str) -> type:
    """Find the class that declares an option first; one that changes its default does not move it."""
    return next(one for one in reversed(config_class.__mro__) if name in inspect.get_annotations(one))


def _title(owner: type) -> str:
    """Name a group by its class.

    Example:
        >>> _title(type("AttentionMapOptions", (), {}))
        'attention map'
    """
    *words, _ = re.findall("[A-Z][a-z]*", owner.__name__)
    return " ".join(words).lower()


def _help_texts(config_class: type) -> dict[str, str]:
    """Read the text below every option in the source of the class that declares it last."""
    found: dict[str, str] = {}
    for one in config_class.__mro__:
        if not dataclasses.is_dataclass(one):
            continue
        (node,) = ast.parse(dedent(inspect.getsource(one))).body
        body = node.body if isinstance(node, ast.ClassDef) else []
        for option, text in itertools.pairwise(body):
            if isinstance(option, ast.AnnAssign) and isinstance(option.target, ast.Name):
                below = text.value.value if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else ""
                found.setdefault(option.target.id, " ".join(str(below).split()))
    return found
