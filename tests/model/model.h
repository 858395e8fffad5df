/* SPDX-License-Identifier: MIT */
/*
 * What the models share.
 *
 * Most critical sections are one atomic step that begins when the lock is free:
 * all they touch is that lock's, but for call->done, which each reads once, so
 * there is nothing to see in the middle of one. Where somebody looks without the
 * lock (a sleeper at what it waits for), it is taken and dropped for real.
 */
#define locked(l)	!(l)
#define lock(l)		atomic { !(l) -> l = true }
#define unlock(l)	l = false

/*
 * References are kept by holder, not counted: whoever gets one that it has, or
 * puts one that it has not, is caught in the act. The object is freed with the
 * last one; nobody gets another then, and nobody may use it.
 */
#define get(x, h)	assert((x) != 0 && !((x) & (h))); x = (x) | (h)
#define put(x, h)	assert((x) & (h)); x = (x) & ~(h)
#define give(x, h, to)	assert(((x) & (h)) && !((x) & (to))); \
			x = ((x) & ~(h)) | (to)
#define use(x)		assert((x) != 0)

/* A slice in use is held by the kernel, by the process, or by both. */
#define FREE		0
#define KERNEL		1
#define USER		2

#define slice_alloc(s)	assert(s == FREE); s = KERNEL
#define slice_free(s)	assert(s != FREE); s = FREE
/* symp_slice_let_go() */
#define slice_let_go(s)	assert(s & KERNEL); s = s & ~KERNEL
/* symp_slice_release(): the process may name what it has not */
#define slice_release(s) s = s & ~USER

/*
 * A task says that it sleeps before it looks at what it waits for. A wake-up
 * finds it wherever it is, and sets it running.
 */
#define RUNNING		false
#define SLEEPING	true
