"""Makes the ledger at home in web frameworks and in Celery: a module or package for each.

Each gives a process one client, named by the framework's own settings, and accepts commands in the
framework's own database transaction. Django and Flask also get the command line as a command of theirs.

    configured     settings in a framework's manner
    lazy_client    a client that is made on first use
    command_line   `pointledger`, run by a framework's command

The others need the extra of their name. A service imports its own, and nothing else imports any.
"""
