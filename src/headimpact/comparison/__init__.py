"""Evaluated runs side by side: do the chosen layers beat random ones?

In: run folders of `evaluate`. Out: `comparison.json` with the table, the verdict and how it was reached.
"""
