"""What several scores of one picture need, such as its masks on the tokens or attention in order, is made once."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

_Made = TypeVar("_Made")

_KNOWN: contextvars.ContextVar[dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] | None] = contextvars.ContextVar(
    "known", default=None
)


@contextlib.contextmanager
def shared_work() -> Iterator[None]:
    """Let `once` remember what it made inside the block.

    Yields:
        Nothing.
    """
    before = _KNOWN.set({})
    try:
        yield
    finally:
        _KNOWN.reset(before)


def once(make: Callable[..., _Made], *given: Any) -> _Made:
    """Make something, or give what was made before of the same objects inside a `shared_work` block.

    Objects are the same where they are one object, however alike others may be; they must not be changed inside the
    block, nor what is made.

    Args:
        make: A pure function of `given`, by a name of its own: each lambda is another.
        given: What it takes.

    Returns:
        What it gives.

    Example:
        >>> numbers = [3, 1, 2]
        >>> with shared_work():
        ...     once(sorted, numbers) is once(sorted, numbers), once(sorted, numbers) is once(sorted, [3, 1, 2])
        (True, False)
        >>> once(sorted, numbers) is once(sorted, numbers)
        False
    """
    known = _KNOWN.get()
    if known is None:
        return make(*given)
    key = (make, *map(id, given))
    if key not in known:
        known[key] = (given, make(*given))  # `given` is held, so that no other object takes over an id
    made: _Made = known[key][1]
    return made
