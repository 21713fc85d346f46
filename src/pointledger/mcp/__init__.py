"""The MCP server for assistants (the extra `mcp`, the command `pointledger mcp`).

`tools` are questions, one route of the HTTP API each. `api` asks them, with the caller's token, and only with
GET. So what a caller may see, and how often, is the HTTP API's decision alone. `server` speaks the Model
Context Protocol on stdin and stdout.
"""
