// Package compile turns a profile, a host and a request into a plan. It decides, and touches nothing.
package compile
