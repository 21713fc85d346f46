"""How commands get in and answers get out."""
