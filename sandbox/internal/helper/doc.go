// Package helper runs the few programs of the host that a launcher needs, such as newuidmap(1).
package helper
