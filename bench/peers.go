package main

import (
	"net/http"
	"time"

	gincache "github.com/chenyahui/gin-cache"
	"github.com/chenyahui/gin-cache/persist"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/stampede"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	fibercache "github.com/gofiber/fiber/v3/middleware/cache"
	"github.com/valyala/fasthttp"
	httpcache "github.com/victorspringer/http-cache"
	"github.com/victorspringer/http-cache/adapter/memory"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/memstore"
)

// peer is a cache for handlers. Each is set up as its own documentation shows, with a lifetime of an hour and room for
// what a section stores.
type peer struct {
	name   string
	module string
	open   func(next http.Handler, room int) (h http.Handler, closeIt func()) // room is in entries of at most 70 KB

	// fast is for a peer that does not work on net/http: h without the conversion that open needs, and a handler of
	// the same framework that says the same without a cache.
	fast func(body []byte) (h, bare fasthttp.RequestHandler)
}

const lifetime = time.Hour

func peers() []peer {
	return []peer{
		{name: "reprise", module: "github.com/reprise-go/reprise", open: openReprise},
		{name: "gin-cache", module: "github.com/chenyahui/gin-cache", open: openGin},
		{name: "fiber cache", module: "github.com/gofiber/fiber/v3", open: openFiber, fast: fastFiber},
		{name: "stampede", module: "github.com/go-chi/stampede", open: openStampede},
		{name: "http-cache", module: "github.com/victorspringer/http-cache", open: openHTTPCache},
	}
}

func openReprise(next http.Handler, room int) (http.Handler, func()) {
	c, closeIt := openCache(reprise.Config{}, max(64<<20, int64(room)*70_000))
	return c.Wrap(next, reprise.TTL(lifetime)), closeIt
}

// openCache opens a cache on a memory store of so many bytes.
func openCache(cfg reprise.Config, bytes int64) (*reprise.Cache, func()) {
	s, err := memstore.New(memstore.Config{MaxBytes: bytes})
	if err != nil {
		panic(err) // a mistake in this program
	}
	cfg.Store = s
	c := reprise.Must(reprise.New(cfg))
	return c, func() {
		_ = c.Close()
		_ = s.Close()
	}
}

func openGin(next http.Handler, _ int) (http.Handler, func()) {
	s := persist.NewMemoryStore(lifetime)
	return ginEngine(next, gincache.CacheByRequestURI(s, lifetime)), func() { _ = s.Cache.Close() }
}

func ginEngine(next http.Handler, mw ...gin.HandlerFunc) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(mw...)
	e.Any("/*path", func(c *gin.Context) { next.ServeHTTP(c.Writer, c.Request) })
	return e
}

func openFiber(next http.Handler, _ int) (http.Handler, func()) {
	app := fiberApp(fibercache.Config{})
	app.All("/*", adaptor.HTTPHandler(next))
	return adaptor.FiberApp(app), func() {}
}

func fiberApp(cfg fibercache.Config) *fiber.App {
	cfg.Expiration, cfg.StoreResponseHeaders = lifetime, true
	app := fiber.New()
	app.Use(fibercache.New(cfg))
	return app
}

func fastFiber(body []byte) (h, bare fasthttp.RequestHandler) {
	app := fiberApp(fibercache.Config{})
	app.Get("/*", func(c fiber.Ctx) error {
		c.Set("Content-Type", "application/json")
		return c.Send(body)
	})
	h = app.Handler()
	c := fastRequests(targets(0, 1))[0]
	stored := askFast(h, []*fasthttp.RequestCtx{c})
	stored.ask(0)
	stored.ask(0)
	var fields [][2]string
	for k, v := range c.Response.Header.All() {
		if string(k) != "Content-Length" {
			fields = append(fields, [2]string{string(k), string(v)})
		}
	}
	plain := fiber.New()
	plain.Get("/*", func(c fiber.Ctx) error {
		for _, f := range fields {
			c.Set(f[0], f[1])
		}
		return c.Send(body)
	})
	return h, plain.Handler()
}

func openStampede(next http.Handler, room int) (http.Handler, func()) {
	return stampede.Handler(room, lifetime)(next), func() {}
}

func openHTTPCache(next http.Handler, room int) (http.Handler, func()) {
	a, err := memory.NewAdapter(memory.AdapterWithAlgorithm(memory.LRU), memory.AdapterWithCapacity(max(room, 2)))
	if err != nil {
		panic(err) // a mistake in this program
	}
	c, err := httpcache.NewClient(httpcache.ClientWithAdapter(a), httpcache.ClientWithTTL(lifetime))
	if err != nil {
		panic(err)
	}
	return c.Middleware(next), func() {}
}
