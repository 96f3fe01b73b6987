"""Responses of a model and what they are worth.

In: a model and samples, or predictions with their references. Out: `predictions.jsonl`, `metrics.json` and
`metric_parts.safetensors`, from which every figure of a comparison can be computed again.
"""
