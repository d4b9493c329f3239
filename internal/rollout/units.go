package rollout

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as Go writes it: "30m", "1h30m".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		if digits := string(data); strings.Trim(digits, "0123456789") == "" {
			return fmt.Errorf("%s has no unit; write a duration such as %ss or %sm", digits, digits, digits)
		}
		return fmt.Errorf("is not a duration; write one such as 30m, 90s or 1h30m")
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write one such as 30m, 90s or 1h30m", s)
	}
	*d = Duration(v)
	return nil
}

// Percent is a fraction written with a percent sign: "10%" is 0.1.
type Percent float64

// String writes the shortest percentage that reads back as p.
func (p Percent) String() string {
	var s string
	for digits := 12; digits <= 17; digits++ {
		s = strconv.FormatFloat(float64(p)*100, 'g', digits, 64)
		if v, err := strconv.ParseFloat(s, 64); err == nil && v/100 == float64(p) {
			break
		}
	}
	return s + "%"
}

func (p Percent) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

func (p *Percent) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("is not a percentage; write it with its sign, such as 10%%")
	}
	digits, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a percentage; write it with its sign, such as 10%%", s)
	}
	*p = Percent(v / 100)
	return nil
}
