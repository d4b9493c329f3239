package main

import (
	"math"
	"testing"
)

// The figures that Kayenta's own judge printed for these values, as reported in
// spinnaker/spinnaker#6278: seven of ten points a hundred times as high pass.
func TestTheIntervalIsKayentas(t *testing.T) {
	experiment := []float64{100, 100, 100, 100, 100, 100, 100, 1, 1, 1}
	control := []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
	low, high, estimate := shiftInterval(experiment, control, 0.98)
	if math.Abs(low-6.825022991538781e-5) > 1e-17 || high != 99 || estimate != 98.99992904170193 {
		t.Errorf("from %v to %v, estimate %v", low, high, estimate)
	}
	if kayentaHigh(experiment, control, 1) {
		t.Error("the reported case passes in Kayenta")
	}
	experiment[7] = 100
	if !kayentaHigh(experiment, control, 1) {
		t.Error("with an eighth point it is reported to fail")
	}
}

func TestTheIntervalOfFourAgainstFour(t *testing.T) {
	// The example of Kayenta's own test of its interval.
	low, high, estimate := shiftInterval([]float64{10, 20, 30, 40}, []float64{1, 2, 3, 4}, 0.95)
	for _, c := range [][2]float64{{low, 6}, {high, 39}, {estimate, 22.5}} {
		if math.Abs(c[0]-c[1]) > 1e-4 {
			t.Errorf("got %v, want %v", c[0], c[1])
		}
	}
}

func TestSparseErrorsPassInKayenta(t *testing.T) {
	// spinnaker/kayenta#426: no error in the control, three of six points with one.
	if kayentaHigh([]float64{0, 1, 2, 1, 0, 0}, []float64{0, 0, 0, 0, 0, 0}, 1) {
		t.Error("the reported case passes in Kayenta")
	}
}
