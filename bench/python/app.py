"""Serves the pages of `make bench-http` from one Python peer: app.py PEER PORT RUN.

Each peer is set up as its own documentation shows, on uvicorn with uvloop and httptools. GET /calls tells how often a page was
made.
"""

import sys

import uvicorn

PEER, PORT, RUN = sys.argv[1], int(sys.argv[2]), sys.argv[3]
LIFETIME = 3600
calls = 0


def page(size: int) -> dict[str, str]:
    """The page whose JSON is size bytes, as page in serve.go makes it."""
    global calls
    calls += 1
    rest = size - len('{"run":"","text":""}') - len(RUN)
    return {"run": RUN, "text": "x" * rest}


def fastapi_app(router=None):
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/calls")
    async def count() -> int:
        return calls

    if router is not None:
        app.include_router(router)
    return app


def uncached():
    app = fastapi_app()

    @app.get("/pages/1")
    async def small():
        return page(1 << 10)

    @app.get("/pages/64")
    async def large():
        return page(64 << 10)

    return app


def fastapi_cache2():
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    FastAPICache.init(InMemoryBackend())
    app = fastapi_app()

    @app.get("/pages/1")
    @cache(expire=LIFETIME)
    async def small():
        return page(1 << 10)

    @app.get("/pages/64")
    @cache(expire=LIFETIME)
    async def large():
        return page(64 << 10)

    return app


def fastapi_caching_route():
    from aiocache import SimpleMemoryCache
    from fastapi import APIRouter
    from fastapi_caching_route import CachingRoute, FastAPICache

    router = APIRouter(route_class=CachingRoute)
    cache = FastAPICache(SimpleMemoryCache())

    @cache(ttl=LIFETIME)
    @router.get("/pages/1")
    async def small():
        return page(1 << 10)

    @cache(ttl=LIFETIME)
    @router.get("/pages/64")
    async def large():
        return page(64 << 10)

    return fastapi_app(router)


def litestar():
    from litestar import Litestar, get

    @get("/calls")
    async def count() -> int:
        return calls

    @get("/pages/1", cache=LIFETIME)
    async def small() -> dict[str, str]:
        return page(1 << 10)

    @get("/pages/64", cache=LIFETIME)
    async def large() -> dict[str, str]:
        return page(64 << 10)

    return Litestar([count, small, large])


PEERS = {
    "fastapi": uncached,
    "fastapi-cache2": fastapi_cache2,
    "fastapi-caching-route": fastapi_caching_route,
    "litestar": litestar,
}

uvicorn.run(PEERS[PEER](), host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="warning")
