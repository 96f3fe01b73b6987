"""What every other room may lean on and that knows nothing of them."""
