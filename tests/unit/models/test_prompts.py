import copy
import dataclasses

import pytest
import torch
from PIL import Image

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.chats import render_chat
from headimpact.models.prompts import encode

IMAGE = Image.new("RGB", (60, 40), "red")


def with_template(loaded, template: str | None):
    processor = copy.copy(loaded.processor)
    processor.chat_template = template
    processor.tokenizer = copy.deepcopy(processor.tokenizer)
    processor.tokenizer.chat_template = None
    return dataclasses.replace(loaded, processor=processor)


def read(loaded, batch, row=0):
    start, end = batch.response_spans[row]
    tokenizer = loaded.processor.tokenizer
    labels = batch.labels[row]
    return tokenizer.decode(batch.inputs["input_ids"][row, start:end]), tokenizer.decode(labels[labels >= 0])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("name", "end"),
    [("llava-siglip", "</s>"), ("llava-padded", "</s>"), ("qwen2_5_vl", "<|im_end|>"), ("paligemma-capped", "<eos>")],
)
@pytest.mark.parametrize(
    "response", ["a red circle", "ö", "<b>& 7 'quotes' 日本 🙂", "two  spaces\nand a line", "s", "assistant\n"]
)
def test_the_answers_tokens_are_found(tiny_model, name, end, side, response):
    loaded = tiny_model(name)
    batch = encode(
        loaded,
        [IMAGE, IMAGE],
        ["Describe the main object.", "What?"],
        [response, "a longer answer than it"],
        padding_side=side,
    )
    text, learnt = read(loaded, batch)
    assert text.strip() == response.strip()
    assert learnt.strip() == response.strip() + end
    assert read(loaded, batch, 1)[0].strip() == "a longer answer than it"


@pytest.mark.parametrize("name", ["llava-siglip", "llava-padded", "qwen2_5_vl", "paligemma"])
def test_a_row_with_its_answer_begins_as_without(tiny_model, name):
    loaded = tiny_model(name)
    asked = encode(loaded, [IMAGE], ["What?"]).inputs["input_ids"][0]
    answered = encode(loaded, [IMAGE], ["What?"], ["red"])
    assert answered.inputs["input_ids"][0, : len(asked)].tolist() == asked.tolist()
    assert answered.response_spans[0][0] == len(asked)


def test_without_responses_rows_end_where_they_would_begin(tiny_model):
    batch = encode(tiny_model("llava-siglip"), [IMAGE, IMAGE], ["What?", "Describe the main object."])
    length = batch.inputs["input_ids"].shape[1]
    assert batch.response_spans == ((length, length), (length, length))
    assert batch.labels is None
    assert batch.inputs["attention_mask"][:, -1].all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_are_the_ids_and_nothing_else(tiny_model, side):
    batch = encode(
        tiny_model("qwen2_5_vl"), [IMAGE, IMAGE], ["What?", "Why?"], ["red", "a large red square"], padding_side=side
    )
    assert batch.labels is not None
    kept = batch.labels >= 0
    assert torch.equal(batch.labels[kept], batch.inputs["input_ids"][kept])
    for row, (start, end) in enumerate(batch.response_spans):
        assert torch.nonzero(kept[row]).flatten().tolist() == list(range(start, end + 1))
    assert batch.labels[~kept].unique().tolist() == [-100]


def test_space_around_an_answer_is_the_templates(tiny_model):
    loaded = tiny_model("qwen2_5_vl")
    one = encode(loaded, [IMAGE], ["What?"], ["  red\n"])
    other = encode(loaded, [IMAGE], ["What?"], ["red"])
    assert torch.equal(one.inputs["input_ids"], other.inputs["input_ids"])


def test_several_pictures_in_one_row(tiny_model):
    for name in ("llava-siglip", "qwen2_5_vl"):
        layout = encode(tiny_model(name), [[IMAGE, IMAGE]], ["What?"], ["red"]).layouts[0]
        assert set(layout.image_index.tolist()) == {0, 1}


class TestResponsesGivenApart:
    """PaliGemma's processor puts a line break between prompt and response, and the end token behind it, itself."""

    @pytest.mark.parametrize("prompt", ["What?", "What?\n", "Two\n\nlines"])
    @pytest.mark.parametrize("count", [1, 2])
    def test_what_the_model_reads(self, tiny_model, prompt, count):
        loaded = tiny_model("paligemma")
        pictures = "<image>" * 36 * count
        for response, text in [(None, ""), (["red"], "red<eos>")]:
            batch = encode(loaded, [[IMAGE] * count], [prompt], response)
            assert loaded.processor.tokenizer.decode(batch.inputs["input_ids"][0]) == f"{pictures}<bos>{prompt}\n{text}"
            assert "labels" not in batch.inputs

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_the_model_is_told_which_tokens_are_the_response(self, tiny_model, side):
        loaded = tiny_model("paligemma")
        batch = encode(loaded, [IMAGE, IMAGE], ["What?", "Why?"], ["red", "a red circle 日本 🙂"], padding_side=side)
        assert batch.labels is not None
        assert (batch.inputs["token_type_ids"] == 1).tolist() == (batch.labels >= 0).tolist()
        assert not encode(loaded, [IMAGE], ["What?"]).inputs["token_type_ids"].any()


class TestTemplates:
    def test_without_one_the_familys_plain_form_is_used(self, tiny_model):
        chat = render_chat(tiny_model("llava-padded"), "What?", response="red", num_images=1)
        assert chat.text == "USER: <image>\nWhat? ASSISTANT: red</s>"
        open_chat = render_chat(tiny_model("llava-padded"), "What?", response=None, num_images=1)
        assert open_chat.text == "USER: <image>\nWhat? ASSISTANT:"

    def test_pictures_stand_apart_as_in_the_plain_form(self, tiny_model):
        texts = [
            render_chat(tiny_model(name), "What?", response="red", num_images=2).text
            for name in ("llava-padded", "paligemma")
        ]
        assert texts == ["USER: <image>\n<image>\nWhat? ASSISTANT: red</s>", "<image><image>What?\nred<eos>"]

    def test_pictures_stand_where_the_prompt_marks_them(self, tiny_model):
        texts = [
            render_chat(tiny_model(name), "Is <image> in <image>?", response="no", num_images=2).text
            for name in ("llava-padded", "paligemma")
        ]
        assert texts == ["USER: Is <image> in <image>? ASSISTANT: no</s>", "Is <image> in <image>?\nno<eos>"]
        chat = render_chat(tiny_model("qwen2_5_vl"), "Is <image> in <image>?", response="no", num_images=2).text
        picture = "<|vision_start|><|image_pad|><|vision_end|>"
        assert f"user\nIs {picture} in {picture}?<|im_end|>" in chat

    def test_marks_in_contents_as_plain_text(self, tiny_model):
        template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '</s>' }}{% endfor %}"
        loaded = with_template(tiny_model("llava-siglip"), template)
        assert render_chat(loaded, "Is it <image>?", response=None, num_images=1).text.startswith(
            "user: Is it <image>?"
        )
        assert render_chat(loaded, "What?", response=None, num_images=1).text.startswith("user: <image>\nWhat?")

    def test_without_one_and_without_a_plain_form(self, tiny_model):
        loaded = with_template(tiny_model("qwen2_5_vl"), None)
        with pytest.raises(UnsupportedModelError, match="has no form to fall back on"):
            encode(loaded, [IMAGE], ["What?"])

    def test_contents_as_plain_text(self, tiny_model):
        template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '</s>' }}{% endfor %}"
        loaded = with_template(tiny_model("llava-siglip"), template)
        batch = encode(loaded, [IMAGE], ["What?"], ["red"])
        assert read(loaded, batch)[0].strip() == "red"

    def test_an_end_token_is_added_where_the_template_has_none(self, tiny_model):
        template = (
            "{% for m in messages %}{{ m['role'] + ': ' }}{% for p in m['content'] %}"
            "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
        )
        loaded = with_template(tiny_model("llava-siglip"), template)
        batch = encode(loaded, [IMAGE], ["What?"], ["red"])
        assert read(loaded, batch)[1].endswith("</s>")
        assert read(loaded, batch)[0].strip() == "red"

    @pytest.mark.parametrize(
        ("template", "match"),
        [
            pytest.param("no place for pictures", "Image placeholder not found", id="no placeholder"),
            pytest.param("{{ raise_exception('never') }}", "Image placeholder not found", id="template fails"),
            pytest.param("<image>{{ messages[0]['role'] }}", "drops or changes what the assistant says", id="dropped"),
            pytest.param(
                "<image>{{ messages[-1]['content'][0]['text'] | default('') | lower }}",
                "drops or changes what the assistant says",
                id="changed",
            ),
        ],
    )
    def test_refused(self, tiny_model, template, match):
        with pytest.raises(UnsupportedModelError, match=match):
            encode(with_template(tiny_model("llava-siglip"), template), [IMAGE], ["What?"], ["red"])


@pytest.mark.parametrize(
    ("images", "prompts", "responses", "match"),
    [
        pytest.param([IMAGE], ["a", "b"], None, "1 picture lists, 2 prompts, no responses", id="rows"),
        pytest.param([IMAGE], ["a"], [], "0 responses", id="no responses"),
        pytest.param([], [], None, "Rows differ in number: 0", id="no rows"),
        pytest.param([[]], ["a"], None, "A row has no picture", id="no picture"),
        pytest.param(
            [IMAGE], ["<image> <image>"], None, r"marks 2 places for pictures \(<image>\), expected 1", id="marks"
        ),
        pytest.param([IMAGE], ["a"], ["see <image>"], "holds the image token", id="image token in a response"),
        pytest.param([IMAGE], ["a"], [" \n"], "Empty response in row 0", id="empty response"),
        pytest.param([IMAGE], ["a"], ["red</s>blue"], "holds a special token", id="special token"),
        pytest.param([IMAGE], ["word " * 1500], None, r"Row too long: \d+ tokens .* has 2048 positions", id="too long"),
    ],
)
def test_refused_rows(tiny_model, images, prompts, responses, match):
    with pytest.raises(DataFormatError, match=match):
        encode(tiny_model("llava-siglip"), images, prompts, responses)


def test_another_models_image_token_is_refused(tiny_model):
    with pytest.raises(DataFormatError, match=r"holds the image token '<\|image_pad\|>': .* mark a picture's place"):
        encode(tiny_model("qwen2_5_vl"), [IMAGE], ["see <|image_pad|>"])


def test_a_picture_that_the_processor_refuses(tiny_model):
    with pytest.raises(DataFormatError, match=r"aspect ratio.*Pictures: 1000x4 pixels"):
        encode(tiny_model("qwen2_5_vl"), [Image.new("RGB", (1000, 4))], ["What?"])
