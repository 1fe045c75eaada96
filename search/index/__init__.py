"""Where do vectors live?"""
