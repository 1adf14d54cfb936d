// Package loop is the event loop of a launcher: it polls descriptors and keeps time.
package loop
