// SPDX-License-Identifier: MIT
/*
 * A fool: another user's process that does nothing but nonsense, on the same bus.
 * What it forges must touch nobody: the checker sees it if it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "peer.h"

#define ARENA	(128 << 10)

struct fool {
	int slot;
	__u32 life;
	struct ep eps[3];
	__u64 handles[SERVICES];
	unsigned char *arena;
};

/* An argument that is now and then sensible, and mostly of the right size. */
static void nonsense(struct fool *fool, struct dice *dice, __u64 *arg, size_t len)
{
	static const __u32 sizes[] = { 40, 48, 32, 136, 40, 56, 96, 24, 24, 120 };

	for (size_t i = 0; i < len / 8; i++) {
		__u64 value = mix(dice->key + dice->rolls++);

		switch (roll(dice, 16)) {
		case 0 ... 5: value = 0; break;
		case 6: value &= 0xff; break;
		case 7: value = (uintptr_t)fool->arena + (value & 0xffff); break;
		case 8: value = fool->handles[value % SERVICES]; break;
		case 9: value = (value & 0xff) * SYMPHONY_POOL_ALIGN; break;
		case 10: value &= 0x300000fff; break;
		case 11: value = storm->last_id + value % 64 - 32; break;
		case 12: value = storm->endpoints[value % storm->peers]; break;
		}
		arg[i] = value;
	}
	((__u32 *)arg)[0] = sizes[roll(dice, ARRAY_SIZE(sizes))];
	((__u32 *)arg)[1] = roll(dice, 6) ? 0 : roll(dice, 64);
}

static void join(struct fool *fool, struct ep *ep, struct dice *dice)
{
	ep_close(ep);
	if (ep_join_bus(ep, storm->bus, 0, 0, SYMPHONY_POOL_MIN))
		return;
	if (once(dice, 2))
		fcntl(ep->fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < SERVICES; i++) {
		char name[8];

		service_name(i, name);
		ep_resolve(ep, name, &fool->handles[i]);
	}
}

static void *fool_around(void *arg)
{
	struct fool *fool = arg;
	static atomic_int turn;
	__u32 who = who_is(fool->slot, fool->life, turn++ & 15);
	__u64 argument[32];

	log_begin(who);
	for (__u64 nr = 1; storm->phase == STORMING; nr++) {
		struct dice dice = dice_of(storm->seed, who, nr);
		struct ep *ep = &fool->eps[roll(&dice, ARRAY_SIZE(fool->eps))];
		__u32 op = roll(&dice, 18);
		int ret;

		if (once(&dice, 400))
			join(fool, ep, &dice);
		if (once(&dice, 32))
			jostle(&dice);
		nonsense(fool, &dice, argument, sizeof(argument));
		/* What can wait gets an end. */
		if (op == 5 || op == 6) {
			struct symphony_call *call = (void *)argument;

			call->size = sizeof(*call);
			call->deadline = dev_after(roll(&dice, 10));
			call->method &= 0xffff;
			call->key &= 0xffff;
		} else if (op == 7) {
			((struct symphony_recv *)argument)->deadline = dev_after(1);
		} else if (op == 8) {
			((struct symphony_reply *)argument)->deadline = dev_after(1);
		} else if (op == 10) {
			((struct symphony_wait *)argument)->flags |= SYMPHONY_WAIT_DONTWAIT;
		}
		ret = ioctl(ep->fd, _IO(SYMPHONY_IOC_MAGIC, op), argument);
		if (op == 2 && !ret)
			FAULT("a fool could CLAIM", 0, argument[1]);
		if (once(&dice, 512))
			mprotect(fool->arena + 65536, 4096, once(&dice, 2) ? PROT_NONE :
				 PROT_READ | PROT_WRITE);
		if (once(&dice, 64))
			dev_nap(roll(&dice, 10));
	}
	return NULL;
}

void fool_main(int slot, __u64 process)
{
	static struct fool fool;
	pthread_t threads[3];

	(void)process;
	fool.slot = slot;
	fool.life = storm->lives[slot]++;
	fool.arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	for (size_t i = 0; i < ARRAY_SIZE(fool.eps); i++)
		fool.eps[i].fd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		if (pthread_create(&threads[i], NULL, fool_around, &fool))
			abort();
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	exit(0);
}
