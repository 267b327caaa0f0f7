// Package sameorder makes Go's runtime do the same each time, for simulations: on one processor, with no garbage
// collector, what runs in a synctest bubble of a program that was built with its edits happens in the same order
// whenever the program is run with the same seed. Nothing in the language promises that; so the edits say of Go 1.26
// what keeps it from being so, and a program for whose Go they do not fit has to do without.
package sameorder

import "github.com/tenure-go/tenure/integration/internal/build"

// SeedEnv is the environment variable that chance in a bubble comes from: any text.
const SeedEnv = "TENURE_ORDER_SEED"

// Environment is what a program has to be run with, and its seed.
func Environment(seed string) []string {
	return []string{"GOMAXPROCS=1", "GOGC=off", SeedEnv + "=" + seed}
}

func edit(of, file, before, after string) build.Edit {
	return build.Edit{Module: build.Std, Package: of, File: file, Old: before, New: after}
}

// Edits returns what is to be changed.
func Edits() []build.Edit {
	return []build.Edit{
		{Package: "integration/internal/sameorder", File: "built.go", Old: "const Built = false", New: "const Built = true"},

		// Nothing is preempted when it has run for 10 ms, and a slow system call keeps its processor. Both go by real time.
		edit("runtime", "proc.go", "func retake(now int64) uint32 {\n", "func retake(now int64) uint32 {\n"+
			"\tif now != 0 {\n\t\treturn 0\n\t}\n"),

		// So does what waits for a mutex for more than a millisecond, which is then handed over in another order.
		edit("internal/sync", "mutex.go", "starvationThresholdNs = 1e6", "starvationThresholdNs = 1e18"),

		// The global queue is looked at first by every 61st goroutine, and the runtime's own count.
		edit("runtime", "proc.go", "if pp.schedtick%61 == 0 && !sched.runq.empty() {", "if false {"),

		// Chance is a bubble's own: which case a select takes, which of the timers of one moment fires first, where a loop
		// over a map begins, and what math/rand returns.
		edit("runtime", "synctest.go", "	active  int // other sources of activity\n",
			"	active  int // other sources of activity\n\n	chance uint64\n"),
		edit("runtime", "synctest.go", "	bubble := &synctestBubble{\n", `	chance := uint64(14695981039346656037)
	for _, c := range []byte(gogetenv("`+SeedEnv+`")) {
		chance = (chance ^ uint64(c)) * 1099511628211
	}
	bubble := &synctestBubble{
		chance: chance,
`),
		edit("runtime", "select.go", "j := cheaprandn(uint32(norder + 1))", "j := bubbleRand32() % uint32(norder+1)"),
		edit("runtime", "time.go", "t.rand = cheaprand()", "t.rand = bubbleRand32()"),
		edit("runtime", "rand.go", "func rand() uint64 {\n", `func rand() uint64 {
	if gp := getg(); gp.m.curg != nil && gp.m.curg.bubble != nil {
		return bubbleRand(gp.m.curg.bubble)
	}
`),
		edit("runtime", "rand.go", "// mrandinit initializes the random state of an m.\n", `//go:nosplit
func bubbleRand(b *synctestBubble) uint64 { // splitmix64
	b.chance += 0x9e3779b97f4a7c15
	x := b.chance
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

//go:nosplit
func bubbleRand32() uint32 {
	if gp := getg(); gp.m.curg != nil && gp.m.curg.bubble != nil {
		return uint32(bubbleRand(gp.m.curg.bubble) >> 32)
	}
	return cheaprand()
}

// mrandinit initializes the random state of an m.
`),

		// What a program has before there is a bubble, such as the keys that it hashes with, is the same each time.
		edit("runtime", "rand.go", "	globalRand.state.Init(*seed)\n", `	for i := range seed {
		seed[i] = byte(i)
	}
	globalRand.state.Init(*seed)
`),
	}
}
