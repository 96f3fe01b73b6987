"""Pictures, the masks of their key objects, and what is said about them; needs no torch.

Comes in: a folder in COCO's format or our own. Goes out: `KeyObjectDataset`, a checked sequence of
`Sample` that loads pictures and masks only when asked.
"""
