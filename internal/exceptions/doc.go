// Package exceptions finds the exceptions in a program's log and gives each a
// class that is the same in every build: its type and the topmost frame of the
// program's own code, such as TimeoutError@cart.add.
//
// It is a pure room: bytes in, classes out. It knows the traces of Go, Java and
// its kin, Python, Node.js, Ruby, .NET, PHP and Rust, and structured logs in
// JSON. Whatever is written to it, its memory is bounded and it takes time in
// proportion to what is written: scanners by hand, no regular expression. What a
// message says is never kept, only names out of positions where code has names.
package exceptions
