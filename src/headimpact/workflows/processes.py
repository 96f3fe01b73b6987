"""The processes that one command runs in: one, or several under `accelerate launch` or `torchrun`."""

import atexit
import os
from collections.abc import Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


class Processes:
    """This process among those that share the work; the first one, the main one, writes and speaks.

    Alone, every method does nothing but give back what it got.
    """

    def __init__(self, *, cpu: bool = False) -> None:
        """Join the others, if a launcher has started any.

        Args:
            cpu: Stay on the CPU although there is a GPU.
        """
        self.rank, self.count = 0, 1
        self._state: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            self._state = PartialState(cpu=cpu)
            self.rank, self.count = self._state.process_index, self._state.num_processes
            # A group left to the interpreter's own end aborts now and then: its threads still run by then.
            atexit.register(self._state.destroy_process_group)

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Give this process its part of the work.

        Example:
            >>> Processes().share([1, 2, 3])
            [1, 2, 3]
        """
        return items[self.rank :: self.count]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def hear(self, word: bool) -> bool:
        """Give every process what the main one says.

        Args:
            word: What to say; only the main process's counts.

        Returns:
            The main process's word.
        """
        if self._state is None:
            return word
        from accelerate.utils import broadcast_object_list

        words = [word]
        broadcast_object_list(words)
        return words[0]

    def agree(self, word: bool) -> bool:
        """Say whether every process says yes; none goes on before all have spoken.

        Args:
            word: What this one says.

        Example:
            >>> Processes().agree(True)
            True
        """
        if self._state is None:
            return word
        from accelerate.utils import gather_object

        return all(gather_object([word]))
