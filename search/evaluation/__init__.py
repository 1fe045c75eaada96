"""Does the second stage help? Judged data in, the field's measures and a verdict out."""
