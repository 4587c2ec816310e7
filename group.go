package reprise

import (
	"net/http"

	"github.com/reprise-go/reprise/internal/header"
)

// HTTP Cache Groups (RFC 9875), on Standard routes: the groups of an answer are tags that have their origin in the name, so that no origin
// invalidates what is another's.

// groupTags returns the tags of the groups that a field names, of the origin of r.
func (rt *Route) groupTags(r *http.Request, lines []string) []string {
	if !rt.standard || lines == nil {
		return nil
	}
	groups, _ := header.Groups(lines)
	scheme := rt.schemeOf(r)
	for i, name := range groups {
		groups[i] = "group " + scheme + "://" + canonicalHost(r.Host, scheme) + " " + name
	}
	return groups
}

// groupNames returns the names of the groups that an answer to an unsafe request invalidates. What is too long for a tag is in no answer
// that is stored.
func (c *Cache) groupNames(rt *Route, r *http.Request, h http.Header) (ns []string) {
	for _, tag := range rt.groupTags(r, h["Cache-Group-Invalidation"]) {
		if tagFault(tag) == "" {
			ns = append(ns, c.name(nameTag, tag))
		}
	}
	return ns
}
