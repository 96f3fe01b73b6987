"""Figures of the report: one figure, one file; inline SVG made by hand, pictures as PNG data URIs."""
