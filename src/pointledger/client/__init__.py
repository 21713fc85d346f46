"""Accepts commands and answers queries: the library that services import."""
