"""CLIPScore and BERTScore on tiny models built from configs, saved and loaded as real checkpoints are."""

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
)

from headimpact.core.errors import DataFormatError, OptionError, UnsupportedModelError
from headimpact.evaluation import clip_encoder
from headimpact.evaluation.clip_encoder import ClipEncoder
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.metrics.bertscore import greedy_f1
from headimpact.evaluation.metrics.clipscore import PREFIX, REFCLIPSCORE, WEIGHT, harmonic_mean
from headimpact.evaluation.metrics.metric import MetricResources
from headimpact.evaluation.word_encoder import WordEncoder
from tests.tiny_models.tokenizers import byte_tokenizer
from tests.unit.evaluation.makers import prediction


def marked_tokenizer(**options):
    """Make a tokenizer that puts its own marks around every text."""
    tokenizer = byte_tokenizer("<s>", "</s>", bos_token="<s>", eos_token="</s>", pad_token="</s>", **options)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = marked_tokenizer(model_max_length=32)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = CLIPTextConfig(
        **sizes, vocab_size=len(tokenizer), max_position_embeddings=32, bos_token_id=0, eos_token_id=1, pad_token_id=1
    )
    config = CLIPConfig(
        text_config=text.to_dict(),
        vision_config=CLIPVisionConfig(**sizes, image_size=32, patch_size=16).to_dict(),
        projection_dim=8,
    )
    torch.manual_seed(0)
    model = CLIPModel(config)
    with torch.no_grad():
        model.visual_projection.weight.neg_()  # as drawn, all cosines with the pictures are negative, all scores 0
    model.save_pretrained(folder)
    small = {"height": 32, "width": 32}
    image_processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=small)
    CLIPProcessor(image_processor, tokenizer).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = marked_tokenizer(model_max_length=40)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=42,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def photo(image_id):
    pixels = np.random.default_rng(int(image_id)).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PAIR = [prediction("1", "a red dog", ["a red dog", "a cat"]), prediction("2", "a long house " * 40, ["a dog"])]


def test_clipscore_is_the_weighted_cosine_of_the_checkpoints_vectors(clip):
    resources = MetricResources(load_image=photo, clip_checkpoint=clip, device="cpu")
    found = evaluate_predictions(PAIR, metrics=["clipscore", "refclipscore"], resources=resources)
    model = CLIPModel.from_pretrained(clip).eval()
    processor = CLIPProcessor.from_pretrained(clip)
    expected, together = [], []
    for one in PAIR:
        texts = [PREFIX + text for text in (one.prediction, *one.references)]
        inputs = processor.tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
        pixels = processor.image_processor(images=photo(one.image_id), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            said, *people = model.get_text_features(**inputs).pooler_output
            seen = model.get_image_features(pixel_values=pixels).pooler_output[0]
        expected.append(WEIGHT * max(torch.cosine_similarity(said, seen, dim=0).item(), 0))
        closest = max(0.0, *(torch.cosine_similarity(said, text, dim=0).item() for text in people))
        together.append(2 * expected[-1] * closest / (expected[-1] + closest) if expected[-1] + closest else 0.0)
    assert max(expected) > 0
    assert found.parts["clipscore"][:, 0] == pytest.approx(expected, abs=1e-3)
    assert found.parts["refclipscore"][:, 0] == pytest.approx(together, abs=1e-3)


def test_both_scores_share_one_clip(clip, monkeypatch):
    loads = []

    def watch(checkpoint, *, device):
        loads.append(checkpoint)
        return ClipEncoder(checkpoint, device=device)

    monkeypatch.setattr(clip_encoder, "ClipEncoder", watch)
    clip_encoder.shared_clip.cache_clear()
    resources = MetricResources(load_image=photo, clip_checkpoint=clip, device="cpu")
    evaluate_predictions(PAIR, metrics=["clipscore", "refclipscore"], resources=resources)
    assert loads == [clip]
    clip_encoder.shared_clip.cache_clear()


def test_the_harmonic_mean_by_hand_and_its_top():
    assert harmonic_mean(np.array([2.5, 1.0]), np.array([1.0, 0.25])).tolist() == pytest.approx([5 / 3.5, 0.4])
    assert REFCLIPSCORE.range[1] == pytest.approx(5 / 3.5)


def test_clipscore_says_what_it_lacks_and_refuses_other_models(clip, bert):
    for resources, message in (
        (MetricResources(load_image=photo), "no CLIP was named; pass --clip-checkpoint"),
        (MetricResources(clip_checkpoint=clip), "the pictures are not at hand; pass --images"),
    ):
        with pytest.raises(DataFormatError, match=message):
            evaluate_predictions(PAIR, metrics=["clipscore"], resources=resources)
    with pytest.raises(UnsupportedModelError, match=r"is of type 'bert'\. Expected a CLIP"):
        ClipEncoder(bert)


def plain_f1(candidate, candidate_words, reference, reference_words):
    """The same as a loop over tokens."""
    best = [
        max(float(a @ b) for b in reference) for a, counts in zip(candidate, candidate_words, strict=True) if counts
    ]
    back = [
        max(float(a @ b) for a in candidate) for b, counts in zip(reference, reference_words, strict=True) if counts
    ]
    precision, recall = np.mean(best), np.mean(back)
    return 2 * precision * recall / (precision + recall)


def test_bertscore_is_the_best_greedy_f1_of_the_checkpoints_vectors(bert):
    resources = MetricResources(bert_checkpoint=bert, bert_layer=2, device="cpu")
    short = [PAIR[0], prediction("2", "two dogs sit", ["a red dog on a mat", "dogs"])]
    found = evaluate_predictions(short, metrics=["bertscore"], resources=resources)
    encoder = WordEncoder(bert, layer=2, device="cpu")
    for one, row in zip(short, found.parts["bertscore"], strict=True):
        said, *people = [
            tuple(part.numpy() for part in text) for text in encoder.encode([one.prediction, *one.references])
        ]
        assert row[0] == pytest.approx(max(plain_f1(*said, *text) for text in people), abs=1e-5)
    assert found.parts["bertscore"][0, 0] == pytest.approx(1.0, abs=1e-5)
    assert found.parts["bertscore"][1, 0] < 1.0


def test_the_encoders_own_tokens_are_matched_and_not_counted(bert):
    (vectors, words), (nothing, none) = WordEncoder(bert, device="cpu").encode(["a dog", ""])
    assert words.tolist()[0] is words.tolist()[-1] is False
    assert words.any()
    assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)))
    assert not none.any()
    assert greedy_f1(vectors.numpy(), words.numpy(), nothing.numpy(), none.numpy()) == 0.0


def test_a_batch_gives_what_each_text_gives_alone_and_layers_differ(bert):
    encoder = WordEncoder(bert, layer=1, device="cpu")
    together = encoder.encode(["a dog", "a much longer text about a red dog"])
    assert torch.allclose(together[0][0], encoder.encode(["a dog"])[0][0], atol=1e-5)
    assert not torch.allclose(together[0][0], WordEncoder(bert, device="cpu").encode(["a dog"])[0][0], atol=1e-3)


def test_bertscore_refuses_a_layer_that_is_not_there_and_a_missing_checkpoint(bert, tmp_path):
    with pytest.raises(OptionError, match=r"--bert-layer is 4; .* has hidden states 0 to 3"):
        WordEncoder(bert, layer=4)
    with pytest.raises(UnsupportedModelError, match=r"Cannot load config\.json"):
        WordEncoder(str(tmp_path))
    with pytest.raises(DataFormatError, match="no text encoder was named; pass --bert-checkpoint"):
        evaluate_predictions(PAIR, metrics=["bertscore"])
