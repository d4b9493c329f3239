package analysis

import (
	"math"

	"serin.dev/serin/internal/rollout"
)

// sketch is a rough picture of stable's response times, kept only until the
// edges of its tail are chosen from it: counts in cells of ten percent from
// 10 µs on.
type sketch struct {
	Cells Vector  `json:"cells,omitempty"`
	Count float64 `json:"count,omitempty"`
}

const (
	sketchCells = 220
	sketchFirst = 1e-5
)

var (
	logSketchFirst  = math.Log(sketchFirst)
	logSketchGrowth = math.Log(1.1)
)

func (k *sketch) add(h *rollout.Histogram) {
	if k.Cells == nil {
		k.Cells = make(Vector, sketchCells)
	}
	for i, c := range h.Counts {
		if c == 0 {
			continue
		}
		lo, hi := bucketLogs(h.Bounds, i)
		k.Cells[sketchCell((lo+hi)/2)] += c
		k.Count += c
	}
}

func sketchCell(log float64) int {
	return max(0, min(sketchCells-1, int((log-logSketchFirst)/logSketchGrowth)))
}

// above is the fraction above a bound, in proportion inside its cell.
func (k *sketch) above(bound float64) float64 {
	at := (math.Log(bound) - logSketchFirst) / logSketchGrowth
	cell := sketchCell(math.Log(bound))
	n := k.Cells[cell] * min(1, max(0, float64(cell+1)-at))
	for _, c := range k.Cells[cell+1:] {
		n += c
	}
	return n / k.Count
}

// edge is the bound that most nearly leaves a fraction above it; 0 when none
// leaves anything.
func (k *sketch) edge(bounds []float64, fraction float64) float64 {
	best, off := 0.0, math.Inf(1)
	for _, b := range bounds {
		above := k.above(b)
		if above <= 0 {
			continue
		}
		if d := math.Abs(math.Log(above / fraction)); d < off {
			best, off = b, d
		}
	}
	return best
}
