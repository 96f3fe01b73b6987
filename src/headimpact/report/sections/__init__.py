"""Sections of the report: each file turns what one stage wrote into text, tables and drawings."""
