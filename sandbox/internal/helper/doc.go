// Package helper runs the few programs of the host that a launcher cannot do without, such as newuidmap(1).
package helper
