"""What does a URL say, and how long may an exchange over HTTP take?"""
