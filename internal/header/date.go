package header

import "time"

// ParseDate parses an HTTP date (RFC 9110 §5.6.7) in one of its three formats, names in any case and nothing else
// tolerated. The day's name must be one, but need not be the right one: it carries nothing that the date does not.
// Years of two digits are read as 1970 to 2069; see [ParseDateAt].
func ParseDate(s string) (time.Time, bool) {
	return ParseDateAt(s, time.Date(2019, time.December, 31, 23, 59, 59, 0, time.UTC))
}

// ParseDateAt is ParseDate for a caller that knows the time: a year of two digits (RFC 850) is the last one that is
// not more than 50 years after now.
func ParseDateAt(s string, now time.Time) (time.Time, bool) {
	p := dateParser{s: s}
	day := p.letters()
	if p.bad || len(day) < 3 {
		return time.Time{}, false
	}
	i := index("montuewedthufrisatsun", day[:3])
	if i < 0 {
		return time.Time{}, false
	}
	switch {
	case len(day) == 3 && p.s != "" && p.s[0] == ' ': // Sun Nov  6 08:49:37 1994
		p.text(" ")
		month := p.month()
		p.text(" ")
		digits := 2
		if p.s != "" && p.s[0] == ' ' {
			digits = 1
			p.text(" ")
		}
		date := p.number(digits)
		p.text(" ")
		hour, minute, second := p.clock()
		p.text(" ")
		return p.done(p.number(4), month, date, hour, minute, second)
	case len(day) == 3: // Sun, 06 Nov 1994 08:49:37 GMT
		p.text(", ")
		date := p.number(2)
		p.text(" ")
		month := p.month()
		p.text(" ")
		year := p.number(4)
		p.text(" ")
		hour, minute, second := p.clock()
		p.text(" gmt")
		return p.done(year, month, date, hour, minute, second)
	case equalFold(day[3:], [...]string{"day", "sday", "nesday", "rsday", "day", "urday", "day"}[i]):
		p.text(", ") // Sunday, 06-Nov-94 08:49:37 GMT
		date := p.number(2)
		p.text("-")
		month := p.month()
		p.text("-")
		year := p.number(2)
		p.text(" ")
		hour, minute, second := p.clock()
		p.text(" gmt")

		limit := now.UTC().AddDate(50, 0, 0)
		year += limit.Year() / 100 * 100
		if time.Date(year, month, date, hour, minute, second, 0, time.UTC).After(limit) {
			year -= 100
		}
		return p.done(year, month, date, hour, minute, second)
	}
	return time.Time{}, false
}

// dateParser consumes a date from the left; once something does not fit it stays bad.
type dateParser struct {
	s   string
	bad bool
}

// text consumes want, which is in lower case, in any case.
func (p *dateParser) text(want string) {
	if len(p.s) < len(want) || !equalFold(p.s[:len(want)], want) {
		p.bad = true
		return
	}
	p.s = p.s[len(want):]
}

func (p *dateParser) letters() string {
	n := 0
	for n < len(p.s) && alphanumeric(p.s[n]) && !digit(p.s[n]) {
		n++
	}
	w := p.s[:n]
	p.s = p.s[n:]
	return w
}

func (p *dateParser) number(digits int) int {
	if len(p.s) < digits {
		p.bad = true
		return 0
	}
	n := 0
	for i := range digits {
		if !digit(p.s[i]) {
			p.bad = true
			return 0
		}
		n = n*10 + int(p.s[i]-'0')
	}
	p.s = p.s[digits:]
	return n
}

func (p *dateParser) month() time.Month {
	name := p.letters()
	i := -1
	if len(name) == 3 {
		i = index("janfebmaraprmayjunjulaugsepoctnovdec", name)
	}
	p.bad = p.bad || i < 0
	return time.Month(i + 1)
}

func (p *dateParser) clock() (hour, minute, second int) {
	hour = p.number(2)
	p.text(":")
	minute = p.number(2)
	p.text(":")
	second = p.number(2)
	return hour, minute, second
}

func (p *dateParser) done(year int, month time.Month, date, hour, minute, second int) (time.Time, bool) {
	leap := hour == 23 && minute == 59 && second == 60
	if p.bad || p.s != "" || hour > 23 || minute > 59 || second > 59 && !leap {
		return time.Time{}, false
	}
	day := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	if day.Day() != date || day.Month() != month {
		return time.Time{}, false // the 30th of February
	}
	return time.Date(year, month, date, hour, minute, second, 0, time.UTC), true
}

// index finds name, in any case, among names of three lower-case letters each.
func index(names, name string) int {
	for i := 0; i < len(names); i += 3 {
		if equalFold(name, names[i:i+3]) {
			return i / 3
		}
	}
	return -1
}

// equalFold reports whether s in lower case is want. Unlike strings.EqualFold it takes no other alphabet's letters.
func equalFold(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != want[i] {
			return false
		}
	}
	return true
}
