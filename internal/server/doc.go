// Package server is the HTTP API on one machine: rollouts and runs to read,
// releases and people's intents to ask for. It speaks JSON over a Unix socket
// that only its owner can reach, and its OpenAPI document is at /openapi.json.
//
// It knows the store, the archive and the Backend that the program hands it. It
// must not know adapters, files of rollouts, or how a decision is made.
package server
