"""Defines the basic values: ids, amounts, money, JSON, validation messages."""
