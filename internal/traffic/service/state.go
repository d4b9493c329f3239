package service

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// state is a split as it is written on the Service.
type state struct {
	// known is false while no weight is written.
	known  bool
	weight int
	// selected is the group in the selector, empty when it selects both.
	selected string
	// stable and canary are the groups of the arms.
	stable, canary string
}

func read(s *corev1.Service) state {
	st := state{
		selected: s.Spec.Selector[serinv1.HashLabel],
		stable:   s.Annotations[serinv1.StableAnnotation], canary: s.Annotations[serinv1.CanaryAnnotation],
	}
	weight, err := strconv.Atoi(s.Annotations[serinv1.WeightAnnotation])
	if err == nil && weight >= 0 && weight <= rollout.Full {
		st.known, st.weight = true, weight
	}
	return st
}

// actual is the weight that the selector makes, whatever is written beside it;
// by says that the two contradict each other.
func (st state) actual(reach map[string]int) (weight int, contradicts bool) {
	promoted := st.stable != "" && st.stable == st.canary
	switch {
	case promoted && st.selected == st.stable:
		return st.weight, false
	case st.selected == "":
		if st.weight > 0 { // at 100 until the canary's pods are as many as stable's
			return st.weight, false
		}
		all := 0
		for _, n := range reach {
			all += n
		}
		if all == 0 {
			return st.weight, true
		}
		return (reach[st.canary]*rollout.Full + all - 1) / all, true
	case st.selected == st.canary:
		return rollout.Full, st.weight != rollout.Full
	case st.selected == st.stable:
		return 0, st.weight != 0
	}
	return 0, true
}

// ops changes one state into another.
func ops(s *corev1.Service, from, to state) []kube.Op {
	var ops []kube.Op
	if to.selected != from.selected {
		path := kube.Pointer("spec", "selector", serinv1.HashLabel)
		if to.selected == "" {
			ops = append(ops, kube.Op{Op: "remove", Path: path})
		} else {
			ops = append(ops, kube.Op{Op: "add", Path: path, Value: to.selected})
		}
	}
	weight := ""
	if to.known {
		weight = strconv.Itoa(to.weight)
	}
	if s.Annotations == nil && weight != "" {
		ops = append(ops, kube.Op{Op: "add", Path: "/metadata/annotations", Value: map[string]string{}})
	}
	for _, a := range []struct{ key, value string }{
		{serinv1.WeightAnnotation, weight}, {serinv1.StableAnnotation, to.stable}, {serinv1.CanaryAnnotation, to.canary},
	} {
		path := kube.Pointer("metadata", "annotations", a.key)
		switch now, has := s.Annotations[a.key]; {
		case a.value == "" && has:
			ops = append(ops, kube.Op{Op: "remove", Path: path})
		case a.value != "" && now != a.value:
			ops = append(ops, kube.Op{Op: "add", Path: path, Value: a.value})
		}
	}
	return ops
}
