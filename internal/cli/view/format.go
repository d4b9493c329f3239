package view

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// unknown stands for a figure that is not known.
const unknown = "–"

func perSecond(v *float64) string {
	switch {
	case v == nil:
		return unknown
	case *v >= 1e6:
		return strconv.FormatFloat(*v/1e6, 'f', 1, 64) + " M"
	case *v >= 1000:
		return strconv.FormatFloat(*v, 'f', 0, 64)
	}
	return strconv.FormatFloat(*v, 'f', 1, 64)
}

// fraction writes a share of 1 as a percentage that keeps its width while it
// moves.
func fraction(v *float64) string {
	if v == nil {
		return unknown
	}
	return percentage(*v * 100)
}

func percentage(p float64) string {
	if p != 0 && p < 1 {
		return strconv.FormatFloat(p, 'f', 2, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}

// latency writes a response time to three figures.
func latency(d *time.Duration) string {
	if d == nil {
		return unknown
	}
	s := d.Seconds()
	switch {
	case s < 0.001:
		return three(s*1e6) + " µs"
	case s < 1:
		return three(s*1e3) + " ms"
	}
	return three(s) + " s"
}

func three(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// times writes a ratio canary : stable.
func times(r float64) string {
	switch {
	case r <= 0:
		return unknown
	case r >= 1000:
		return ">1000x"
	case r >= 100:
		return strconv.FormatFloat(r, 'f', 0, 64) + "x"
	case r >= 10:
		return strconv.FormatFloat(r, 'f', 1, 64) + "x"
	}
	return strconv.FormatFloat(r, 'f', 2, 64) + "x"
}

// span writes the bounds of a ratio.
func span(low, high float64) string {
	if high <= 0 {
		return unknown
	}
	top := times(high)
	return times(low)[:len(times(low))-1] + " – " + top
}

// odds writes an e-value as it is read aloud: one to so many.
func odds(e float64) string {
	switch {
	case e < 1:
		return "<1"
	case e < 10:
		return strconv.FormatFloat(e, 'f', 1, 64)
	case e < 10000:
		return strconv.FormatFloat(e, 'f', 0, 64)
	}
	return fmt.Sprintf("10^%.0f", math.Floor(math.Log10(e)))
}

// clock writes a length of time as a stopwatch does.
func clock(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	d = d.Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	}
	return fmt.Sprintf("%d:%02d", d/time.Minute, d/time.Second%60)
}

// left writes a time still to pass: finer when there is little of it.
func left(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	}
	return clock(d)
}
