package rollout

import (
	"encoding/json"
	"fmt"
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
		return fmt.Errorf("is not a duration; write it with its unit in quotes or plain, such as 30m or 10s")
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

func (p Percent) String() string {
	return strconv.FormatFloat(float64(p)*100, 'g', 12, 64) + "%"
}

func (p Percent) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

func (p *Percent) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("is not a percentage; write it with its sign, such as 10%%")
	}
	digits, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil {
		return fmt.Errorf("%q is not a percentage; write it with its sign, such as 10%%", s)
	}
	*p = Percent(v / 100)
	return nil
}
