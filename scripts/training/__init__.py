"""How is a reranker trained? Judged data sets in, a cross-encoder with its recipe and its card out.

scripts/train_reranker.py walks through these files in this order: `mining` finds what is hard, `mixture` draws examples, `trainer`
fits the model, `tuning` finds the recipe on queries held out, `card` writes down what was done.
"""
