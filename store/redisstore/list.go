package redisstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/redis/rueidis"
)

// Keys implements [store.Lister]. It walks through all keys of the database with SCAN, on every master, and remembers
// the keys that it yielded, as SCAN may return one twice. When a Cluster moves slots meanwhile, keys may be missed.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := make(map[string]struct{})
		err := s.scan(ctx, prefix, func(_ *connection, valueKeys []string) (more bool, err error) {
			for _, valueKey := range valueKeys {
				key, ok := s.keys.key(valueKey)
				if _, again := seen[key]; !ok || again {
					continue
				}
				seen[key] = struct{}{}
				if !yield(key, nil) {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil {
			yield("", fail("keys", err))
		}
	}
}

// Clear implements [store.Clearer]: SCAN and UNLINK, on every master. Marks and leases stay.
func (s *Store) Clear(ctx context.Context, prefix string) (int, error) {
	n := 0
	err := s.scan(ctx, prefix, func(c *connection, valueKeys []string) (bool, error) {
		removed, err := c.unlink(ctx, valueKeys)
		n += removed
		return true, err
	})
	if err != nil {
		return n, fail("clear", err)
	}
	return n, nil
}

// scanCount is how many keys a server looks at in one step, in well under a millisecond.
const scanCount = 500

// scan calls visit with the server's keys of the values whose keys begin with prefix, some at a time, until it returns
// false or an error.
func (s *Store) scan(ctx context.Context, prefix string, visit func(*connection, []string) (bool, error)) error {
	c, err := s.client.get(ctx)
	if err != nil {
		return err
	}
	masters, err := c.masters(ctx)
	if err != nil {
		return err
	}
	pattern := s.keys.pattern(prefix)
	for _, node := range masters {
		for cursor := uint64(0); ; {
			entry, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(pattern).Count(scanCount).Build()).AsScanEntry()
			if err != nil {
				return err
			}
			if len(entry.Elements) > 0 {
				if more, err := visit(c, entry.Elements); err != nil || !more {
					return err
				}
			}
			if cursor = entry.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}

// masters returns the nodes that are no replicas, by address. One that does not answer is an error: what it holds is
// not known.
func (c *connection) masters(ctx context.Context) (map[string]rueidis.Client, error) {
	nodes := c.Nodes()
	for addr, node := range nodes {
		role, err := node.Do(ctx, node.B().Role().Build()).ToArray()
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", addr, err)
		}
		if len(role) == 0 {
			return nil, fmt.Errorf("node %s tells no role", addr)
		}
		if name, err := role[0].ToString(); err != nil || name != "master" {
			delete(nodes, addr)
		}
	}
	return nodes, nil
}
