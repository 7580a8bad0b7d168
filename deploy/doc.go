// Package deploy holds what it takes to run and watch Hanse: a container image and a
// federation in compose, a systemd unit, and the configuration of Prometheus and Grafana.
//
// The files are the package; its code only reads the dashboard, for tests that
// ask a real Prometheus what the panels ask.
package deploy
