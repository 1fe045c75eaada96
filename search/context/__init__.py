"""What does a language model get of a result? Passages within a budget of tokens, each with a number to be cited by."""
