package prometheus

import (
	"github.com/prometheus/common/model"

	"serin.dev/serin/internal/rollout"
)

// used is what an arm's instances used, by their names. limit is how much memory
// they would have used when one of their containers reached its limit, if all went
// on in proportion.
type used struct{ cpu, memory, limit map[string]float64 }

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
	filled := map[rollout.Arm]containers{}
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
		if r.query.signal != cpu {
			filled[r.arm] = filled[r.arm].with(r.query.signal, latest)
		}
		for of, f := range latest {
			if r.query.signal == limit {
				continue
			}
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
	for arm, c := range filled {
		if out[arm] != nil {
			out[arm].limit = c.limits(out[arm].memory)
		}
	}
	return out
}

// containers are what an arm's containers use of memory, and what they may.
type containers struct{ memory, limit map[container]figure }

func (c containers) with(s signal, latest map[container]figure) containers {
	if s == limit {
		c.limit = latest
	} else {
		c.memory = latest
	}
	return c
}

// limits is by instance, of those whose containers have one.
func (c containers) limits(memory map[string]float64) map[string]float64 {
	fullest := map[string]float64{}
	for of, used := range c.memory {
		if most := c.limit[of].value; most > 0 {
			fullest[of.instance] = max(fullest[of.instance], used.value/most)
		}
	}
	var out map[string]float64
	for instance, part := range fullest {
		if part > 0 && memory[instance] > 0 {
			if out == nil {
				out = map[string]float64{}
			}
			out[instance] = memory[instance] / part
		}
	}
	return out
}
