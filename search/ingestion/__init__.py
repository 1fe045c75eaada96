"""How do documents get into the index, and out of it?"""
