// Package ui is the web page of an agent: the datacenters it knows, and the nodes and
// services of one of them. It only reads, and asks as every other face does, through an
// [rpc.Caller], so that the page of one datacenter shows the others as well.
//
// The page is plain HTML with one style sheet inside: no script runs, nothing is loaded
// from elsewhere, and its security policy allows neither. A datacenter that cannot be
// asked is shown with the reason, and never keeps the rest of the page waiting for long.
package ui
