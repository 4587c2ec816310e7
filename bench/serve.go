package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v3"
	fibercache "github.com/gofiber/fiber/v3/middleware/cache"

	"github.com/reprise-go/reprise"
)

// serveCommand as the first argument makes this program one of the servers that it measures.
const serveCommand = "serve"

// sizes are those of the pages that servers have, in KiB, under /pages/KIB.
func sizes() []int { return []int{1, 64} }

func pagePath(kib int) string { return "/pages/" + strconv.Itoa(kib) }

// pageBody is a page: JSON, for that is what frameworks serialize again on a hit, with the name of the run in it, so that
// no other server can be taken for one of this run. python/app.py makes the same.
func pageBody(kib int, run string) []byte {
	const format = `{"run":%q,"text":%q}`
	rest := kib<<10 - len(fmt.Sprintf(format, run, ""))
	return fmt.Appendf(nil, format, run, strings.Repeat("x", rest))
}

// content has the pages and counts how often they are made.
type content struct {
	pages map[string][]byte // by the last part of their path
	calls atomic.Int64
}

// serve is a server of the kind args[0] on port args[1] for the run args[2]. It ends with an error or by a signal.
func serve(args []string) error {
	if len(args) != 3 {
		return errors.New("serve needs a kind, a port and a run")
	}
	c := &content{pages: map[string][]byte{}}
	for _, kib := range sizes() {
		c.pages[strconv.Itoa(kib)] = pageBody(kib, args[2])
	}
	addr := net.JoinHostPort("127.0.0.1", args[1])
	switch args[0] {
	case "bare":
		return c.listen(addr, http.HandlerFunc(c.show))
	case "reprise":
		cache, err := reprise.New(reprise.Config{})
		if err != nil {
			return err
		}
		defer cache.Close()
		return c.listen(addr, cache.WrapFunc(c.show, reprise.TTL(lifetime)))
	case "fiber":
		return c.fiber().Listen(addr, fiber.ListenConfig{DisableStartupMessage: true})
	default:
		return fmt.Errorf("no server %q", args[0])
	}
}

func (c *content) show(w http.ResponseWriter, r *http.Request) {
	c.calls.Add(1)
	body, ok := c.pages[r.PathValue("kib")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // else net/http sends what is long in chunks
	w.Header().Set("Cache-Control", "max-age="+strconv.Itoa(int(lifetime.Seconds())))
	_, _ = w.Write(body)
}

func (c *content) listen(addr string, pages http.Handler) error {
	mux := http.NewServeMux()
	mux.Handle("GET /pages/{kib}", pages)
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatInt(c.calls.Load(), 10))
	})
	s := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: time.Minute}
	return s.ListenAndServe()
}

func (c *content) fiber() *fiber.App {
	app := fiber.New()
	app.Get("/calls", func(ctx fiber.Ctx) error { return ctx.SendString(strconv.FormatInt(c.calls.Load(), 10)) })
	app.Use(fibercache.New(fibercache.Config{Expiration: lifetime, StoreResponseHeaders: true}))
	app.Get("/pages/:kib", func(ctx fiber.Ctx) error {
		c.calls.Add(1)
		body, ok := c.pages[ctx.Params("kib")]
		if !ok {
			return fiber.ErrNotFound
		}
		ctx.Set("Content-Type", "application/json")
		ctx.Set("Cache-Control", "max-age="+strconv.Itoa(int(lifetime.Seconds())))
		return ctx.Send(body)
	})
	return app
}
