"""Writes the model card of the embedded checkpoint from measured figures."""

from collections.abc import Mapping
from importlib import metadata

from headimpact.embedded.architecture import Size
from headimpact.embedded.attributes import SIDE, TOKEN_SIDE
from headimpact.embedded.language import CAPTION_STYLES

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---

# The embedded VLM of headimpact

A vision-language model of {millions:.1f} million parameters, small enough to ship inside the package. It
exists so that every stage of headimpact runs and can be tested without a download. It knows nothing but
the drawn scenes of `headimpact.embedded.scenes`: pictures of {side} x {side} pixels with one main object
among up to five others.

It loads like any checkpoint, without torchvision:

```python
from transformers import AutoModelForImageTextToText, AutoProcessor
from headimpact.embedded import checkpoint_path

processor = AutoProcessor.from_pretrained(checkpoint_path())
model = AutoModelForImageTextToText.from_pretrained(checkpoint_path())
```

## Architecture

LLaVA: a SigLIP tower of {size.tower_layers} layers whose {tokens} patches of {patch} x {patch} pixels each become
one image token, a two-layer projector, and a Llama decoder of {size.num_layers} layers, width {size.width},
{size.num_heads} query heads over {size.num_key_value_heads} key/value heads. Byte-level BPE of {vocabulary} tokens.
Weights are stored in float16 and load as float32. Greedy decoding.

## Data

Scenes drawn on the fly from the split `pretrain` of the generator (seed {seed}); no picture of another split
was used. The key object is the largest visible one, at
least 1.5 times the next. Each picture came with captions in {styles} styles, each asked for by its own prompt,
and closed questions about colour, shape, texture, place, background, number, and presence of a texture.

## Recipe

`python -m headimpact.embedded.recipe --out DIR`: {steps} steps, {minutes:.0f} minutes of training on {machine}.
The first {warm_steps} steps teach the tower alone, from dense targets (what each image token shows) through
heads that are thrown away; then every step answers {turns} packed turns about each of {batch_size} fresh
pictures. Distractors are let in after the first tenth of the schedule. Muon for hidden matrices, AdamW for
the rest, learning rate {learning_rate:g}, falling linearly in the last 28 %. Versions: {versions}.
{remark}
## Measured

Greedy answers on {count} scenes of the split `validation` (seed {measured_seed}), not seen in training;
questions: six a picture. All figures are shares of exact matches in percent; `word/...` is the share of
ordinary captions that hold the main object's word.

| figure | percent |
|---|---:|
{figures}

`task/where` and `task/wording` are downstream tasks this model was not trained on; it should be bad at them.

## Limits

It describes drawn shapes on plain backgrounds in template English and nothing else: a photograph or another
question gives a template answer without meaning. Its attention is that of a tiny model on a tiny world; what
holds for its heads need not hold for those of large models.

## Licence

Apache-2.0, weights included. Trained by the headimpact project on scenes it draws itself.
"""


def render_card(
    figures: Mapping[str, float],
    *,
    size: Size,
    training: Mapping[str, object],
    count: int,
    measured_seed: int,
    remark: str = "",
) -> str:
    """Render the model card.

    Args:
        figures: Name -> share in [0, 1], as measured by `measuring.measure_checkpoint`.
        size: Sizes of the model.
        training: What the recipe did: ``millions`` of parameters, ``vocabulary``, ``steps``,
            ``minutes``, ``warm_steps``, ``batch_size``, ``turns``, ``learning_rate``, ``seed``, ``machine``.
        count: Number of measured pictures.
        measured_seed: Seed of the measured pictures.
        remark: What else a reader must know about this run.

    Returns:
        Markdown with a YAML head, as model hubs expect it.
    """
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "tokenizers"))
    rows = "\n".join(f"| {name} | {100 * value:.1f} |" for name, value in figures.items())
    return _CARD.format(
        size=size,
        side=SIDE,
        patch=TOKEN_SIDE,
        tokens=(SIDE // TOKEN_SIDE) ** 2,
        styles=len(CAPTION_STYLES),
        versions=versions,
        figures=rows,
        count=count,
        measured_seed=measured_seed,
        remark=f"\n{remark}\n" if remark else "",
        **training,
    )
