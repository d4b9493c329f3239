package svg

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// texts returns what an SVG says, by frame; it fails when it is not XML.
func texts(t *testing.T, data []byte) []string {
	t.Helper()
	var frames []string
	d := xml.NewDecoder(bytes.NewReader(data))
	for inText := false; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch v := token.(type) {
		case xml.StartElement:
			if v.Name.Local == "g" {
				frames = append(frames, "")
			}
			inText = v.Name.Local == "text" && len(frames) > 0
		case xml.EndElement:
			inText = false
		case xml.CharData:
			if inText {
				frames[len(frames)-1] += string(v) + "|"
			}
		}
	}
}

func draw(t *testing.T, frames ...Frame) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, "a & b: <v1> → v2", 40, frames); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTextIsDrawnAsItIs(t *testing.T) {
	got := texts(t, draw(t, Frame{Lines: []string{"a < b  & \x1b[1;31mworse\x1b[0m \x1b[2m11 %\x1b[0m", "", "  \x1b[1;7;31m rolled back \x1b[0m"}}))
	if want := "a < b|&|worse|11 %|rolled back|"; len(got) != 1 || got[0] != want {
		t.Errorf("the picture says %q, want %q", got, want)
	}
}

func TestBarsAreDrawnAsShapes(t *testing.T) {
	data := string(draw(t, Frame{Lines: []string{"\x1b[31m███▌\x1b[0m\x1b[2m░░\x1b[0m ━━─ x"}}))
	if got := texts(t, []byte(data)); got[0] != "x|" {
		t.Errorf("the bar's characters were drawn as text: %q", got)
	}
	for what, want := range map[string]string{
		"three full cells, red":         fmt.Sprintf(`class="r" x="0.0" y="3.0" width="%.1f"`, 3*cellWidth),
		"half a cell, red":              fmt.Sprintf(`class="r" x="%.1f" y="3.0" width="%.1f"`, 3*cellWidth, cellWidth/2),
		"two empty cells, dim":          fmt.Sprintf(`class="d" opacity="0.35" x="%.1f" y="3.0" width="%.1f"`, 4*cellWidth, 2*cellWidth),
		"a thick track of two":          fmt.Sprintf(`x="%.1f" y="8.0" width="%.1f" height="3.0"`, 7*cellWidth, 2*cellWidth),
		"what follows in its own place": fmt.Sprintf(`x="%.1f"`, 11*cellWidth),
	} {
		if !strings.Contains(data, want) {
			t.Errorf("%s: no %s in\n%s", what, want, data)
		}
	}
}

func TestFramesFollowEachOther(t *testing.T) {
	data := draw(t, Frame{Lines: []string{"one"}, For: time.Second}, Frame{Lines: []string{"two"}, For: 3 * time.Second})
	if got := texts(t, data); len(got) != 2 || got[0] != "one|" || got[1] != "two|" {
		t.Errorf("the frames say %q", got)
	}
	for _, want := range []string{"animation:f0 4.00s", "25.000%{visibility:visible}", "prefers-reduced-motion"} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("the picture lacks %q", want)
		}
	}
	if still := draw(t, Frame{Lines: []string{"one"}}); bytes.Contains(still, []byte("animation")) {
		t.Error("one frame moves")
	}
}
