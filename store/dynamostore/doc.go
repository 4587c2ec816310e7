// Package dynamostore is announced and not yet built.
package dynamostore
