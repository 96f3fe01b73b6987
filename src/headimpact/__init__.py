"""Head Impact: which attention heads of a vision-language model look at the key objects."""

__version__ = "0.1.0"
