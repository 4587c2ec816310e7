// Package meta speaks the meta commands of Memcached 1.6 and later: pipelined, under a context, with every reply bounded
// and matched to its command.
package meta

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// MaxKey is the length of the longest key that Memcached takes.
const MaxKey = 250

// Op says what a Command does.
type Op uint8

const (
	Get       Op = iota // read value and flags
	Inspect             // Get, and also CAS and TTL
	Peek                // Inspect without the value
	Set                 // store Value; see Absent and CAS
	Delete              // remove
	Increment           // add 1 to a decimal number and return it as Value
)

// Command is one command. Key has 1 to MaxKey bytes, none of them a space or a control character.
type Command struct {
	Op     Op
	Absent bool   // Set: only where there is nothing
	Flags  uint32 // Set: what Get returns beside the value
	Key    string
	Value  []byte // Set
	TTL    int64  // Set: as Memcached counts: seconds up to 30 days, Unix time beyond, 0 for ever
	CAS    uint64 // Set: only over the item of this number; 0 is any
	Into   []byte // Get, Inspect: where a value that is no longer is read to
}

// Status is the outcome of a Command.
type Status uint8

const (
	OK        Status = iota
	Missing          // there is nothing at the key
	NotStored        // Set with Absent: there is something at the key
	Changed          // Set with CAS: there is another item at the key
)

// Reply is the answer to a Command.
type Reply struct {
	Status Status
	Flags  uint32
	Value  []byte
	CAS    uint64
	TTL    int64 // seconds left; -1 for ever
}

// ErrTooLarge says that the server takes no item of that size.
var ErrTooLarge = errors.New("item too large for the server")

// Error is a server's own refusal of a command.
type Error struct{ Text string }

func (e *Error) Error() string { return "server says " + strconv.Quote(e.Text) }

// errGarbled says that what came is not the protocol.
var errGarbled = errors.New("garbled reply")

// appendTo appends the command as it is sent, up to the value. tag comes back in its reply.
func (c *Command) appendTo(b []byte, tag uint64) []byte {
	switch c.Op {
	case Get:
		b = append(append(append(b, "mg "...), c.Key...), " v f"...)
	case Inspect:
		b = append(append(append(b, "mg "...), c.Key...), " v f c t"...)
	case Peek:
		b = append(append(append(b, "mg "...), c.Key...), " f c t"...)
	case Set:
		b = append(append(append(b, "ms "...), c.Key...), ' ')
		b = strconv.AppendInt(b, int64(len(c.Value)), 10)
		b = strconv.AppendInt(append(b, " T"...), c.TTL, 10)
		if c.Flags != 0 {
			b = strconv.AppendUint(append(b, " F"...), uint64(c.Flags), 10)
		}
		if c.Absent {
			b = append(b, " ME"...)
		}
		if c.CAS != 0 {
			b = strconv.AppendUint(append(b, " C"...), c.CAS, 10)
		}
	case Delete:
		b = append(append(b, "md "...), c.Key...)
	case Increment:
		b = append(append(append(b, "ma "...), c.Key...), " v"...)
	}
	b = strconv.AppendUint(append(b, " O"...), tag, 10)
	return append(b, "\r\n"...)
}

func (c *Command) write(w *bufio.Writer, tag uint64) error {
	if _, err := w.Write(c.appendTo(w.AvailableBuffer(), tag)); err != nil {
		return err
	}
	if c.Op != Set {
		return nil
	}
	if _, err := w.Write(c.Value); err != nil {
		return err
	}
	_, err := w.WriteString("\r\n")
	return err
}

// read reads the reply to c. Any error leaves the stream where nothing more can be read from it.
func (c *Command) read(r *bufio.Reader, tag, maxValue uint64) (Reply, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return Reply{}, errGarbled
		}
		return Reply{}, err
	}
	n := len(line) - 2
	if n < 2 || line[n] != '\r' {
		return Reply{}, errGarbled
	}
	code, rest := string(line[:2]), line[2:n]
	var rep Reply
	switch code {
	case "HD":
	case "VA":
		return c.readValue(r, rest, tag, maxValue)
	case "EN", "NF":
		rep.Status = Missing
	case "NS":
		rep.Status = NotStored
	case "EX":
		rep.Status = Changed
	default:
		return Reply{}, refusal(string(line[:n]))
	}
	// Some versions leave the tag of a miss out.
	if !rep.parse(rest, tag, code == "EN") {
		return Reply{}, errGarbled
	}
	return rep, nil
}

func (c *Command) readValue(r *bufio.Reader, rest []byte, tag, maxValue uint64) (Reply, error) {
	var rep Reply
	if len(rest) == 0 || rest[0] != ' ' {
		return Reply{}, errGarbled
	}
	size, rest, ok := cutNumber(rest[1:])
	if !ok || size > maxValue || c.Op != Get && c.Op != Inspect && c.Op != Increment || !rep.parse(rest, tag, false) {
		return Reply{}, errGarbled
	}
	if c.Into == nil || size > uint64(len(c.Into)) {
		// With its end: that would often be one more read from the connection.
		rep.Value = make([]byte, size+2)
		if _, err := io.ReadFull(r, rep.Value); err != nil {
			return Reply{}, err
		}
		var end []byte
		rep.Value, end = rep.Value[:size:size], rep.Value[size:]
		if string(end) != "\r\n" {
			return Reply{}, errGarbled
		}
		return rep, nil
	}
	rep.Value = c.Into[:size:size]
	if _, err := io.ReadFull(r, rep.Value); err != nil {
		return Reply{}, err
	}
	for _, want := range "\r\n" {
		if got, err := r.ReadByte(); err != nil {
			return Reply{}, err
		} else if rune(got) != want {
			return Reply{}, errGarbled
		}
	}
	return rep, nil
}

// parse takes the flags of a reply and reports whether it belongs to the command of that tag.
func (rep *Reply) parse(b []byte, tag uint64, untagged bool) bool {
	tagged := untagged
	for len(b) > 0 {
		if len(b) < 2 || b[0] != ' ' {
			return false
		}
		flag := b[1]
		if b = b[2:]; flag == 't' && len(b) > 1 && b[0] == '-' { // t-1
			rep.TTL, b = -1, b[2:]
			continue
		}
		n, after, ok := cutNumber(b)
		if !ok {
			return false
		}
		b = after
		switch flag {
		case 'O':
			if n != tag {
				return false
			}
			tagged = true
		case 'f':
			rep.Flags = uint32(n) //nolint:gosec // the server keeps 32 bits
		case 'c':
			rep.CAS = n
		case 't':
			rep.TTL = int64(min(n, 1<<62))
		}
	}
	return tagged
}

func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	// The largest number of 20 digits is a CAS that no server lives to reach.
	return n, b[i:], i > 0 && (i == len(b) || b[i] == ' ')
}

func refusal(line string) error {
	const tooLarge = "SERVER_ERROR object too large"
	switch {
	case len(line) >= len(tooLarge) && line[:len(tooLarge)] == tooLarge:
		return ErrTooLarge
	case len(line) >= 5 && (line[:5] == "ERROR" || line[:5] == "CLIEN" || line[:5] == "SERVE"):
		return &Error{Text: line[:min(len(line), 100)]}
	}
	return fmt.Errorf("%w: %.40q", errGarbled, line)
}
