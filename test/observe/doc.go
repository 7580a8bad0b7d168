// Package observe tests what operators see: real Prometheus, with the scrape
// configuration, the alerts and the dashboard of deploy, looks at federations of
// processes while they work and while they fail.
package observe
