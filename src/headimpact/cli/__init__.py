"""The command line: a thin door in front of the workflows."""
