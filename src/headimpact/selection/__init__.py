"""Which layers are tuned: head scores come in, or an architecture alone; `selection.json` goes out."""
