package explain

import "github.com/reprise-go/reprise/internal/rfc9111"

// Knows reports whether there are words for a reason.
func Knows(r rfc9111.Reason) bool { return reasons()[r].text != "" }
