package doctor

import (
	"context"
	"fmt"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
)

// Verdict is how a check came out.
type Verdict string

// Verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // works, and should be looked at
	Fail Verdict = "fail" // does not work, or loses data
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	What    string  `json:"what"`
	Remedy  string  `json:"remedy,omitempty"` // what to do; empty when all is well
}

// Subject is what is examined.
type Subject struct {
	Config     config.Config
	ConfigFile string // "" when there is none
	Fault      error  // what is wrong with that file; Config is then what could be read of it
	Version    string // of this program
}

// visit is one examination.
type visit struct {
	Subject
	daemon *daemon.Condition // nil when none runs; Config is then what it has in force
	file   config.Config     // what ConfigFile says
	report func(Check)
}

// Examine runs all checks, tells each to report as it comes, and returns them.
func Examine(ctx context.Context, s Subject, report func(Check)) []Check {
	var all []Check
	v := &visit{Subject: s, file: s.Config, report: func(c Check) {
		all = append(all, c)
		report(c)
	}}
	if s.Config.State == "" { // where to look stands in a file that cannot be read
		v.configuration(ctx)
		return all
	}
	for _, look := range []func(context.Context){
		v.service, v.configuration, v.modes, v.resolved(v.encryption), v.database, v.jobs, v.models, v.gpu, v.engine, v.memory, v.space, v.speed, v.clock, v.ports, v.certificates,
		v.resolved(v.destinations), v.resolved(v.others), v.resolved(v.signOn), v.resolved(v.mail), v.coreDumps,
	} {
		if ctx.Err() != nil {
			break
		}
		look(ctx)
	}
	return all
}

// resolved is a look that is left out while credentials are not known, which configuration has said.
func (v *visit) resolved(look func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		if v.Config.Unresolved() == nil {
			look(ctx)
		}
	}
}

// Failures counts the checks that failed.
func Failures(all []Check) (n int) {
	for _, c := range all {
		if c.Verdict == Fail {
			n++
		}
	}
	return n
}

func (v *visit) ok(name, format string, args ...any) {
	v.report(Check{Name: name, Verdict: OK, What: fmt.Sprintf(format, args...)})
}

// warn and fail tell what to do first, so that no check forgets it.
func (v *visit) warn(name, remedy, format string, args ...any) {
	v.report(Check{Name: name, Verdict: Warn, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (v *visit) fail(name, remedy, format string, args ...any) {
	v.report(Check{Name: name, Verdict: Fail, What: fmt.Sprintf(format, args...), Remedy: remedy})
}
