package service

import (
	"fmt"

	"serin.dev/serin/internal/rollout"
)

// CanaryPods is how many canary pods beside stable ones make the largest share
// that is not above the weight.
func CanaryPods(stable, weight int) int {
	if weight >= rollout.Full {
		return stable
	}
	return stable * weight / (rollout.Full - weight)
}

// Smallest is the smallest weight that one canary pod beside stable ones makes.
func Smallest(stable int) int { return (rollout.Full + stable) / (stable + 1) }

// Needed is how many stable pods a weight needs beside one canary pod.
func Needed(weight int) int { return (rollout.Full+weight-1)/weight - 1 }

// mostTimes is how many times stable's pods the canary may have.
const mostTimes = 4

// CheckRatio says which weights of a plan a number of stable pods cannot make.
// It does no I/O.
func CheckRatio(stable int, weights []int) []rollout.Problem {
	var ps []rollout.Problem
	for i, w := range weights {
		if w <= 0 || w >= rollout.Full {
			continue
		}
		switch pods := CanaryPods(stable, w); {
		case pods > mostTimes*stable:
			ps = append(ps, rollout.Problem{
				Field:   fmt.Sprintf("spec.plan.phases[%d].weight", i),
				Message: fmt.Sprintf("%d %% takes %d canary pods beside the %d of stable", w, pods, stable),
				Mend:    fmt.Sprintf("write %d or less, or 100, which takes as many as stable has; with plan.holdback split with istio or gatewayAPI", rollout.Full*mostTimes/(mostTimes+1)),
			})
			continue
		case pods > 0:
			continue
		}
		ps = append(ps, rollout.Problem{
			Field:   fmt.Sprintf("spec.plan.phases[%d].weight", i),
			Message: fmt.Sprintf("%d %% cannot be made by the number of pods: one canary pod beside %d of stable gets %.1f %%", w, stable, share(1, stable+1)),
			Mend:    mend(stable, w),
		})
	}
	return ps
}

func mend(stable, weight int) string {
	return fmt.Sprintf("write %d or more, run %d pods, or split with istio or gatewayAPI, whose weights do not depend on pods", Smallest(stable), Needed(weight))
}

// share is a part in percent.
func share(part, whole int) float64 { return float64(part) * rollout.Full / float64(max(whole, 1)) }

// above reports whether a part of a whole is more than a weight.
func above(part, whole, weight int) bool { return part*rollout.Full > weight*whole }
