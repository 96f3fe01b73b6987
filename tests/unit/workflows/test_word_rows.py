"""Rows by kind of word: tokens, through the tokenizer, to the words they are a part of."""

import torch

from headimpact.attention.queries import response_rows
from headimpact.models.prompts import encode
from headimpact.workflows.captured_samples import run_capture
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.word_rows import rows_by_kind
from tests.contracts.image_oracle import picture

TEXTS = ["a red star near the top", "the sky"]
NAMES = [[("star",)], [("star",)]]


def encoded_with(loaded):
    images = [[picture((64, 64))]] * 2
    return encode(loaded, images, ["Describe it."] * 2, TEXTS, padding_side="right")


def test_every_token_of_a_word_has_its_kind(tiny_model):
    tokenizer = tiny_model("llava-siglip").processor.tokenizer
    ids = tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"]
    kinds = rows_by_kind(tokenizer, ids, NAMES[0])
    said = {kind: tokenizer.decode([ids[row] for row in rows]).split() for kind, rows in kinds.items()}
    assert "".join(said["key_words"]) == "star"
    assert "".join(said["function_words"]).replace("a", "", 1) == "nearthe"
    assert "".join(said["other_nouns"]) == "top"


def test_rows_of_words_are_captured_in_the_same_pass(tiny_model):
    loaded = tiny_model("llava-siglip")
    batch = encoded_with(loaded)
    plain = run_capture(loaded, batch, MeasurementOptions())
    found = run_capture(loaded, batch, MeasurementOptions(words=True), names=NAMES)
    assert [set(one.by_words) for one in found] == [
        {"key_words", "other_nouns", "function_words"},
        {"other_nouns", "function_words"},
    ]
    for one, other in zip(plain, found, strict=True):
        assert torch.equal(one.maps, other.maps)
        assert one.by_words == {}
    start, end = batch.response_spans[0]
    ids = batch.inputs["input_ids"][0, start:end].tolist()
    kinds = rows_by_kind(loaded.processor.tokenizer, ids, NAMES[0])
    counts = {kind: len(rows) for kind, rows in kinds.items()}
    total = sum(count * found[0].by_words[kind] for kind, count in counts.items())
    others = [row for row in range(end - start) if not any(row in rows for rows in kinds.values())]
    assert others  # the adjective
    assert len(response_rows([(start, end)])[0]) == len(others) + sum(counts.values())
    rest = (end - start) * found[0].maps - total
    assert (rest > -1e-6).all()
    assert (rest.sum(dim=-1) <= len(others) + 1e-5).all()
