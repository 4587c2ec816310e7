// Package memcachedstore is announced and not yet built.
package memcachedstore
