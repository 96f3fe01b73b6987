"""Loads vision-language models and knows what differs between their families: where image tokens are."""
