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
//
// // The values are malloc's own where memory is not kept.
// static void keep(int on) {
// #ifdef __GLIBC__
// 	mallopt(M_MMAP_MAX, on ? 0 : 65536);
// 	mallopt(M_TRIM_THRESHOLD, on ? 0x7fffffff : 128 * 1024);
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

// KeepMemory has what XLA frees stay with the process for its next graph, until the returned function is called: by default malloc takes large
// pieces from the system each time and gives them back, and the system fills every page with zeros. For work that runs graphs one after another;
// on a CPU training takes a quarter less time.
func KeepMemory() (end func()) {
	C.keep(1)
	return func() {
		C.keep(0)
		C.give_back()
	}
}

func openXLA(plugin string) (compute.Backend, error) {
	xla.EnableAutoInstall(false)
	return xla.New(plugin)
}
