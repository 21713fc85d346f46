"""The command `pointledger` of `manage.py`."""
