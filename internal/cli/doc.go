// Package cli is the command line: flags in, calls of the program and of its
// API out, answers as text for people or JSON and YAML for programs.
//
// It is handed the program as a value (Program) and reads runs through the API
// alone, whether a daemon answers or the state folder is read in place. It must
// not know adapters, the store's form, or how a run is carried.
//
// # Rules of the output
//
//   - What was asked for goes to stdout, everything else to stderr, so that
//     stdout can always be piped on.
//   - Progress is drawn on a terminal only; elsewhere a change is a line.
//   - An error is one line (a file's mistakes one each) that says what is
//     wrong, where, and what to do, and the exit code says which kind it is.
package cli
