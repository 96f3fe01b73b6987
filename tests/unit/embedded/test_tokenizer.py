import pytest

from headimpact.embedded.attributes import BACKGROUNDS, COLOURS, PLACES, SHAPES, TEXTURES
from headimpact.embedded.tokenizer import VOCABULARY_SIZE


@pytest.mark.parametrize(
    "text",
    [
        "a red striped circle at the left",
        "Größe naïve 猫と犬 🙂👩‍👩‍👧 \u202eabc",
        "  two  spaces\tand\n\nlines \r\n",
        "User: \nAssistant: x\nAssistant:y",
        "1234 3.5e-7 <image > </ s>",
        "\x00\x07\u0301",
        "",
    ],
    ids=["scene", "unicode", "space", "marks", "numbers", "control", "empty"],
)
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_words_of_the_scene_world_are_single_tokens(tokenizer):
    words = [
        *COLOURS,
        *SHAPES,
        *TEXTURES,
        *BACKGROUNDS,
        *(word for row in PLACES for name in row for word in name.split()),
    ]
    assert all(len(tokenizer.encode(f" {word}", add_special_tokens=False)) == 1 for word in words)
    assert len(tokenizer) <= VOCABULARY_SIZE


def test_the_chat_template_puts_the_image_first(tokenizer):
    content = [{"type": "text", "text": "Describe the picture."}, {"type": "image"}]
    messages = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<s>User: <image>\nDescribe the picture.\nAssistant:"
    messages.append({"role": "assistant", "content": [{"type": "text", "text": "a red star"}]})
    full = tokenizer.apply_chat_template(messages, tokenize=False)
    assert full == text + " a red star</s>"


def test_special_tokens(tokenizer):
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")
    assert tokenizer.encode("<image>", add_special_tokens=False) == [tokenizer.convert_tokens_to_ids("<image>")]
    assert len(tokenizer.encode("\nAssistant:", add_special_tokens=False)) == 1
