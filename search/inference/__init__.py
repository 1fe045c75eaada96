"""How do models run? Which device, which batches, how many tokens."""
