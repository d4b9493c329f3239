// Command shop is the sample shop as a program of its own, so that what is
// measured is the start of Serin and not a second one of the same large program.
package main

import (
	"os"

	"serin.dev/serin/internal/demo/shop"
)

func main() { os.Exit(shop.Main(os.Args[1:], os.Stderr)) }
