package view

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
)

// terminal is a small emulation of one: as much as Screen uses.
type terminal struct {
	width, height int
	rows          [][]rune
	// top is the row of the first line on the screen; what is above has
	// scrolled away.
	top, row, col int
	hidden        bool
}

func newTerminal(width, height int) *terminal { return &terminal{width: width, height: height} }

func (t *terminal) Write(p []byte) (int, error) {
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			t.col = 0
		case '\n':
			t.down()
			t.col = 0
		case '\x1b':
			end := i + 2
			for text[end] < '@' || text[end] > '~' {
				end++
			}
			if err := t.control(string(text[i+2:end]), text[end]); err != nil {
				return 0, err
			}
			i = end
		default:
			if t.col == t.width {
				t.down()
				t.col = 0
			}
			t.line()
			t.rows[t.row][t.col] = r
			t.col++
		}
	}
	return len(p), nil
}

func (t *terminal) down() {
	t.row++
	t.top = max(t.top, t.row-t.height+1)
	t.line()
}

// line makes the current row long enough to write in.
func (t *terminal) line() {
	for len(t.rows) <= t.row {
		t.rows = append(t.rows, nil)
	}
	for len(t.rows[t.row]) < t.width {
		t.rows[t.row] = append(t.rows[t.row], ' ')
	}
}

func (t *terminal) control(arguments string, command rune) error {
	n := 1
	_, _ = fmt.Sscanf(arguments, "%d", &n)
	switch command {
	case 'A':
		t.row = max(t.top, t.row-n)
	case 'K':
		t.line()
		for i := min(t.col, t.width-1); i < len(t.rows[t.row]); i++ {
			t.rows[t.row][i] = ' '
		}
	case 'J':
		t.line()
		t.rows[t.row] = t.rows[t.row][:t.col]
		t.rows = t.rows[:t.row+1]
	case 'm':
	case 'h', 'l':
		if arguments == "?25" {
			t.hidden = command == 'l'
		}
	default:
		return fmt.Errorf("the terminal does not know %q %c", arguments, command)
	}
	return nil
}

// resize breaks lines anew, as terminals do that keep what was written.
func (t *terminal) resize(width int) {
	var rows [][]rune
	for i, row := range t.rows {
		text := []rune(strings.TrimRight(string(row), " "))
		for len(text) > width {
			rows, text = append(rows, text[:width]), text[width:]
		}
		rows = append(rows, text)
		if i == t.row {
			t.row, t.col = len(rows)-1, 0
		}
	}
	t.rows, t.width = rows, width
	t.top = max(0, t.row-t.height+1)
}

func (t *terminal) text() []string {
	lines := make([]string, len(t.rows))
	for i, row := range t.rows {
		lines[i] = strings.TrimRight(string(row), " ")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func (t *terminal) size() (int, int) { return t.width, t.height }

func trimmed(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheScreenHoldsOneViewInPlace(t *testing.T) {
	term := newTerminal(80, 24)
	fmt.Fprint(term, "$ serin run\n")
	screen := NewScreen(term, term.size, true)
	p := newPlayer(t, nil)
	var want []string
	for !p.run.State.Ended() {
		p.step()
		if err := screen.Show(p.model()); err != nil {
			t.Fatal(err)
		}
		want = trimmed(Render(p.model(), 80, 23, false))
		same(t, p.run.State.Position(), term.text(), append([]string{"$ serin run"}, want...))
		if t.Failed() {
			return
		}
	}
	if !term.hidden {
		t.Error("the cursor was not hidden while the view stood")
	}
	if err := screen.Close(); err != nil {
		t.Fatal(err)
	}
	if term.hidden {
		t.Error("the cursor was not given back")
	}
	fmt.Fprint(term, "$ \n")
	same(t, "after the end", term.text(), append(append([]string{"$ serin run"}, want...), "$"))
}

func TestWhatIsSaidStaysAboveTheView(t *testing.T) {
	term := newTerminal(80, 24)
	screen := NewScreen(term, term.size, false)
	p := newPlayer(t, nil)
	var said []string
	for i := range 40 {
		p.play(250 * time.Millisecond)
		line := fmt.Sprintf("said %d", i)
		if err := errors.Join(screen.Show(p.model()), screen.Say(line)); err != nil {
			t.Fatal(err)
		}
		said = append(said, line)
		same(t, line, term.text(), append(append([]string{}, said...), trimmed(Render(p.model(), 80, 23, false))...))
		if t.Failed() {
			return
		}
	}
}

func TestAResizedTerminalIsNotScrambled(t *testing.T) {
	// High enough that broken lines do not push the view's beginning out of
	// reach.
	term := newTerminal(120, 60)
	fmt.Fprint(term, "$ serin run\n")
	screen := NewScreen(term, term.size, false)
	p := newPlayer(t, nil)
	for _, width := range []int{120, 80, 60, 100, 40, 130, 79} {
		term.resize(width)
		for range 3 {
			p.step()
			if err := screen.Show(p.model()); err != nil {
				t.Fatal(err)
			}
		}
		same(t, fmt.Sprintf("at %d columns", width), term.text(),
			append([]string{"$ serin run"}, trimmed(Render(p.model(), width, 59, false))...))
		if t.Failed() {
			return
		}
	}
}

type broken struct{}

var errGone = errors.New("the terminal is gone")

func (broken) Write([]byte) (int, error) { return 0, errGone }

func TestATerminalThatIsGoneIsAnError(t *testing.T) {
	screen := NewScreen(broken{}, func() (int, int) { return 80, 24 }, false)
	if err := screen.Show(newPlayer(t, nil).until(is(engine.Progressing)).model()); !errors.Is(err, errGone) {
		t.Errorf("showing gave %v, want %v", err, errGone)
	}
}
