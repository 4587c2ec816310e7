// Command reprise shows what the cache does and runs it in front of an application.
package main

func main() {}
