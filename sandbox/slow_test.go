package sandbox

import (
	"os"
	"strconv"
	"time"
)

// slow is a time that is enough on a usual machine, for this one: CORDON_SLOW says how many times slower it is.
func slow(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv("CORDON_SLOW")); err == nil && n > 1 {
		return d * time.Duration(n)
	}
	return d
}
