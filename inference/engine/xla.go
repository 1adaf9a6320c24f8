//go:build cgo && linux && (amd64 || arm64)

package engine

// #include <malloc.h>
// #include <stdlib.h>
//
// // One arena of C's malloc, from which XLA has its memory. By default each thread gets one of its own, and Go calls from any thread: in time
// // each arena keeps what the largest graph took that ever ran on its thread, for as long as the process lives. It has to be said before there
// // is a second thread, and so before Go begins. Who sets glibc's own variable has other wishes; musl has no arenas.
// __attribute__((constructor)) static void one_arena(void) {
// #ifdef M_ARENA_MAX
// 	if (!getenv("MALLOC_ARENA_MAX")) mallopt(M_ARENA_MAX, 1);
// #endif
// }
//
// static void give_back(void) {
// #ifdef __GLIBC__
// 	malloc_trim(0);
// #endif
// }
import "C"

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
)

const hasXLA = true

// trim gives the system back what malloc holds free: XLA's compiler leaves a hundred MiB.
func trim() { C.give_back() }

func openXLA(plugin string) (compute.Backend, error) {
	xla.EnableAutoInstall(false)
	return xla.New(plugin)
}
