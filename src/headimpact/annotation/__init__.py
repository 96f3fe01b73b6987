"""Masks and descriptions made by models, for pictures that have none made by people.

In: pictures with captions (for masks) or without (for descriptions). Out: `MadeMask`s with the phrase, box and
confidences that led to them, and `MadeDescription`s that name the model, revision and prompt. Nothing is read from
or written to files here; nothing made here is ever taken for the work of people.
"""
