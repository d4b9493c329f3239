package backtest

import (
	"fmt"
	"io"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// Record reads the ticks of an archived record, as they were, and whose it is.
func Record(r io.Reader) (record.Header, []rollout.Tick, error) {
	var header record.Header
	var ticks []rollout.Tick
	err := record.Read(r, func(e record.Entry) error {
		switch {
		case e.Header != nil:
			header = *e.Header
		case e.Input != nil:
			if t := e.Input.Observation().Tick; t != nil && (len(ticks) == 0 || t.At.After(ticks[len(ticks)-1].At)) {
				ticks = append(ticks, *t)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return header, nil, fmt.Errorf("read the record: %w", err)
	case header.Record == 0:
		return header, nil, fmt.Errorf("read the record: %w: it has no header", record.ErrTruncated)
	case len(ticks) == 0:
		return header, nil, fmt.Errorf("the record holds no tick: the run ended before there were figures")
	}
	return header, ticks, nil
}
