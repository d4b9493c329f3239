package rollout

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"
)

func TestAHistoryIsOfTheInstancesThatAreThere(t *testing.T) {
	var ticks []HistoryTick
	for i := range 500 {
		used := map[string]float64{"a": float64(i) + 1e-9}
		if i%4 == 0 { // a figure stands in for three that are missing
			used["b"] = float64(i)
		}
		if i < 490 {
			used["gone"] = 1
		}
		if i < 450 || i >= 470 {
			used["away"] = float64(i)
		}
		if i >= 495 {
			used["new"] = 0
		}
		tick := HistoryTick{CPU: used, Memory: map[string]float64{"a": 1e8 / 3, "new": 0}}
		if i == 481 {
			tick = HistoryTick{} // nobody was asked
		}
		ticks = append(ticks, tick)
	}
	h := NewHistory(10*time.Second, ticks)
	got := map[string]string{}
	for name, list := range h.CPU {
		got[name] = fmt.Sprint(len(list), list[len(list)-1])
	}
	want := map[string]string{"a": "359 499", "b": "359 496", "away": "29 499", "new": "5 0"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("processor time is of %v, want %v", got, want)
	}
	if len(h.Memory) != 1 || h.Memory["a"][0] != 33_330_000 {
		t.Errorf("memory is of %v", h.Memory)
	}
	if NewHistory(time.Second, nil) != nil || NewHistory(time.Second, []HistoryTick{{}, {}}) != nil {
		t.Error("a history of nothing is one")
	}
}

func TestAHistoryIsSmallAndExactEnough(t *testing.T) {
	var ticks []HistoryTick
	for i := range HistoryTicks {
		tick := HistoryTick{CPU: map[string]float64{}, Memory: map[string]float64{}}
		for n := range 100 {
			name := fmt.Sprintf("shop-6b7f9d8c4-%05d", n)
			tick.CPU[name], tick.Memory[name] = 0.5+0.3*math.Sin(float64(i*n)), 3e8+1e8*math.Cos(float64(i*n))
		}
		ticks = append(ticks, tick)
	}
	h := NewHistory(10*time.Second, ticks)
	if len(h.CPU) != HistoryInstances || len(h.Memory) != HistoryInstances {
		t.Errorf("%d and %d instances", len(h.CPU), len(h.Memory))
	}
	for name, list := range h.CPU {
		for i, v := range list {
			if math.Abs(v/ticks[i].CPU[name]-1) > 5e-4 {
				t.Fatalf("%s used %v in tick %d, not %v", name, v, i, ticks[i].CPU[name])
			}
		}
	}
	raw, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 120_000 {
		t.Errorf("it takes %d bytes of a record", len(raw))
	}
	t.Logf("%d bytes", len(raw))
}
