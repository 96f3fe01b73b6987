"""The door into transformers' attention: sees every call of chosen modules, and may hand on another output.

Attention modules look their function up at each call, in an `AttentionInterface` by the name in the config,
or, for `eager`, in their own modelling file. The function that stands there is replaced in place by one that
calls it and, for chosen modules only, shows the call to an observer, or lets a replacement give the output that
the module gets; on exit it is put back. So the name in the config stays, and with it the mask that the
implementation expects.

One door per place serves any number of watchers, so captures may be nested, overlap or belong to several
models; the last one out puts the original back.
"""

import contextlib
import dataclasses
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from headimpact.core.errors import UnsupportedModelError

EAGER = "eager"
_EAGER_FUNCTION = "eager_attention_forward"
_INTERFACE = "ALL_ATTENTION_FUNCTIONS"
_ABSENT = object()
_ARGUMENTS = ("module", "query", "key", "value", "attention_mask")


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionCall:
    """One call of a chosen module's attention function, after it returned.

    Attributes:
        module: The attention module.
        implementation: Name of the function, as in the model's config.
        query: Queries `[batch, heads, queries, head_dim]`, rotary positions applied.
        key: Keys `[batch, key_value_heads, keys, head_dim]`.
        value: Values `[batch, key_value_heads, keys, value_dim]`.
        attention_mask: What the function got: None, 4-D bool or additive, 2-D padding, or a `BlockMask`.
        options: Its keyword arguments (scaling, softcap, sliding_window, is_causal, ...).
        weights: Attention weights that the function itself returned, or None.
    """

    module: nn.Module
    implementation: str
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    attention_mask: Any
    options: Mapping[str, Any]
    weights: torch.Tensor | None


_Watcher = Callable[[AttentionCall, torch.Tensor], torch.Tensor]
"""(call, output so far) -> output from here on."""


@contextlib.contextmanager
def observe_attention(
    modules: Mapping[int, nn.Module], observer: Callable[[int, AttentionCall], None]
) -> Iterator[None]:
    """Show every attention call of some modules to an observer while the block runs.

    Args:
        modules: Layer to attention module; other modules, of this or any model, pass unseen.
        observer: Called with the layer and the call after the attention function returned.

    Yields:
        Nothing.

    Raises:
        UnsupportedModelError: If a module does not look its attention function up the way transformers does.
    """

    def show(layer: int, call: AttentionCall, output: torch.Tensor) -> torch.Tensor:
        observer(layer, call)
        return output

    with replace_attention(modules, show):
        yield


@contextlib.contextmanager
def replace_attention(
    modules: Mapping[int, nn.Module], replacement: Callable[[int, AttentionCall, torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Let a function give the output of every attention call of some modules while the block runs.

    Where several are there at once, each gets what the one before it gave, in the order in which they came; calls
    hold queries, keys and values as the model made them.

    Args:
        modules: Layer to attention module; other modules, of this or any model, pass unseen.
        replacement: Called with the layer, the call and its output `[batch, queries, heads, value_dim]` before the
            output projection, which it must not change; gives the output that the module goes on with.

    Yields:
        Nothing.

    Raises:
        UnsupportedModelError: If a module does not look its attention function up the way transformers does.
    """
    with contextlib.ExitStack() as stack:
        for layer, module in modules.items():
            door = _door_of(module)
            stack.enter_context(door.watch(module, functools.partial(replacement, layer)))
        yield


class _Door:
    """One place where an attention function stands, and who watches which module there."""

    def __init__(self, owner: Any, name: str, implementation: str) -> None:
        """Remember the place.

        Args:
            owner: An `AttentionInterface`, or the global names of a modelling file.
            name: Entry in it.
            implementation: Name of the function in the model's config.
        """
        self._owner = owner
        self._name = name
        self._implementation = implementation
        self._watchers: dict[Any, list[_Watcher]] = {}  # by module
        self._watched: Callable[..., Any] | None = None
        self._before: Any = _ABSENT
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watch(self, module: nn.Module, watcher: _Watcher) -> Iterator[None]:
        """Pass calls of one module to a watcher; the door is there as long as anyone watches."""
        with self._lock:
            if not self._watchers:
                self._install()
            self._watchers[module] = [*self._watchers.get(module, ()), watcher]
        try:
            yield
        finally:
            with self._lock:
                left = [kept for kept in self._watchers[module] if kept is not watcher]
                if left:
                    self._watchers[module] = left
                else:
                    del self._watchers[module]
                if not self._watchers:
                    self._remove()

    def _install(self) -> None:
        """Put the watching function where the original stands."""
        original = self._owner[self._name]
        # An interface falls back from its own entries to those of all models; note what stood here itself.
        self._before = self._own_entries().get(self._name, _ABSENT)
        names = _argument_names(original)

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if self._watched is not watched:  # left behind in somebody else's chain
                return result
            module = args[0] if args else kwargs.get("module")
            watchers = self._watchers.get(module)
            if not watchers:
                return result
            call, output = _describe(names, args, kwargs, result, self._implementation), result[0]
            for watcher in watchers:
                output = watcher(call, output)
            return output, *result[1:]

        self._watched = self._owner[self._name] = watched

    def _remove(self) -> None:
        """Put the original back, exactly as it stood, unless somebody has replaced ours meanwhile."""
        if self._own_entries().get(self._name) is self._watched:
            if self._before is _ABSENT:
                del self._owner[self._name]
            else:
                self._owner[self._name] = self._before
        self._watched, self._before = None, _ABSENT

    def _own_entries(self) -> dict[str, Any]:
        """Give the place's own entries, without what an interface shares with others."""
        entries: dict[str, Any] = (
            self._owner._local_mapping if isinstance(self._owner, AttentionInterface) else self._owner
        )
        return entries


def _argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Give the names of a function's positional arguments; transformers' own where it takes them as a list."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    names = tuple(parameter.name for parameter in parameters if parameter.kind in kinds)
    return names if len(names) > len(_ARGUMENTS) else _ARGUMENTS


def _describe(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, implementation: str
) -> AttentionCall:
    """Gather what a function was called with, however it was passed.

    Raises:
        UnsupportedModelError: If there are more positional arguments than names for them.
    """
    if len(args) > len(names):
        raise UnsupportedModelError(
            f"Attention function of implementation {implementation!r} takes {len(args)} positional arguments, expected "
            f"at most {len(names)}: {', '.join(names)}. Pass --attn-implementation sdpa or eager."
        )
    options = {**dict(zip(names, args, strict=False)), **kwargs}
    module, query, key, value = (options.pop(name) for name in _ARGUMENTS[:4])
    return AttentionCall(
        module=module,
        implementation=implementation,
        query=query,
        key=key,
        value=value,
        attention_mask=options.pop("attention_mask", None),
        options=options,
        weights=result[1],
    )


_doors: dict[tuple[int, str], _Door] = {}
_doors_lock = threading.Lock()


@functools.lru_cache(maxsize=256)
def _globals_of(forward: Callable[..., Any]) -> dict[str, Any]:
    """Give the global names of the file in which a function was written."""
    names: dict[str, Any] = getattr(inspect.unwrap(forward), "__globals__", {})
    return names


def _door_of(module: nn.Module) -> _Door:
    """Find the place where a module looks its attention function up.

    Raises:
        UnsupportedModelError: If the module has no such place.
    """
    names = _globals_of(type(module).forward)
    interface = names.get(_INTERFACE)
    implementation = getattr(getattr(module, "config", None), "_attn_implementation", None) or EAGER
    if isinstance(interface, AttentionInterface) and implementation in interface:
        owner: Any = interface
        name = implementation
    elif implementation == EAGER and callable(names.get(_EAGER_FUNCTION)):
        owner, name = names, _EAGER_FUNCTION
    else:
        raise UnsupportedModelError(
            f"Attention cannot be observed: {type(module).__name__} with implementation {implementation!r} does not "
            "look its function up through transformers' AttentionInterface. Pass --attn-implementation sdpa or eager, "
            "or use a newer transformers."
        )
    with _doors_lock:
        return _doors.setdefault((id(owner), name), _Door(owner, name, implementation))
