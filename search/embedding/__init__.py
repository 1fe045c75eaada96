"""What is the vector of a text?"""
