package checks

// tally counts how a check ended in a row, and when that changes what it counts as.
type tally struct {
	successes, failures int
}

// settle returns what a check counts as that was before and now ended with result. ok is
// false if that has to happen more often in a row to count. A warning is a success: the
// thing answers. A failure never makes a check look better than it was.
func (t *tally) settle(d *Definition, before, result string) (after string, ok bool) {
	if result != Critical {
		t.failures = 0
		if t.successes < d.SuccessBeforePassing {
			t.successes++
		}
		return result, t.successes >= d.SuccessBeforePassing
	}
	t.successes = 0
	if t.failures < max(d.FailuresBeforeCritical, 1) {
		t.failures++
	}
	switch {
	case t.failures >= d.FailuresBeforeCritical, before == Critical:
		return Critical, true
	case d.FailuresBeforeWarning > 0 && t.failures >= d.FailuresBeforeWarning:
		return Warning, true
	}
	return before, false
}
