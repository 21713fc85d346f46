"""The OpenAPI document: FastAPI's document of the routes, completed with links and examples."""
