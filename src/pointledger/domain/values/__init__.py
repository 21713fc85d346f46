"""Values that everything else is made of: ids, amounts, money, JSON, validation messages."""
