//go:build linux

package history

import (
	"math/rand/v2"
	"time"
)

// afterFailure is how long a client rests, so that not all operations fall into the time in which there is no store.
const afterFailure = 100 * time.Millisecond

// client reads through one process, one thing after another, and now and then changes something through any of them.
type client struct {
	*Run
	process *process
	rng     *rand.Rand
	known   map[place][]string // names

	reads   []Read
	drops   []Invalidation
	failed  int
	garbled int
	dropped map[string]int
	unsure  map[string]int
	err     error
}

// place is where a thing stands: it is the whole answer, or a part of one.
type place struct {
	thing thing
	whole bool
}

// work does operations until there are no more.
func (c *client) work() {
	c.known, c.dropped, c.unsure = make(map[place][]string), make(map[string]int), make(map[string]int)
	for c.err == nil && c.ticket() {
		if c.rng.IntN(100) < c.cfg.Mutations {
			c.err = c.mutate()
		} else {
			c.err = c.read()
		}
	}
	r := c.Run
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Reads = append(r.history.Reads, c.reads...)
	r.history.Invalidations = append(r.history.Invalidations, c.drops...)
	r.report.Reads += len(c.reads)
	r.report.Failed += c.failed
	r.report.Garbled += c.garbled
	for kind, n := range c.dropped {
		r.report.Dropped[kind] += n
	}
	for kind, n := range c.unsure {
		r.report.Unsure[kind] += n
	}
	if c.err != nil {
		r.over.Store(true)
		r.errs = append(r.errs, c.err)
	}
}

// any returns some thing; a few objects are asked for often.
func (c *client) any() thing {
	if c.cfg.Graph {
		return thing{Kind: node, Object: c.rng.Int32N(graphNodes)}
	}
	f := c.rng.Float64()
	t := thing{Kind: mixed[c.rng.IntN(len(mixed))], Object: int32(f * f * float64(c.cfg.Objects))}
	if t.Kind == stream && c.rng.IntN(4) > 0 {
		t.Kind = page // a stream is heavy
	}
	if (t.Kind == page || t.Kind == varied) && c.rng.IntN(2) == 0 {
		t.Variant = 1
	}
	return t
}

func (c *client) read() error {
	t := c.any()
	r := Read{Process: c.process.number, What: t.String(), Object: t.Object, Sent: now()}
	m, err := c.process.call(&message{Verb: doRead, Thing: t})
	r.Returned = now()
	if err != nil {
		return err
	}
	switch {
	case m.Garbled:
		c.garbled++
	case m.Err != "":
		c.failed++
	default:
		for i, p := range m.Answer {
			f := Fill{Object: p.Thing.Object, Version: p.Version, Begin: p.Begin, Names: c.names(p.Thing, i == 0)}
			r.Answer = append(r.Answer, f)
		}
		c.reads = append(c.reads, r)
	}
	return nil
}

// names returns the names of t, as the whole answer or within another, the same slice each time.
func (c *client) names(t thing, whole bool) []string {
	at := place{t, whole}
	names, ok := c.known[at]
	switch {
	case ok:
		return names
	case whole:
		names = t.names()
	default:
		names = t.namesWithin()
	}
	c.known[at] = names
	return names
}

// mutate changes an object and invalidates something that it is in.
func (c *client) mutate() error {
	t := c.any()
	kind, m, name := "key", &message{Verb: doDropKey, Thing: t}, t.key()
	n := c.rng.IntN(1000)
	if c.cfg.Graph {
		n = 650
	}
	switch {
	case n < 350:
	case n < 650 && catalog[t.Kind].route:
		kind, name, m.Verb = "URL", t.url(), doDropURL
		if c.rng.IntN(2) == 0 {
			m.Text = "path"
		}
	case n < 950:
		kind, m.Verb, m.Text = "tag", doDropTag, tagsOf(t.Object)[0]
		name = tagName(m.Text)
	case n < 995:
		kind, m.Verb, m.Text = "tag", doDropTag, tagsOf(t.Object)[1]
		name = tagName(m.Text)
	default:
		kind, m.Verb, m.Levels = "namespace", doDropNamespace, namespaces[c.rng.IntN(len(namespaces))]
		name = namespaceName(m.Levels)
	}
	through := c.workers[c.rng.IntN(len(c.workers))]
	x := Invalidation{Process: through.number, Name: name, Object: t.Object}
	x.Version = c.versions[t.Object].Add(1)
	x.Sent = now()
	reply, err := through.call(m)
	x.Returned = now()
	if err != nil {
		return err
	}
	if x.Acknowledged = reply.Err == ""; x.Acknowledged {
		c.dropped[kind]++
	} else {
		c.unsure[kind]++
		time.Sleep(afterFailure)
	}
	c.drops = append(c.drops, x)
	return nil
}
