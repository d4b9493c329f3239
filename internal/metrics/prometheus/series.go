package prometheus

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
)

// series is one time series as it was scraped: of numbers, or of histograms.
type series[T any] struct {
	// key is its name and labels; those of a histogram's parts are one.
	key    string
	labels model.Metric
	// target is the scrape that it comes from.
	target target
	points []point[T]
}

// own says that the target counts the series itself. A target that hands on what
// others count has its own labels beside theirs, and its restarts are not
// theirs.
func (s series[T]) own() bool {
	return s.labels["exported_job"] == "" && s.labels["exported_instance"] == ""
}

// point is one sample and when it was scraped, in milliseconds.
type point[T any] struct {
	at    int64
	value T
}

// target is one scraped address: the samples of one scrape have one time and
// arrive together.
type target struct{ job, instance string }

func targetOf(m model.Metric) target {
	return target{job: string(m["job"]), instance: string(m["instance"])}
}

// numbers reads a matrix of numbers. What is no number is left out.
func numbers(matrix model.Matrix) []series[float64] {
	out := make([]series[float64], 0, len(matrix))
	for _, stream := range matrix {
		s := series[float64]{key: stream.Metric.String(), labels: stream.Metric, target: targetOf(stream.Metric)}
		for _, sample := range stream.Values {
			if v := float64(sample.Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
				s.points = append(s.points, point[float64]{at: int64(sample.Timestamp), value: v})
			}
		}
		if len(s.points) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// histograms reads the parts of classic histograms, and native ones. Where a
// program exports both forms, the native one is read.
func histograms(matrix model.Matrix, name string) []series[histogram] {
	classic := map[string]*parts{}
	native := map[string]series[histogram]{}
	for _, stream := range matrix {
		labels := maps.Clone(stream.Metric)
		delete(labels, model.MetricNameLabel)
		delete(labels, model.BucketLabel)
		key := labels.String()
		if len(stream.Histograms) > 0 {
			s := series[histogram]{key: key, labels: labels, target: targetOf(labels)}
			for _, sample := range stream.Histograms {
				s.points = append(s.points, point[histogram]{at: int64(sample.Timestamp), value: fromNative(sample.Histogram)})
			}
			native[key] = s
			continue
		}
		if classic[key] == nil {
			classic[key] = &parts{labels: labels, at: map[int64]*classicHistogram{}}
		}
		classic[key].add(strings.TrimPrefix(string(stream.Metric[model.MetricNameLabel]), name), string(stream.Metric[model.BucketLabel]), stream.Values)
	}
	for key, p := range classic {
		if _, both := native[key]; !both {
			if s := p.series(key); len(s.points) > 0 {
				native[key] = s
			}
		}
	}
	out := make([]series[histogram], 0, len(native))
	for _, key := range slices.Sorted(maps.Keys(native)) {
		out = append(out, native[key])
	}
	return out
}

// parts are the series of one classic histogram, by scrape.
type parts struct {
	labels model.Metric
	at     map[int64]*classicHistogram
}

// classicHistogram is one scrape: cumulative counts by upper bound.
type classicHistogram struct {
	below              map[float64]float64
	sum, count         float64
	hasSum, hasBuckets bool
}

func (p *parts) add(suffix, le string, samples []model.SamplePair) {
	bound, err := strconv.ParseFloat(le, 64)
	for _, sample := range samples {
		h := p.at[int64(sample.Timestamp)]
		if h == nil {
			h = &classicHistogram{below: map[float64]float64{}}
			p.at[int64(sample.Timestamp)] = h
		}
		switch v := float64(sample.Value); {
		case math.IsNaN(v) || math.IsInf(v, 0):
		case suffix == "_sum":
			h.sum, h.hasSum = v, true
		case suffix == "_count":
			h.count = v
		case suffix == "_bucket" && err == nil:
			h.below[bound], h.hasBuckets = v, true
		}
	}
}

func (p *parts) series(key string) series[histogram] {
	s := series[histogram]{key: key, labels: p.labels, target: targetOf(p.labels)}
	for _, at := range slices.Sorted(maps.Keys(p.at)) {
		if h := p.at[at]; h.hasBuckets && h.hasSum {
			s.points = append(s.points, point[histogram]{at: at, value: h.histogram()})
		}
	}
	return s
}
