package realserver

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a server and breaks them on demand. A fault holds for the connections that are
// open and for those to come, until [Proxy.Heal]; several faults add up. Its methods are safe for concurrent use.
type Proxy struct {
	t      testing.TB
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	links    map[*link]struct{}
	changed  chan struct{} // closed when a fault begins or ends
	closed   bool
	latency  time.Duration
	hang     bool
	reset    bool
	cut      int64 // bytes of replies until a new connection is cut; negative: never

	running sync.WaitGroup
}

// link is a client's connection and the server's that belongs to it.
type link struct {
	client, server net.Conn
	left           int64 // as Proxy.cut; guarded by Proxy.mu
	gone           chan struct{}
	once           sync.Once
}

// NewProxy listens on a free loopback port and passes connections on to target. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, addr: "127.0.0.1:0", cut: -1, links: map[*link]struct{}{}, changed: make(chan struct{})}
	p.listen()
	t.Cleanup(p.close)
	return p
}

// Addr returns the host:port that clients connect to.
func (p *Proxy) Addr() string { return p.addr }

// Latency delays each reply by d. Replies that follow one another closely are delayed together, as by a long cable.
func (p *Proxy) Latency(d time.Duration) { p.change(func() { p.latency = d }) }

// Hang holds everything back, in both directions; connections are accepted. What was held back is delivered when
// the fault ends.
func (p *Proxy) Hang() { p.change(func() { p.hang = true }) }

// Cut closes each connection after n more bytes of replies.
func (p *Proxy) Cut(n int64) {
	p.change(func() {
		p.cut = n
		for l := range p.links {
			l.left = n
		}
	})
}

// Reset passes on half of what the server sends next and resets the connection in the middle of it.
func (p *Proxy) Reset() { p.change(func() { p.reset = true }) }

// Refuse closes all connections and refuses new ones.
func (p *Proxy) Refuse() {
	p.change(func() {
		if p.listener != nil {
			_ = p.listener.Close()
			p.listener = nil
		}
		for l := range p.links {
			l.close(false)
		}
	})
}

// Heal ends every fault.
func (p *Proxy) Heal() {
	p.t.Helper()
	p.change(func() {
		p.latency, p.hang, p.reset, p.cut = 0, false, false, -1
		for l := range p.links {
			l.left = -1
		}
	})
	p.listen()
}

func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) close() {
	p.Refuse()
	p.change(func() { p.closed = true })
	p.running.Wait()
}

// listen begins to accept connections, at the address of before, unless it does already.
func (p *Proxy) listen() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatalf("realserver: proxy: %v", err)
	}
	p.listener, p.addr = l, l.Addr().String()
	p.running.Go(func() { p.accept(l) })
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	k := &link{client: client, server: server, gone: make(chan struct{})}
	p.mu.Lock()
	if p.listener == nil { // refusing by now
		p.mu.Unlock()
		k.close(false)
		return
	}
	k.left = p.cut
	p.links[k] = struct{}{}
	p.mu.Unlock()

	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(k, client, server, false) })
	pumps.Go(func() { p.pump(k, server, client, true) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, k)
	p.mu.Unlock()
}

// pump passes on what comes from src until either side ends. A second goroutine writes, so that latency delays
// without slowing down.
func (p *Proxy) pump(k *link, src, dst net.Conn, replies bool) {
	type chunk struct {
		data []byte
		came time.Time
	}
	queue := make(chan chunk, 256)
	var writer sync.WaitGroup
	writer.Go(func() {
		defer k.close(false)
		for c := range queue {
			if !p.pass(k, dst, c.data, c.came, replies) {
				break
			}
		}
		for range queue { // the reader may wait for room
		}
	})
	for {
		buf := make([]byte, 32<<10)
		n, err := src.Read(buf)
		if n > 0 {
			queue <- chunk{buf[:n], time.Now()}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	writer.Wait()
}

// pass writes data to dst as the faults of the moment want it and reports whether the connection lives on.
func (p *Proxy) pass(k *link, dst net.Conn, data []byte, came time.Time, replies bool) bool {
	for {
		p.mu.Lock()
		changed, hang, latency := p.changed, p.hang, p.latency
		if !replies {
			latency = 0
		}
		wait := latency - time.Since(came)
		if !hang && wait <= 0 {
			break // still locked
		}
		p.mu.Unlock()
		var timer <-chan time.Time
		if !hang {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-changed:
		case <-k.gone:
			return false
		}
	}
	reset, ends := false, false
	if replies {
		if reset = p.reset; reset {
			data, ends = data[:len(data)/2], true
		}
		if k.left >= 0 {
			if int64(len(data)) >= k.left {
				data, ends = data[:k.left], true
			}
			k.left -= int64(len(data))
		}
	}
	p.mu.Unlock()
	if _, err := dst.Write(data); err != nil {
		return false
	}
	if ends {
		k.close(reset)
	}
	return !ends
}

// close closes both connections; reset lets the client see a reset instead of an end.
func (k *link) close(reset bool) {
	k.once.Do(func() {
		if tcp, ok := k.client.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = k.client.Close()
		_ = k.server.Close()
		close(k.gone)
	})
}
