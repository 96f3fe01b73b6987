"""Captions in several styles and closed questions, all from templates over a scene's attributes."""

from collections.abc import Callable
from dataclasses import dataclass

from headimpact.embedded.attributes import TEXTURES, Scene, SceneObject

ORDINARY_STYLE = "ordinary"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One prompt about a picture and the answer to it.

    Args:
        kind: Name of the caption style or kind of question.
        prompt: What the user says.
        answer: What the model should say.
        is_about_main: Whether it asks about the main object or the whole picture, not another object.
    """

    kind: str
    prompt: str
    answer: str
    is_about_main: bool = True


@dataclass(frozen=True, kw_only=True)
class CaptionStyle:
    """A way to caption: its own prompt and its own wording.

    Args:
        prompt: What the user says to get this style.
        write: Words the caption of one object in its scene.
    """

    prompt: str
    write: Callable[[Scene, SceneObject], str]


def _ordinary(scene: Scene, item: SceneObject) -> str:
    """Word the caption that plain captioning asks for."""
    del scene
    return f"{_article(item.colour)} {item.colour} {item.texture} {item.shape} at the {item.place}"


def _sentence(scene: Scene, item: SceneObject) -> str:
    """Word a full sentence with the background."""
    return f"the picture shows a {item.texture} {item.shape} coloured {item.colour} on a {scene.background} background"


def _short(scene: Scene, item: SceneObject) -> str:
    """Word the shortest caption."""
    del scene
    return f"{item.colour} {item.shape}"


def _list(scene: Scene, item: SceneObject) -> str:
    """Word the attributes as a list with their names."""
    del scene
    return f"shape: {item.shape}, colour: {item.colour}, texture: {item.texture}, place: {item.place}"


def _place_first(scene: Scene, item: SceneObject) -> str:
    """Word the place before the object."""
    del scene
    return f"at the {item.place} there is a {item.shape} and it is {item.colour}"


def _count_first(scene: Scene, item: SceneObject) -> str:
    """Word the number of objects before the main one."""
    return f"{_counted(scene)}, the main one is a {item.texture} {item.shape}"


def _background_first(scene: Scene, item: SceneObject) -> str:
    """Word the background before the object."""
    return f"on {scene.background}, one {item.colour} {item.shape}, {item.texture}"


def _article(word: str) -> str:
    """Return the indefinite article before a word of the scene world."""
    return "an" if word[0] in "aeiou" else "a"


def _counted(scene: Scene) -> str:
    """Word the number of objects."""
    count = len(scene.objects)
    return "1 object" if count == 1 else f"{count} objects"


def write_reworded(scene: Scene, item: SceneObject) -> str:
    """Word the caption of the task `wording`: other words and order, all seen in pretraining.

    Args:
        scene: The picture.
        item: The object to caption.

    Returns:
        For example ``the main object is at the left: circle, striped, coloured red``.
    """
    del scene
    return f"the main object is at the {item.place}: {item.shape}, {item.texture}, coloured {item.colour}"


CAPTION_STYLES = {
    ORDINARY_STYLE: CaptionStyle(prompt="Describe the picture.", write=_ordinary),
    "sentence": CaptionStyle(prompt="Write a full sentence.", write=_sentence),
    "short": CaptionStyle(prompt="Give a short caption.", write=_short),
    "list": CaptionStyle(prompt="List the attributes of the main object.", write=_list),
    "place": CaptionStyle(prompt="Begin with the place.", write=_place_first),
    "count": CaptionStyle(prompt="Begin with the number of objects.", write=_count_first),
    "background": CaptionStyle(prompt="Begin with the background.", write=_background_first),
}
"""Name of a style -> its prompt and wording."""


def caption_turns(scene: Scene) -> list[Turn]:
    """Return one caption of the main object in each style.

    Args:
        scene: The picture.

    Returns:
        One turn a style, in the order of ``CAPTION_STYLES``.
    """
    main = scene.main_object
    return [
        Turn(kind=name, prompt=style.prompt, answer=style.write(scene, main)) for name, style in CAPTION_STYLES.items()
    ]


def question_turns(scene: Scene) -> list[Turn]:
    """Return every closed question that has one answer in this picture.

    Questions ask about the main (largest) object, the background, the number of objects, whether
    some object has a texture, and about an object named by the one texture, shape or colour that
    only it has.

    Args:
        scene: The picture.

    Returns:
        Turns whose answers follow from the scene's attributes.
    """
    turns = _main_questions(scene)
    for texture in TEXTURES:
        answer = "yes" if any(item.texture == texture for item in scene.objects) else "no"
        turns.append(Turn(kind="is_there", prompt=f"Is there a {texture} object?", answer=answer))
    for item in scene.objects:
        cues = {
            "texture": f"the {item.texture} object",
            "shape": f"the {item.shape}",
            "colour": f"the {item.colour} object",
        }
        for cue, named in cues.items():
            if _is_only(scene, item, cue):
                turns += _named_questions(cue, named, item, is_main=item is scene.main_object)
    return turns


def _main_questions(scene: Scene) -> list[Turn]:
    """Return the questions that every picture answers."""
    main = scene.main_object
    turns = _named_questions("main", "the main object", main, is_main=True)
    turns.append(Turn(kind="background", prompt="What colour is the background?", answer=scene.background))
    turns.append(Turn(kind="count", prompt="How many objects are there?", answer=_counted(scene)))
    return turns


def _is_only(scene: Scene, item: SceneObject, attribute: str) -> bool:
    """Tell whether no other object shares the attribute."""
    value = getattr(item, attribute)
    return [getattr(other, attribute) for other in scene.objects].count(value) == 1


def _named_questions(cue: str, named: str, item: SceneObject, *, is_main: bool) -> list[Turn]:
    """Return the questions about one named object; what names it is not asked."""
    turns = []
    for attribute in ("colour", "shape", "texture", "place"):
        if attribute == cue:
            continue
        prompt = f"Where is {named}?" if attribute == "place" else f"What {attribute} is {named}?"
        answer = f"at the {item.place}" if attribute == "place" else getattr(item, attribute)
        turns.append(Turn(kind=f"{attribute}_by_{cue}", prompt=prompt, answer=answer, is_about_main=is_main))
    return turns
