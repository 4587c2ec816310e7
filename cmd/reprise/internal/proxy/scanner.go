package proxy

import (
	"bytes"
	"math"
	"strconv"
)

// scanner follows the requests of an HTTP/1 connection and finds those that another server might take for two: what
// net/http reads one way, and a server in front or behind perhaps another (RFC 9112 §11.2). net/http itself refuses most of
// what is ambiguous; these it puts up with:
//
//   - Transfer-Encoding beside Content-Length, or in HTTP/1.0, or more than once (§6.1)
//   - Content-Length more than once, though with one value (§6.3)
//   - a line that ends in LF alone (§2.2), or goes on in the next one (§5.2)
//
// It never decides how a request is read. Where it loses its way, net/http has refused the request.
type scanner struct {
	state   scanState
	left    int64  // of a body or chunk
	line    []byte // the beginning of a line that feed has not seen the end of
	long    bool   // the line was longer than what is kept of it
	last    byte   // of the line
	first   bool   // the request line has been read
	http10  bool
	coding  bool // Transfer-Encoding was there
	length  bool // Content-Length was there
	size    int64
	h2c     bool // HTTP/2 may begin here
	started bool // a request was seen
}

type scanState uint8

const (
	scanHead scanState = iota
	scanBody
	scanChunkSize
	scanChunk
	scanChunkEnd
	scanTrailer
	scanNothing // HTTP/2, another protocol, or lost
)

// keptLine is how much of a line is kept: more than a name and a length have.
const keptLine = 128

// feed takes the next bytes of the connection. It returns where a request in them becomes one to refuse, or -1.
func (s *scanner) feed(p []byte) int {
	for i := 0; i < len(p); {
		switch s.state {
		case scanNothing:
			return -1
		case scanBody, scanChunk:
			n := min(s.left, int64(len(p)-i))
			i += int(n)
			if s.left -= n; s.left == 0 {
				s.state++ // a chunk is followed by its end
				if s.state == scanChunkSize {
					s.nextRequest()
				}
			}
		case scanHead, scanChunkSize, scanChunkEnd, scanTrailer:
			end := bytes.IndexByte(p[i:], '\n')
			if end < 0 {
				s.keep(p[i:])
				return -1
			}
			line, long := p[i:i+end], false
			if len(s.line) > 0 || s.long {
				s.keep(line)
				line, long = s.line, s.long
			} else if n := len(line); n > 0 {
				s.last, long = line[n-1], n > keptLine
			}
			cr := s.last == '\r' && len(line) > 0
			line = bytes.TrimSuffix(line, []byte("\r"))
			ok := s.take(line, cr, long)
			s.line, s.long, s.last = s.line[:0], false, 0
			if !ok {
				return i + end
			}
			i += end + 1
		}
	}
	return -1
}

// keep remembers the beginning of a line, and of a request line the end.
func (s *scanner) keep(p []byte) {
	if len(p) == 0 {
		return
	}
	s.last = p[len(p)-1]
	if s.state == scanHead && !s.first {
		s.line = append(s.line, p[max(0, len(p)-keptLine):]...)
		if over := len(s.line) - keptLine; over > 0 {
			s.line, s.long = append(s.line[:0], s.line[over:]...), true
		}
		return
	}
	room := keptLine - len(s.line)
	if len(p) > room {
		p, s.long = p[:room], true
	}
	s.line = append(s.line, p...)
}

func (s *scanner) nextRequest() {
	s.state, s.first, s.http10, s.coding, s.length, s.size = scanHead, false, false, false, false, 0
	s.started = true
}

// take reads a whole line. cr says that it ended in CR LF.
func (s *scanner) take(line []byte, cr, long bool) bool {
	switch s.state {
	case scanChunkSize:
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimRight(digits, " \t")), 16, 64)
		switch {
		case err != nil || n < 0:
			s.state = scanNothing
		case n == 0:
			s.state = scanTrailer
		default:
			s.state, s.left = scanChunk, n
		}
	case scanChunkEnd:
		s.state = scanChunkSize
	case scanTrailer:
		if len(line) == 0 {
			s.nextRequest()
		}
	case scanHead:
		return cr && s.head(line, long)
	case scanBody, scanChunk, scanNothing: // have no lines
	}
	return true
}

// head reads a line of a head.
func (s *scanner) head(line []byte, long bool) bool {
	switch {
	case !s.first:
		s.first = true
		s.http10 = bytes.HasSuffix(line, []byte(" HTTP/1.0"))
		if s.h2c && !s.started && !long && string(line) == "PRI * HTTP/2.0" {
			s.state = scanNothing
		}
		return true
	case len(line) == 0:
		switch {
		case s.coding:
			s.state = scanChunkSize
		case s.size > 0:
			s.state, s.left = scanBody, s.size
		default:
			s.nextRequest()
		}
		return true
	case line[0] == ' ' || line[0] == '\t':
		return false
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 63)
		if long || s.length || s.coding || err != nil || n > math.MaxInt64 {
			return false
		}
		s.length, s.size = true, int64(n)
	case len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if long || s.length || s.coding || s.http10 {
			return false
		}
		s.coding = true
	}
	return true
}
