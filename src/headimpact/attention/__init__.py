"""What the heads looked at: reads attention rows out of an ordinary forward pass."""
