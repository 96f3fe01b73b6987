"""Both tasks on every family: asked through its chat template as in evaluation, learned from the answer alone."""

import functools

import pytest
import torch
from PIL import Image

from headimpact.data.closed_questions import ClosedQuestion, find_template
from headimpact.models.generation_options import searched_generation
from headimpact.models.prompts import encode
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.language_inputs import encode_batch
from headimpact.tuning.loss import answer_loss
from headimpact.workflows.tasks import question_examples
from headimpact.workflows.tuning import tuning_examples
from tests.builders import sample

QUESTION = ClosedQuestion(question_id="1", question="What colour is it?", answers=("red", "blue", "red"))
CAPTION = "a large blue square near the top"


@pytest.fixture
def asked(loaded, tmp_path):
    """Give a question in the words of the family's template, a caption, and their batch."""
    shown = sample(tmp_path, image_id="1", captions=(CAPTION,), questions=(QUESTION,))
    template = find_template(loaded.family.answer_template)
    listed = [*question_examples([shown], template), *tuning_examples([shown], prompt="Describe the main object.")]
    picture = Image.new("RGB", (60, 40), "red")
    listed = [
        TuningExample(one.image_id, functools.partial(Image.Image.copy, picture), one.prompt, one.answer)
        for one in listed
    ]
    return template, listed, encode_batch(loaded, listed)


def test_what_is_learned_is_the_answer_to_what_evaluation_asks(loaded, asked):
    template, listed, batch = asked
    tokenizer, ids = loaded.processor.tokenizer, batch.inputs["input_ids"]
    ends = searched_generation(loaded, max_new_tokens=1).eos_token_id
    assert [one.prompt for one in listed] == [template.ask(QUESTION), "Describe the main object."]
    for example, row, labels, mask in zip(listed, ids, batch.labels, batch.inputs["attention_mask"], strict=True):
        learned = torch.nonzero(labels >= 0).flatten().tolist()
        assert learned == list(range(learned[0], learned[-1] + 1))
        assert torch.equal(labels[learned], row[learned])
        assert bool(mask[learned].all())
        assert set(labels.tolist()) - set(row[learned].tolist()) <= {-100}
        assert int(row[learned[-1]]) in ends, "ends with what ends an answer in evaluation"
        said = tokenizer.decode(row[learned[:-1]]).strip()
        assert said == example.answer
        request = encode(loaded, [example.load_image()], [example.prompt]).inputs["input_ids"][0]
        assert torch.equal(row[: learned[0]], request), "the same tokens as when the model is to answer"
        assert example.prompt in tokenizer.decode(request)
    assert template.read(tokenizer.decode(batch.labels[0][batch.labels[0] >= 0], skip_special_tokens=True)) == "red"


def test_the_loss_is_on_the_answer_only(loaded, asked):
    _, _, batch = asked
    with torch.no_grad():
        loss = answer_loss(loaded.model, batch.inputs, batch.labels)
        logits = loaded.model(**batch.inputs, use_cache=False).logits.float().log_softmax(dim=-1)
    terms = [
        -logits[row, place - 1, batch.labels[row, place]]
        for row in range(2)
        for place in torch.nonzero(batch.labels[row] >= 0).flatten().tolist()
    ]
    torch.testing.assert_close(loss, torch.stack(terms).mean(), rtol=0, atol=1e-5)
