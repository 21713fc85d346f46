"""The OpenAPI document: what the routes say, completed with links and examples."""
