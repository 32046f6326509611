"""A local page on which attention is looked at and changed: `regard serve`.

    studio   what one session of the page has: networks, photographs, passes; no HTTP in it
    app      the routes, as a Starlette application
    guarding who may ask: host, origin, token, sizes
    web      the page: ES modules, and three pinned packages beside their licences

Starlette and uvicorn come with the extra `regard[serve]`; only `app`, `guarding` and `running` import them.
"""
