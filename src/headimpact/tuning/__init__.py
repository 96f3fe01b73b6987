"""LoRA on chosen layers of the language model: a selection and examples go in, an adapter comes out.

In: a `Selection` (which layers) and `TuningExample`s (picture, prompt, answer). Out: `adapter/` in PEFT's own
format and `tuning.json` (options, loss log, trainable count and share).
"""
