import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.embedded.architecture import Size, build_model, build_processor
from headimpact.embedded.batches import IGNORED, TurnEncoder, choose_turns, dense_targets, pack_batch
from headimpact.embedded.layout import draw_main_scene, scene_generator
from headimpact.embedded.measuring import generate_answers
from headimpact.embedded.packed_forward import packed_hidden_states, tower_features, use_float32_attention

TINY = Size(width=32, mlp_width=48, tower_layers=2, num_layers=3, num_heads=4, num_key_value_heads=2)


@pytest.fixture
def model(tokenizer):
    return build_model(tokenizer, size=TINY, seed=0).eval()


@pytest.fixture(scope="module")
def scenes():
    return [draw_main_scene(scene_generator(seed=0, split="train", index=index)) for index in range(3)]


@torch.no_grad()
@pytest.mark.parametrize("is_float32_attention", [False, True])
def test_packed_equals_separate(tokenizer, model, scenes, is_float32_attention):
    encoder = TurnEncoder(tokenizer)
    turns = [choose_turns(scene, np.random.default_rng(0), captions=2, questions=3) for scene in scenes]
    batch = pack_batch(scenes, turns, encoder=encoder)
    processor = build_processor(tokenizer)
    if is_float32_attention:
        use_float32_attention(model)
    *_, projected = tower_features(model, batch.pixel_values)
    packed = model.lm_head(packed_hidden_states(model, batch, projected))
    for row, (scene, turns_of_row) in enumerate(zip(scenes, turns, strict=True)):
        start = len(encoder.prefix)
        for turn in turns_of_row:
            content = [{"type": "image"}, {"type": "text", "text": turn.prompt}]
            messages = [{"role": "user", "content": content}, {"role": "assistant", "content": turn.answer}]
            text = processor.apply_chat_template(messages)
            inputs = processor(images=Image.fromarray(scene.pixels), text=text, return_tensors="pt")
            ids, labels = encoder.encode_turn(turn)
            prefix = len(encoder.prefix)
            assert inputs["input_ids"][0].tolist() == encoder.prefix + ids + [tokenizer.eos_token_id]
            separate = model(**inputs).logits[0, prefix:-1]
            span = slice(start, start + len(ids))
            torch.testing.assert_close(packed[row, span], separate, atol=1e-5, rtol=1e-5)
            answered = [label for label in labels if label != IGNORED]
            assert tokenizer.decode(answered) == f" {turn.answer}</s>"
            assert batch.labels[row, span].tolist() == labels
            start += len(ids)
        assert (batch.labels[row, start:] == IGNORED).all()


def test_a_turn_sees_no_other_turn(tokenizer, scenes):
    turns = [choose_turns(scenes[0], np.random.default_rng(0), captions=1, questions=1)]
    encoder = TurnEncoder(tokenizer)
    batch = pack_batch(scenes[:1], turns, encoder=encoder)
    prefix, first = len(encoder.prefix), len(encoder.encode_turn(turns[0][0])[0])
    mask = batch.attention_mask[0, 0]
    assert mask[prefix:, :prefix].all()
    assert not mask[prefix + first :, prefix : prefix + first].any()
    assert not mask[:prefix, prefix:].any()
    assert torch.equal(mask, mask & torch.ones_like(mask).tril())
    assert batch.position_ids[0, prefix] == batch.position_ids[0, prefix + first] == prefix


def test_dense_targets_say_what_a_token_shows(scenes):
    targets = dense_targets(scenes)
    for row, scene in enumerate(scenes):
        counts = np.bincount(targets["main"][row].numpy(), minlength=2)
        assert counts[1] >= 4
        assert targets["pixels"][row].sum() == sum(item.area for item in scene.objects)
        assert (targets["colour"][row] > 0).sum() >= counts[1]


def test_answers_are_generated_through_the_processor(tokenizer, model, scenes):
    prompts = ["Describe the picture.", "What?", "Give a short caption."]
    answers = generate_answers(model, build_processor(tokenizer), scenes=scenes, prompts=prompts, batch_size=2)
    single = generate_answers(model, build_processor(tokenizer), scenes=scenes[1:2], prompts=prompts[1:2])
    assert len(answers) == 3
    assert answers[1] == single[0]
