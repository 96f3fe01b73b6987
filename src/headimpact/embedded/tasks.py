"""The table of tasks: how a task's scenes are drawn, what is asked, and what the right caption is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from headimpact.embedded.attributes import Scene, SceneObject
from headimpact.embedded.language import CAPTION_STYLES, ORDINARY_STYLE, write_reworded
from headimpact.embedded.layout import SceneDraw, draw_main_scene, draw_striped_scene


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task on scenes.

    Args:
        draw: Draws a scene and marks its key object.
        prompt: What the model is asked.
        write: Words the one reference caption of the key object.
    """

    draw: SceneDraw
    prompt: str
    write: Callable[[Scene, SceneObject], str]

    def write_caption(self, scene: Scene) -> str:
        """Word the reference caption of the scene's key object.

        Args:
            scene: A scene of this task.

        Returns:
            The caption; the picture determines it.
        """
        return self.write(scene, scene.key_object)


_ORDINARY = CAPTION_STYLES[ORDINARY_STYLE]

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "describe": Task(draw=draw_main_scene, prompt=_ORDINARY.prompt, write=_ORDINARY.write),
        "where": Task(draw=draw_striped_scene, prompt=_ORDINARY.prompt, write=_ORDINARY.write),
        "wording": Task(draw=draw_main_scene, prompt=_ORDINARY.prompt, write=write_reworded),
    }
)
"""Name of a task -> its definition.

`describe` is what the embedded VLM was trained on. `where` keeps prompt and wording but the key
object is the only striped one of several similar ones, not the largest. `wording` keeps picture, key
object and prompt but wants other words in another order.
"""
