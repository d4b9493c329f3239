package prometheus

import (
	"github.com/prometheus/common/model"

	"serin.dev/serin/internal/rollout"
)

// used is what an arm's instances used, by their names.
type used struct{ cpu, memory map[string]float64 }

// usage knows which samples of processor time and memory were read already.
// They are gauges to a tick: where one is missing, it is left out, and nothing
// is made up for it later.
type usage struct{ last map[string]point[float64] }

func newUsage() *usage { return &usage{last: map[string]point[float64]{}} }

// container is one container of an instance. When it is started anew its series
// may be another one, and the old one ends.
type container struct{ instance, name string }

type figure struct {
	value float64
	at    int64
}

func (u *usage) advance(readings []reading) map[rollout.Arm]*used {
	out := map[rollout.Arm]*used{}
	seen := map[string]point[float64]{}
	for _, r := range readings {
		latest := map[container]figure{}
		for _, s := range r.numbers {
			key := string(r.query.signal) + " " + string(r.arm) + " " + s.key
			newest := s.points[len(s.points)-1]
			before, known := u.last[key]
			seen[key] = newest
			if known && newest.at <= before.at {
				seen[key] = before
				continue
			}
			value := newest.value
			if r.query.signal == cpu {
				if !known {
					before = s.points[0]
				}
				if newest.at == before.at || newest.value < before.value {
					continue // one sample, or begun anew
				}
				value = (newest.value - before.value) / (float64(newest.at-before.at) / 1000)
			}
			of := container{instanceOf(r.query, s), string(s.labels[model.LabelName("container")])}
			if f, has := latest[of]; of.instance != "" && (!has || newest.at > f.at) {
				latest[of] = figure{value, newest.at}
			}
		}
		for of, f := range latest {
			if out[r.arm] == nil {
				out[r.arm] = &used{}
			}
			into := &out[r.arm].cpu
			if r.query.signal == memory {
				into = &out[r.arm].memory
			}
			if *into == nil {
				*into = map[string]float64{}
			}
			(*into)[of.instance] += f.value
		}
	}
	u.last = seen
	return out
}
