package history

import (
	"bufio"
	"encoding/gob"
	"io"
	"sync"
)

// verb is what a message is about.
type verb uint8

const (
	doRead verb = iota + 1
	doDropKey
	doDropTag
	doDropURL
	doDropNamespace
	doReset // connections to the store
	doCount
	askVersion // from a worker: a fill has begun
)

// message goes between the driver and a worker: an order or a question, and back with the same number what came of it.
type message struct {
	ID     uint64
	Verb   verb
	Thing  thing
	Text   string   // a tag
	Levels []string // of a namespace

	Version uint64 // the answer to askVersion
	Answer  []part // to doRead
	Hits    uint64 // the answer to doCount
	Err     string
	Garbled bool // the answer to doRead was whole and made no sense
}

// part is a fill as its value tells it.
type part struct {
	Thing   thing  `json:"t"`
	Version uint64 `json:"v"`
	Begin   int64  `json:"b"`
}

// link is one end of a connection.
type link struct {
	mu      sync.Mutex // held while a message is written
	out     *bufio.Writer
	encoder *gob.Encoder
	decoder *gob.Decoder
}

func newLink(in io.Reader, out io.Writer) *link {
	w := bufio.NewWriter(out)
	return &link{out: w, encoder: gob.NewEncoder(w), decoder: gob.NewDecoder(bufio.NewReader(in))}
}

func (l *link) send(m *message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.encoder.Encode(m); err != nil {
		return err
	}
	return l.out.Flush()
}

func (l *link) receive() (*message, error) {
	m := new(message)
	if err := l.decoder.Decode(m); err != nil {
		return nil, err
	}
	return m, nil
}
