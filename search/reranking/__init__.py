"""How relevant is a text to a query?"""
