"""Django looks for the command below this package."""
