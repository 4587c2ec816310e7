package header

import "github.com/dunglas/httpsfv"

// Groups parses the lines of Cache-Groups or Cache-Group-Invalidation (RFC 9875): a List of Strings, of which parameters mean
// nothing. It reports false for any other list, which is ignored as a whole, and for none.
func Groups(lines []string) ([]string, bool) {
	if len(lines) == 0 {
		return nil, false
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil, false
	}
	groups := make([]string, 0, len(list))
	for _, member := range list {
		item, _ := member.(httpsfv.Item)
		name, ok := item.Value.(string)
		if !ok {
			return nil, false
		}
		groups = append(groups, name)
	}
	return groups, len(groups) > 0
}
