"""Decides commands against the book: guards first, then the change. One function per kind."""
