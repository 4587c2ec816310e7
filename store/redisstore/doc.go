// Package redisstore is announced and not yet built.
package redisstore
