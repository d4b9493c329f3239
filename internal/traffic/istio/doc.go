// Package istio splits traffic by the weights of a VirtualService. The arms are
// two Services, each held to its group of pods by its selector, or two subsets
// of a DestinationRule, held by their labels; the routes that name both arms
// get the weights, be they for HTTP, TLS or TCP.
//
// It writes those weights and the arms' pod-template-hash, and nothing else. A
// VirtualService does not say whether the proxies have it: what is in effect is
// the object and the endpoints. It must not know phases or verdicts.
package istio
