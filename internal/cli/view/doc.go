// Package view shows a run to a person at a terminal, and to a log where there
// is none. It is handed what happened and turns it into text; it must not know
// where that came from (a daemon's API, a store, a file), decide anything, or
// act on a run.
//
// # Rules of the output
//
//   - On a terminal there is one view. It stays in one place and is redrawn
//     there: no line moves because a figure changed, no column changes its
//     width, and nothing blinks. The screen is not cleared and no alternate
//     screen is entered: what was above stays above, and the last view remains
//     when the program ends.
//   - Read from the top, the view answers the questions in the order they are
//     asked: what is released, how far is it, who gets what, how are the two
//     doing, what is held against the canary, and what was decided lately.
//   - Every figure has its unit beside it or above it. A figure that is not
//     known is "–", never 0.
//   - Color repeats what a word or a sign says already, so a view without color
//     (NO_COLOR, TERM=dumb, a pipe) says the same.
//   - A hold is the loudest thing in the view, and names what can be done in
//     the form of a command.
//   - A terminal that is too small gets fewer lines and shorter ones, never
//     wrapped or scrambled ones. What goes first is what matters least.
//   - Without a terminal a change is one log line, and there are no others: a
//     new phase, a hold and its end, a decision, the run's end. A line makes
//     sense alone: it has the time, the rollout, the two versions and the
//     weight.
//   - The cursor is hidden while the view stands and always given back.
package view
