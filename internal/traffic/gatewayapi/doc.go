// Package gatewayapi splits traffic by the weights of an HTTPRoute or a
// GRPCRoute of the Gateway API. Two Services, one an arm, are held to the
// groups of pods; the route's rules that name both get the weights.
//
// It writes those weights and the pod-template-hash in the two Services'
// selectors, and nothing else. What is in effect it takes from the route's
// conditions and the Services' endpoints. It must not know phases or verdicts.
package gatewayapi
