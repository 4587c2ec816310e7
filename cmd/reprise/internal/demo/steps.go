package demo

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// steps returns the tour. Later steps use pages that earlier ones have warmed.
func steps(shared bool) []step {
	all := []step{
		{"miss", showMiss},
		{"hit", showHit},
		{"304", showNotModified},
		{"vary", showVary},
		{"stream", showStream},
		{"guard", showGuard},
		{"credentials", showCredentials},
		{"write", showWrite},
		{"tag", showTag},
		{"stampede", showStampede},
		{"per user", showPerUser},
		{"stale", showStale},
		{"range", showRange},
		{"report", showReport},
		{"purge", showPurge},
	}
	if shared {
		all = append(all, step{"shared", showShared})
	}
	return all
}

func showMiss(ctx context.Context, t *tour) string {
	a := t.get(ctx, "/books/1")
	t.miss(a)
	t.cacheStatus(a, "fwd=uri-miss")
	t.check(a.total >= lookUpTime, "the answer came after %v; its database takes %v", a.total, lookUpTime)
	t.ran("/books/1", 1)
	return "Nothing was stored: the handler ran, as slow as its database, and the answer was kept."
}

func showHit(ctx context.Context, t *tour) string {
	a := t.get(ctx, "/books/1")
	t.status(a, http.StatusOK)
	t.hit(a)
	t.holds(a, "The Dispossessed")
	t.ran("/books/1", 1)
	return "The same answer from the store. The handler did not run."
}

func showNotModified(ctx context.Context, t *tour) string {
	first := t.get(ctx, "/books/1")
	tag := first.header.Get("Etag")
	t.check(tag != "", "the answer has no ETag")
	a := t.get(ctx, "/books/1", "If-None-Match: "+tag)
	t.status(a, http.StatusNotModified)
	t.check(len(a.body) == 0, "the 304 has a body of %d bytes", len(a.body))
	t.ran("/books/1", 1)
	return "The handler knows no ETag; reprise made one, and answers that nothing has changed."
}

func showVary(ctx context.Context, t *tour) string {
	en, fr := "Accept-Language: en", "Accept-Language: fr"
	firstEn := t.get(ctx, "/welcome", en)
	t.miss(firstEn)
	t.holds(firstEn, "Welcome")
	firstFr := t.get(ctx, "/welcome", fr)
	t.miss(firstFr)
	t.holds(firstFr, "Bienvenue")
	again := t.get(ctx, "/welcome", en)
	t.hit(again)
	t.same(again, firstEn)
	again = t.get(ctx, "/welcome", fr)
	t.hit(again)
	t.same(again, firstFr)
	t.ran("/welcome", 2)
	return "The handler says Vary: Accept-Language. Each language is an entry of its own."
}

// showStream has a follower join while the leader's answer is on its way.
func showStream(ctx context.Context, t *tour) string {
	const path = "/books/1/excerpt"
	var leader, follower answer
	var endedAtLeaders, endedAtFollowers int // runs of the handler that were over at the first byte
	joined := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		leader = t.fetch(ctx, http.MethodGet, t.base+path, "", nil, func() {
			_, endedAtLeaders = t.shop.runs(path)
			close(joined)
		})
		if leader.status == 0 {
			close(joined)
		}
	})
	both.Go(func() {
		<-joined
		follower = t.fetch(ctx, http.MethodGet, t.base+path, "", nil, func() { _, endedAtFollowers = t.shop.runs(path) })
	})
	both.Wait()
	for _, a := range []answer{leader, follower} {
		t.print("GET "+path, nil, a)
		t.out.note("first byte after " + milliseconds(a.first))
		t.status(a, http.StatusOK)
	}
	t.check(endedAtLeaders == 0, "the leader's first byte came only when the handler had ended")
	t.check(endedAtFollowers == 0, "the follower's first byte came only when the handler had ended")
	t.same(leader, follower)
	t.hit(follower)
	stored := t.get(ctx, path)
	t.hit(stored)
	t.same(stored, leader)
	t.holds(stored, "line 5")
	t.ran(path, 1)
	return "The handler flushes line by line. A second client joined in the middle of its one run: it got the lines " +
		"that were there at once, and the others with the first client."
}

func showGuard(ctx context.Context, t *tour) string {
	key := "X-Api-Key: " + apiKey
	t.status(t.get(ctx, "/stock"), http.StatusUnauthorized)
	t.miss(t.get(ctx, "/stock", key))
	t.hit(t.get(ctx, "/stock", key))
	a := t.get(ctx, "/stock", "X-Api-Key: guessed")
	t.status(a, http.StatusUnauthorized)
	t.check(!strings.Contains(string(a.body), "Solaris"), "the stored answer went to a client without a key")
	t.ran("/stock", 1)
	return "Before(requireKey) runs on every request, on hits too: without the key a warm entry is a 401."
}

func showCredentials(ctx context.Context, t *tour) string {
	cookie := "Cookie: session=4f1d"
	before := t.runs("/books/1")
	a := t.get(ctx, "/books/1", cookie)
	t.status(a, http.StatusOK)
	t.check(a.header.Get("X-Cache") != "HIT", "a shared entry went to an identified request")
	t.cacheStatus(a, "fwd=bypass; detail=cookie")
	t.ran("/books/1", before+1)
	t.check(t.log.has("reprise.Public"), "the log does not name the option that helps")
	t.hit(t.get(ctx, "/welcome", "Accept-Language: en", cookie))
	return "A cookie may make the answer personal, so it is neither looked up nor stored, and Cache-Status and the log " +
		"say why. /welcome says Public(): it is the same for all, with or without cookie."
}

func showWrite(ctx context.Context, t *tour) string {
	before := t.runs("/books/1")
	t.hit(t.get(ctx, "/books/1"))
	t.status(t.send(ctx, http.MethodPatch, "/books/1", `{"price": 9.5}`), http.StatusNoContent)
	a := t.get(ctx, "/books/1")
	t.miss(a)
	t.holds(a, "9.5")
	a = t.get(ctx, "/books/1")
	t.hit(a)
	t.holds(a, "9.5")
	t.ran("/books/1", before+1)
	return "A successful PATCH makes what is stored for its URL unusable: the next reader sees the new price."
}

func showTag(ctx context.Context, t *tour) string {
	for _, path := range []string{"/books/2", "/books/3"} {
		t.miss(t.get(ctx, path))
		t.settle(ctx, path)
	}
	t.status(t.send(ctx, http.MethodPut, "/authors/le-guin", ""), http.StatusNoContent)
	for _, path := range []string{"/books/1", "/books/2"} {
		t.miss(t.get(ctx, path))
	}
	t.hit(t.get(ctx, "/books/3"))
	return `The author's page changed: InvalidateTags("author:le-guin") took both of her books, and left the other.`
}

func showStampede(ctx context.Context, t *tour) string {
	const path, clients = "/bestsellers", 200
	answers := make([]answer, clients)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			<-start
			answers[i] = t.fetch(ctx, http.MethodGet, t.base+path, "", nil, nil)
		})
	}
	close(start)
	all.Wait()

	slowest, kinds := answers[0], make(map[string]int)
	for _, a := range answers {
		t.check(a.err == nil, "a client got no answer: %v", a.err)
		t.status(a, http.StatusOK)
		t.same(a, answers[0])
		kinds[a.header.Get("X-Cache")]++
		if a.total > slowest.total {
			slowest = a
		}
	}
	t.problems = t.problems[:min(len(t.problems), 3)] // of 200 clients
	t.print("GET "+path, nil, slowest)
	t.out.note(fmt.Sprintf("the slowest of %d clients at once: %d HIT, %d MISS; runs of the handler: %d",
		clients, kinds["HIT"], kinds["MISS"], t.runs(path)))
	t.ran(path, 1)
	t.check(kinds["MISS"] == 1 && kinds["HIT"] == clients-1, "X-Cache is %v; want one MISS and %d HIT", kinds, clients-1)
	return fmt.Sprintf("%d clients asked for a cold page at once. One of them ran the handler, all the others got its answer.", clients)
}

func showPerUser(ctx context.Context, t *tour) string {
	ann, bob := "Authorization: Bearer ann", "Authorization: Bearer bob"
	a := t.get(ctx, "/me/orders", ann)
	t.miss(a)
	t.holds(a, "ann")
	a = t.get(ctx, "/me/orders", ann)
	t.hit(a)
	t.holds(a, "ann")
	a = t.get(ctx, "/me/orders", bob)
	t.miss(a)
	t.holds(a, "bob")
	a = t.get(ctx, "/me/orders", bob)
	t.hit(a)
	t.holds(a, "bob")
	t.status(t.get(ctx, "/me/orders"), http.StatusUnauthorized)
	t.ran("/me/orders", 2)
	return "PerUser gives each user a partition: private answers are stored, and nobody sees another one's."
}

func showStale(ctx context.Context, t *tour) string {
	const path = "/news"
	first := t.get(ctx, path)
	t.miss(first)
	t.pause(ctx, newsTTL+newsTTL/10)
	stale := t.get(ctx, path)
	t.hit(stale)
	t.same(stale, first)
	age, _ := strconv.Atoi(stale.header.Get("Age"))
	t.check(time.Duration(age)*time.Second >= newsTTL, "the answer's Age is %d; want %v or more", age, newsTTL)

	deadline := time.Now().Add(5 * time.Second)
	for t.runs(path) < 2 && time.Now().Before(deadline) && ctx.Err() == nil {
		t.pause(ctx, newsTime/10) // nobody asks; the refresh runs by itself
	}
	fresh := stale
	for string(fresh.body) == string(stale.body) && time.Now().Before(deadline) && ctx.Err() == nil {
		t.pause(ctx, newsTime/10)
		fresh = t.fetch(ctx, http.MethodGet, t.base+path, "", nil, nil)
	}
	t.print("GET "+path, nil, fresh)
	t.hit(fresh)
	t.holds(fresh, `"edition":2`)
	return fmt.Sprintf("After its %v the news is stale. StaleWhileRevalidate gave the old edition at once, "+
		"while the handler made the new one in the background.", newsTTL)
}

func showRange(ctx context.Context, t *tour) string {
	const path = "/catalogue.csv"
	whole := t.get(ctx, path)
	t.miss(whole)
	t.holds(whole, line(catalogueLines-1))
	t.settle(ctx, path)
	size := len(line(0))
	part := t.get(ctx, path, fmt.Sprintf("Range: bytes=%d-%d", size, 2*size-1))
	t.status(part, http.StatusPartialContent)
	t.hit(part)
	t.check(string(part.body) == line(1), "the part is %.80q; want %q", part.body, line(1))
	last := t.get(ctx, path, fmt.Sprintf("Range: bytes=-%d", size))
	t.status(last, http.StatusPartialContent)
	t.check(string(last.body) == line(catalogueLines-1), "the part is %.80q; want %q", last.body, line(catalogueLines-1))
	t.status(t.get(ctx, path, fmt.Sprintf("Range: bytes=%d-", len(whole.body))), http.StatusRequestedRangeNotSatisfiable)
	t.ran(path, 1)
	return "The handler knows no ranges. What it made once is kept whole, and reprise cuts parts from it."
}

// showReport has two pages made of one result of a function.
func showReport(ctx context.Context, t *tour) string {
	const page, text, report = "/sales/le-guin", "/sales/le-guin?as=text", "report of le-guin"
	for round := 1; round <= 2; round++ {
		t.miss(t.get(ctx, page))
		t.settle(ctx, page)
		a := t.get(ctx, text)
		t.miss(a)
		t.check(a.total < reportTime, "the second page came after %v: as if it had made the report anew", a.total)
		t.settle(ctx, text)
		t.hit(t.get(ctx, page))
		t.hit(t.get(ctx, text))
		t.ran(report, round)
		if round == 1 {
			t.status(t.send(ctx, http.MethodPut, "/authors/le-guin", ""), http.StatusNoContent)
		}
	}
	return "Memoize keeps the report: two pages show it, its function ran once. Its loader said AddTags, and so one " +
		"InvalidateTags took the report and both pages."
}

// showPurge asks another bookshop on the store, and lets that one invalidate.
func showPurge(ctx context.Context, t *tour) string {
	const path = "/books/3"
	b, err := t.openBeside(ctx)
	if err != nil {
		t.check(false, "%v", err)
		return ""
	}
	t.out.note(b.who)
	t.get(ctx, path)
	t.settle(ctx, path)
	there := b.send(ctx, t, http.MethodGet, path)
	t.hit(there)
	t.check(there.header.Get(filledBy) == t.shop.self, "the other one was not given what this one stored")
	t.status(b.send(ctx, t, http.MethodPut, "/authors/lem"), http.StatusNoContent)
	t.miss(t.get(ctx, path))
	t.settle(ctx, path)
	t.hit(b.send(ctx, t, http.MethodGet, path))
	t.check(b.close() == nil, "the other bookshop did not end well")
	return b.shows
}

// showShared asks for a page that every process on the store keeps under the same key.
func showShared(ctx context.Context, t *tour) string {
	const path = "/bestsellers"
	first := t.fetch(ctx, http.MethodGet, t.rootAt+path, "", nil, nil)
	t.print("GET "+path, nil, first)
	second := t.fetch(ctx, http.MethodGet, t.rootAt+path, "", nil, nil)
	t.print("GET "+path, nil, second)
	t.status(second, http.StatusOK)
	t.hit(second)
	t.same(first, second)
	begun, _ := t.root.runs(path)
	if by := first.elsewhere(t.root.self); by != "" {
		t.check(begun == 0, "the handler ran in this process, too")
		t.check(second.elsewhere(t.root.self) == by, "the second answer is not that of process %s", by)
		return "Process " + by + " had filled this page, on the same store. Here the handler did not run."
	}
	t.miss(first)
	t.check(begun == 1, "the handler ran %d times; want 1", begun)
	return "This process was the first on the store. Run a second demo within ten minutes: it will hit what this one filled."
}
