import re

import numpy as np
import pytest

from headimpact.embedded.attributes import COLOURS, SHAPES, SIDE, TEXTURES, Scene, SceneObject
from headimpact.embedded.language import CAPTION_STYLES, caption_turns, question_turns
from headimpact.embedded.layout import draw_main_scene, scene_generator
from headimpact.embedded.tasks import TASKS


def item(shape: str, colour: str, texture: str, place: str, *, area: int) -> SceneObject:
    mask = np.zeros(SIDE * SIDE, bool)
    mask[:area] = True
    return SceneObject(shape=shape, colour=colour, texture=texture, place=place, mask=mask.reshape(SIDE, SIDE))


@pytest.fixture
def scene() -> Scene:
    return Scene(
        pixels=np.zeros((SIDE, SIDE, 3), np.uint8),
        objects=(
            item("circle", "red", "plain", "left", area=900),
            item("star", "blue", "striped", "top right", area=300),
            item("star", "green", "plain", "bottom", area=100),
        ),
        key_index=0,
        background="grey",
    )


def test_captions_by_hand(scene):
    assert {turn.kind: turn.answer for turn in caption_turns(scene)} == {
        "ordinary": "a red plain circle at the left",
        "sentence": "the picture shows a plain circle coloured red on a grey background",
        "short": "red circle",
        "list": "shape: circle, colour: red, texture: plain, place: left",
        "place": "at the left there is a circle and it is red",
        "count": "3 objects, the main one is a plain circle",
        "background": "on grey, one red circle, plain",
    }


def test_article_follows_the_sound():
    scene = Scene(
        pixels=np.zeros((SIDE, SIDE, 3), np.uint8),
        objects=(item("ring", "orange", "plain", "left", area=900),),
        key_index=0,
        background="grey",
    )
    assert caption_turns(scene)[0].answer == "an orange plain ring at the left"


def test_each_style_has_its_own_prompt():
    assert len({style.prompt for style in CAPTION_STYLES.values()}) == len(CAPTION_STYLES) >= 5


def test_questions_by_hand(scene):
    answers = {turn.prompt: turn.answer for turn in question_turns(scene)}
    assert answers["What colour is the main object?"] == "red"
    assert answers["How many objects are there?"] == "3 objects"
    assert answers["What colour is the background?"] == "grey"
    assert answers["Is there a striped object?"] == "yes"
    assert answers["Is there a dotted object?"] == "no"
    assert answers["What shape is the striped object?"] == "star"
    assert answers["Where is the striped object?"] == "at the top right"
    assert answers["What texture is the green object?"] == "plain"
    assert "What colour is the star?" not in answers
    assert "What shape is the plain object?" not in answers


def test_no_question_has_two_answers():
    for index in range(40):
        turns = question_turns(draw_main_scene(scene_generator(seed=1, split="pretrain", index=index)))
        assert len({turn.prompt for turn in turns}) == len(turns)


def test_task_captions_follow_the_key_object(scene):
    striped = Scene(pixels=scene.pixels, objects=scene.objects, key_index=1, background="grey")
    assert TASKS["where"].write_caption(striped) == "a blue striped star at the top right"
    assert TASKS["describe"].write_caption(scene) == "a red plain circle at the left"
    assert TASKS["wording"].write_caption(scene) == "the main object is at the left: circle, plain, coloured red"


def test_tasks_ask_with_the_ordinary_prompt():
    assert {task.prompt for task in TASKS.values()} == {CAPTION_STYLES["ordinary"].prompt}


def test_every_word_of_the_tasks_is_learnt_in_pretraining():
    seen: set[str] = set()
    wanted: set[str] = set()
    for index in range(150):
        drawn = draw_main_scene(scene_generator(seed=1, split="pretrain", index=index))
        for turn in caption_turns(drawn) + question_turns(drawn):
            seen |= set(re.findall(r"\w+|[^\w\s]", turn.answer))
    for task in TASKS.values():
        for index in range(50):
            caption = task.write_caption(task.draw(scene_generator(seed=1, split="train", index=index)))
            wanted |= set(re.findall(r"\w+|[^\w\s]", caption))
    assert wanted <= seen
    assert set(SHAPES) | set(COLOURS) | set(TEXTURES) <= seen
