package cli

import (
	"os"

	"golang.org/x/term"
)

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// interactive reports whether a steady view can be drawn on a stream.
func interactive(w any) bool { return isTerminal(w) && os.Getenv("TERM") != "dumb" }

// colored reports whether a stream may be given color.
func colored(w any) bool { return interactive(w) && os.Getenv("NO_COLOR") == "" }

// size returns the size of the terminal behind a stream, asked anew each time.
func size(w any) func() (width, height int) {
	return func() (int, int) {
		if f, ok := w.(*os.File); ok {
			if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
				return width, height
			}
		}
		return 80, 24
	}
}
