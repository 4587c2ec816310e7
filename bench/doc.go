// Package bench is announced and not yet built.
package bench
