"""How is a query answered?"""
